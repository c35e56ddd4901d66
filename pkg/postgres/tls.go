package postgres

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// explainTLS is the part of Explain about certificates and alerts.
func explainTLS(err error) string {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the server's TLS certificate is not accepted; sslrootcert and sslmode of the database URL say which are"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the server's TLS certificate is not accepted; sslrootcert and sslmode of the database URL say which are"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the server's TLS certificate is for another host"
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return "the server refuses the TLS connection"
	}
	return ""
}
