package rabbitmq

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
)

// A broker behind TLS is used like any other, and one whose certificate is not
// trusted is not used.
func TestConnectingWithTLS(t *testing.T) {
	t.Parallel()
	behind, err := url.Parse(devtest.RabbitMQ(t))
	require.NoError(t, err)
	certified := httptest.NewTLSServer(nil)
	defer certified.Close()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certified.TLS.Certificates, MinVersion: tls.VersionTLS12})
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	go forward(listener, behind.Host)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certified.Certificate().Raw}), 0o600))

	front := *behind
	front.Scheme, front.Host = "amqps", listener.Addr().String()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, _, err = dial(ctx, front.String(), "test")
	require.ErrorContains(t, err, "certificate")

	front.RawQuery = url.Values{"cacertfile": {ca}}.Encode()
	c := NewConnection(Options{URLs: []string{front.String()}, Name: "test", Log: slog.New(slog.DiscardHandler)})
	running, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.Run(running) }()
	defer func() { stop(); <-done }()
	s, err := c.Await(ctx)
	require.NoError(t, err)
	ch := open(t, s)
	require.NoError(t, ch.QueueDeclare(ctx, "through-tls", nil))
	ch.Close()

	front.RawQuery = url.Values{"cacertfile": {ca + ".gone"}}.Encode()
	_, _, err = dial(ctx, front.String(), "test")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(ca, nil, 0o600))
	front.RawQuery = url.Values{"cacertfile": {ca}}.Encode()
	_, _, err = dial(ctx, front.String(), "test")
	require.ErrorIs(t, err, errNoCertificate)
}

func forward(from net.Listener, to string) {
	for {
		in, err := from.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = in.Close() }()
			out, err := net.Dial("tcp", to)
			if err != nil {
				return
			}
			defer func() { _ = out.Close() }()
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			_, _ = io.Copy(in, out)
		}()
	}
}
