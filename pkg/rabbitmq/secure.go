package rabbitmq

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"
)

// secure returns the URL that the library gets, and how to encrypt what it
// sends; nil for not at all. It does not encrypt by itself, because a wire has
// to read what is under that. The parameters of an amqps URL are those of
// RabbitMQ's documentation on URI query parameters.
func secure(rawURL string) (plainURL string, config *tls.Config, err error) {
	uri, err := amqp.ParseURI(rawURL)
	if err != nil || uri.Scheme != "amqps" {
		return rawURL, nil, nil //nolint:nilerr // the library says what is wrong with it
	}
	config = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: uri.ServerName}
	if config.ServerName == "" {
		config.ServerName = uri.Host
	}
	if uri.CACertFile != "" {
		text, err := os.ReadFile(uri.CACertFile)
		if err != nil {
			return rawURL, nil, fmt.Errorf("read CA certificate: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return rawURL, nil, errNoCertificate
		}
	}
	if uri.CertFile != "" && uri.KeyFile != "" {
		certificate, err := tls.LoadX509KeyPair(uri.CertFile, uri.KeyFile)
		if err != nil {
			return rawURL, nil, fmt.Errorf("load client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return rawURL, nil, err
	}
	u.Scheme, u.Host = "amqp", net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))
	return u.String(), config, nil
}

var errNoCertificate = errors.New("the file of the CA certificate holds none")

// encrypt does so when there is a config.
func encrypt(ctx context.Context, conn net.Conn, config *tls.Config) (net.Conn, error) {
	if config == nil {
		return conn, nil
	}
	client := tls.Client(conn, config)
	if err := client.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return client, nil
}
