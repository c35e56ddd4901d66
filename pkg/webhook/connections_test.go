package webhook_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/webhook"
)

// forgetful forwards connections to a server. Those it has forgotten stay
// open, and nothing comes through any more, as with a load balancer or a NAT
// that dropped them from its table.
type forgetful struct {
	net.Listener
	wg     sync.WaitGroup
	opened atomic.Int32
	// forgotten is how many of those opened first are forgotten.
	forgotten atomic.Int32
}

func forwardTo(t *testing.T, server string) *forgetful {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &forgetful{Listener: listener}
	ctx, cancel := context.WithCancel(context.Background())
	f.wg.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", server)
			if err != nil {
				_ = near.Close()
				continue
			}
			n := f.opened.Add(1)
			context.AfterFunc(ctx, func() { _, _ = near.Close(), far.Close() })
			f.wg.Go(func() { f.forward(near, far, n) })
			f.wg.Go(func() { f.forward(far, near, n) })
		}
	})
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		cancel()
		f.wg.Wait()
	})
	return f
}

func (f *forgetful) forward(from, to net.Conn, n int32) {
	buffer := make([]byte, 32<<10)
	for {
		read, err := from.Read(buffer)
		if err != nil {
			_ = to.Close()
			return
		}
		if n > f.forgotten.Load() {
			_, _ = to.Write(buffer[:read])
		}
	}
}

// A connection that has gone silent is not used for ever, with whichever
// protocol: where it is shared by all attempts, they would all fail.
func TestASilentConnectionIsGivenUp(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			var spoken atomic.Value
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				spoken.Store(r.Proto)
			}))
			server.EnableHTTP2 = protocol == "HTTP/2.0"
			server.StartTLS()
			t.Cleanup(server.Close)
			between := forwardTo(t, server.Listener.Addr().String())
			client := reachLocal(t)
			client.Trust(server.Certificate())
			e := request("https://" + between.Addr().String())
			require.NoError(t, client.Send(t.Context(), e).Err)
			require.NoError(t, client.Send(t.Context(), e).Err)
			require.Equal(t, protocol, spoken.Load())
			require.EqualValues(t, 1, between.opened.Load(), "the connection is used again")

			between.forgotten.Store(1)
			e.Timeout = 200 * time.Millisecond
			require.EqualError(t, client.Send(t.Context(), e).Err, "timeout")
			e.Timeout = 2 * time.Second // for a busy machine
			require.Eventually(t, func() bool {
				return client.Send(t.Context(), e).Err == nil
			}, 20*time.Second, time.Millisecond)
		})
	}
}

// An endpoint that thinks for longer than a connection may be silent is waited
// for: its connection answers.
func TestASlowAnswerIsWaitedFor(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		<-time.After(7 * time.Second)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	client := reachLocal(t)
	client.Trust(server.Certificate())
	e := request(server.URL)
	e.Timeout = 15 * time.Second
	require.Equal(t, webhook.Result{Status: 200}, outcome(client.Send(t.Context(), e)))
}

// blackHole returns an address at which connecting hangs, as where a firewall
// drops packets: nobody accepts there, and no more fit into the backlog.
func blackHole(t *testing.T) string {
	t.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, syscall.Close(socket)) })
	require.NoError(t, syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, syscall.Listen(socket, 0))
	name, err := syscall.Getsockname(socket)
	require.NoError(t, err)
	inet, ok := name.(*syscall.SockaddrInet4)
	require.True(t, ok)
	address := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: inet.Port}).String()
	for range 10 {
		conn, err := net.DialTimeout("tcp", address, 500*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Fatal("everybody is let in")
	return ""
}

// mute returns the address of a server that takes connections and says
// nothing.
func mute(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		<-done
	})
	return listener.Addr().String()
}

// sockets knows the sockets that a client opened.
type sockets struct {
	mu   sync.Mutex
	open []syscall.RawConn
	most int
}

func (s *sockets) opened(conn syscall.RawConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = append(s.open, conn)
	s.most = max(s.most, s.countLocked())
}

// count returns how many of them are open.
func (s *sockets) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.countLocked()
}

func (s *sockets) countLocked() int {
	var open []syscall.RawConn
	for _, conn := range s.open {
		if conn.Control(func(uintptr) {}) == nil { // else it is closed
			open = append(open, conn)
		}
	}
	s.open = open
	return len(open)
}

// A connection that is not open when its attempt ends is not waited for any
// longer: an endpoint that does not answer costs no more sockets than it has
// attempts at a time, and none afterwards.
func TestAttemptsThatTimeOutLeaveNoSocketsBehind(t *testing.T) {
	t.Parallel()
	const workers, each = 20, 10
	for name, to := range map[string]string{
		"nobody answers the connect":   "http://" + blackHole(t),
		"the same with TLS":            "https://" + blackHole(t),
		"nobody answers the handshake": "https://" + mute(t),
		"nobody answers the request":   "http://" + mute(t),
	} {
		t.Run(name, func(t *testing.T) {
			var s sockets
			client := webhook.NewClientTelling(webhook.ClientOptions{}, s.opened)
			e := request(to)
			e.Timeout = 100 * time.Millisecond
			var wg sync.WaitGroup
			for range workers {
				wg.Go(func() {
					for range each {
						_ = client.Send(t.Context(), e)
					}
				})
			}
			wg.Wait()
			require.EqualError(t, client.Send(t.Context(), e).Err, "timeout")
			require.Eventually(t, func() bool { return s.count() == 0 }, 5*time.Second, time.Millisecond)
			require.LessOrEqual(t, s.most, workers*each/2, "what ended is closed a moment later")
			require.GreaterOrEqual(t, s.most, 1)
		})
	}
}

// An attempt that ends is no reason to close what it has opened: the next one
// uses it.
func TestConnectionsOutliveTheirAttempt(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		if secure {
			server.StartTLS()
		} else {
			server.Start()
		}
		t.Cleanup(server.Close)
		var s sockets
		var opened atomic.Int32
		client := webhook.NewClientTelling(webhook.ClientOptions{}, func(conn syscall.RawConn) {
			opened.Add(1)
			s.opened(conn)
		})
		t.Cleanup(client.Close)
		if secure {
			client.Trust(server.Certificate())
		}
		for range 10 {
			require.NoError(t, client.Send(t.Context(), request(server.URL)).Err)
		}
		require.EqualValues(t, 1, opened.Load())
		require.Equal(t, 1, s.count())
	}
}
