package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"lanekeeper/config"
	"lanekeeper/pkg/certificate"
)

// secureConfig returns how TLS is spoken, or nil where it is not.
//
// HTTP/2 is not offered: it has one connection for many answers, whose clients
// would have to be hurried, and counted, by stream (ADR 29).
func secureConfig(c config.Config, log *slog.Logger) (*tls.Config, error) {
	if !c.TLS.Enabled() {
		return nil, nil //nolint:nilnil // without TLS there is nothing to configure
	}
	ctx := context.Background() // for the log only
	cert, err := certificate.Load(certificate.Options{
		CertFile: c.TLS.CertFile, KeyFile: c.TLS.KeyFile,
		Changed: func(notAfter time.Time, err error) {
			switch {
			case err != nil:
				log.ErrorContext(ctx, "the certificate in the files cannot be used; the one before is", slog.Any("error", err), slog.Time("not_after", notAfter))
			case !expired(ctx, log, notAfter):
				log.InfoContext(ctx, "the certificate has changed", slog.Time("not_after", notAfter))
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("configuration: tls.cert_file (TLS_CERT_FILE) and tls.key_file (TLS_KEY_FILE): %w", err)
	}
	expired(ctx, log, cert.NotAfter())
	return &tls.Config{GetCertificate: cert.Get, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}, nil
}

// expired reports, in the log as well, whether a certificate has expired. Clients
// refuse it then; it is for them to do.
func expired(ctx context.Context, log *slog.Logger, notAfter time.Time) bool {
	if time.Now().Before(notAfter) {
		return false
	}
	log.ErrorContext(ctx, "the certificate has expired", slog.Time("not_after", notAfter))
	return true
}
