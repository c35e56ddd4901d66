package client_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/pkg/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// network is where a server is reached within this process, so that time can be
// synctest's: what comes is real HTTP. It is a net.Listener.
type network struct {
	accepted chan net.Conn
	closed   chan struct{}
	close    func()

	mu   sync.Mutex
	away int // so many attempts to connect fail
	open []net.Conn
}

func newNetwork() *network {
	n := &network{accepted: make(chan net.Conn), closed: make(chan struct{})}
	n.close = sync.OnceFunc(func() { close(n.closed) })
	return n
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.accepted:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error {
	n.close()
	return nil
}

func (*network) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	away := n.away > 0
	if away {
		n.away--
	}
	n.mu.Unlock()
	if away {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: net.UnknownNetworkError("nobody is there")}
	}
	here, there := net.Pipe()
	n.mu.Lock()
	n.open = append(n.open, there)
	n.mu.Unlock()
	select {
	case n.accepted <- there:
		return here, nil
	case <-n.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// cut breaks all connections.
func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.open {
		_ = c.Close()
	}
	n.open = nil
}

// world is a client and the way to its server.
type world struct {
	*network

	client *client.Client
	begun  time.Time
}

// since is how long the test has taken, by its own clock.
func (w *world) since() time.Duration { return time.Since(w.begun) }

// inTime runs a test against a server whose time is not that of this machine: waiting
// takes no time.
func inTime(t *testing.T, handle http.HandlerFunc, test func(t *testing.T, w *world), options ...client.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		server := &http.Server{Handler: handle}
		served := make(chan error, 1)
		go func() { served <- server.Serve(n) }()
		transport := client.NewTransport()
		transport.Proxy, transport.DialContext = nil, n.dial
		c, err := client.New("http://service.test", append([]client.Option{
			client.WithHTTPClient(&http.Client{Transport: transport}), client.WithTenant("t1"),
		}, options...)...)
		require.NoError(t, err)
		defer func() {
			c.Close()
			n.cut()
			require.NoError(t, server.Close())
			require.ErrorIs(t, <-served, http.ErrServerClosed)
		}()
		test(t, &world{n, c, time.Now()})
	})
}

// calls counts calls, and remembers their idempotency keys.
type calls struct {
	mu   sync.Mutex
	keys []string
}

func (c *calls) next(r *http.Request) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = append(c.keys, r.Header.Get("Idempotency-Key"))
	return len(c.keys)
}

func (c *calls) seen() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.keys...)
}

// refuse answers with a problem document.
func refuse(w http.ResponseWriter, status int, code, retryAfter string) {
	w.Header().Set("Content-Type", "application/problem+json")
	if retryAfter != "" {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`{"type":"about:blank","title":"T","detail":"It is so.","code":"` + code + `","request_id":"r1"}`))
}

func say(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}
