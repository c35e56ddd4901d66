package webhook

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// attemptKey is where a request's context has the context of its attempt.
type attemptKey struct{}

// withAttempt returns ctx, from which a connection that is opened for it finds
// back to it. net/http opens connections on a context that has the values of
// the request's, but neither its end nor its deadline: a host that answers
// nothing would hold a socket for as long as the kernel tries, which is two
// minutes, long after the attempt that wanted it.
func withAttempt(ctx context.Context) context.Context {
	return context.WithValue(ctx, attemptKey{}, ctx)
}

// during returns ctx with the end and the deadline of the attempt. Call done
// when the connection is open or given up.
func during(ctx context.Context) (limited context.Context, done func()) {
	attempt, ok := ctx.Value(attemptKey{}).(context.Context)
	if !ok {
		return context.WithTimeout(ctx, longestTimeout)
	}
	deadline, ok := attempt.Deadline()
	if !ok {
		deadline = time.Now().Add(longestTimeout)
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	stop := context.AfterFunc(attempt, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// dialer opens connections. One that is not open, TLS included, when its
// attempt ends is given up, so that no more are under way than attempts are.
// Of a host with several addresses each gets its share of the attempt's time.
type dialer struct {
	net net.Dialer
	tls *tls.Config
}

func newDialer(resolver *net.Resolver, check guard) *dialer {
	return &dialer{
		net: net.Dialer{Resolver: resolver, ControlContext: check},
		tls: &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}},
	}
}

// plain is an http.Transport.DialContext.
func (d *dialer) plain(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, done := during(ctx)
	defer done()
	return d.net.DialContext(ctx, network, address) //nolint:wrapcheck // net/http and explain look at its type
}

// secure is an http.Transport.DialTLSContext.
func (d *dialer) secure(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, done := during(ctx)
	defer done()
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("split address: %w", err)
	}
	plain, err := d.net.DialContext(ctx, network, address)
	if err != nil {
		return nil, err //nolint:wrapcheck // as above
	}
	config := d.tls.Clone()
	config.ServerName = host
	conn := tls.Client(plain, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = plain.Close()
		return nil, err //nolint:wrapcheck // as above
	}
	return conn, nil
}
