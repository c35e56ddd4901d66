package httpconn

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/certs"
)

// Closing does not wait for who takes no last word: a server that stops closes
// its connections one by one.
func TestClosingWithTLSDoesNotWait(t *testing.T) {
	t.Parallel()
	pair := certs.New(t)
	certificate, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	require.NoError(t, err)
	s := New(Options{TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true}})
	ours, theirs := net.Pipe() // whose writes wait for who reads
	t.Cleanup(func() { _ = theirs.Close() })
	shaken := make(chan error, 1)
	go func() {
		client := tls.Client(theirs, &tls.Config{RootCAs: pair.Pool(t), ServerName: "localhost", MinVersion: tls.VersionTLS13})
		shaken <- client.Handshake()
	}()
	c := newConn(s, ours)
	require.NoError(t, c.greet())
	require.NoError(t, <-shaken)
	begun := time.Now()
	_ = c.Close()
	require.Less(t, time.Since(begun), 2*time.Second)
}
