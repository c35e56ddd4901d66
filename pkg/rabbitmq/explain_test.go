package rabbitmq

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
)

// buffer is written to by a logger while a test reads.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// A broker that refuses is not said to be away, and no secret is logged.
func TestRefusalsAreSaidAsWhatTheyAre(t *testing.T) {
	t.Parallel()
	const canary = "hunter2"
	good, err := url.Parse(devtest.RabbitMQ(t))
	require.NoError(t, err)
	with := func(change func(*url.URL)) string {
		u := *good
		change(&u)
		return u.String()
	}
	for name, c := range map[string]struct{ url, says string }{
		"password":     {with(func(u *url.URL) { u.User = url.UserPassword("guest", canary) }), "refuses the login"},
		"user":         {with(func(u *url.URL) { u.User = url.UserPassword("nobody", canary) }), "refuses the login"},
		"virtual host": {with(func(u *url.URL) { u.Path = "/nowhere" }), "no such virtual host"},
		"TLS":          {with(func(u *url.URL) { u.Scheme = "amqps" }), "no TLS at the broker's port"},
		"away":         {"amqp://a:" + canary + "@127.0.0.1:1/", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := dial(t.Context(), c.url, "test")
			require.Error(t, err)
			if c.says == "" {
				require.Empty(t, Explain(err))
				return
			}
			require.Contains(t, Explain(err), c.says, "%v", err)

			var log buffer
			connection := NewConnection(Options{URLs: []string{c.url}, Name: "test", Log: slog.New(slog.NewTextHandler(&log, nil))})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { defer close(ended); connection.Run(ctx) }()
			t.Cleanup(func() { cancel(); <-ended })
			require.Eventually(t, func() bool { return strings.Contains(log.String(), "level=ERROR") }, 10*time.Second, 10*time.Millisecond)
			require.Contains(t, log.String(), c.says)
			require.NotContains(t, log.String(), canary)
		})
	}
}

// A connection that is cut during the login, as by a broker that ends, is no refusal.
func TestLoginThatIsCutIsNoRefusal(t *testing.T) {
	t.Parallel()
	broker, err := url.Parse(devtest.RabbitMQ(t))
	require.NoError(t, err)
	address := broker.Host
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	go func() {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		server, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		defer server.Close()
		go func() { _, _ = io.Copy(client, server) }()
		head := make([]byte, greeting)
		if _, err := io.ReadFull(client, head); err == nil {
			_, _ = server.Write(head)
		}
		_, _ = client.Read(make([]byte, 1)) // of connection.start-ok
	}()
	broker.Host = listener.Addr().String()
	_, _, err = dial(t.Context(), broker.String(), "test")
	require.ErrorIs(t, err, errLoginCut)
	require.Empty(t, Explain(err))
}
