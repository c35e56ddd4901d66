package rabbitmq

import (
	"crypto/tls"
	"crypto/x509"
	"errors"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Explain returns in plain words why connecting failed, when it was not for a
// broker that is away but for one that refuses; "" otherwise. It contains no
// secrets, and nothing that the broker said.
func Explain(err error) string {
	if refused, ok := errors.AsType[*amqp.Error](err); ok {
		switch refused.Code {
		case amqp.AccessRefused:
			return "the broker refuses the login: user name or password are wrong, or the user may log in from the broker's own machine only, as guest may"
		case amqp.NotAllowed:
			return "the broker has no such virtual host, the user may not use it, or it is at its limit of connections; the path of the URL names it, / is %2F there"
		}
		return ""
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the broker's TLS certificate is not accepted; cacertfile in the URL says which are"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the broker's TLS certificate is for another host"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "there is no TLS at the broker's port, which amqps:// asks for"
	}
	return ""
}
