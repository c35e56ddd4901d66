package httpconn_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/httpconn"
)

// held answers at once, except for /hold, which waits until the test ends.
func held(t *testing.T) http.HandlerFunc {
	t.Helper()
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/hold" {
			return
		}
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
}

// open opens n connections and waits until the server has them all.
func (s *site) open(from string, n int) []*net.TCPConn {
	s.t.Helper()
	conns := make([]*net.TCPConn, n)
	for i := range conns {
		before := s.connections.Open() + len(s.ended())
		conns[i] = s.dial(from)
		require.Eventually(s.t, func() bool { return s.connections.Open()+len(s.ended()) > before }, patience, time.Millisecond)
	}
	return conns
}

// hold opens n connections with a request each that is not done.
func (s *site) hold(from string, n int) []*net.TCPConn {
	s.t.Helper()
	conns := make([]*net.TCPConn, n)
	for i := range conns {
		conns[i] = s.ask(from, get("/hold"))
		s.answered(conns[i], http.StatusOK)
	}
	return conns
}

// answered reads the head of an answer and requires its status.
func (s *site) answered(c net.Conn, status int) {
	s.t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(s.t, err)
	require.Equal(s.t, status, response.StatusCode)
	if status != http.StatusOK {
		require.NoError(s.t, response.Body.Close())
	}
}

// lives reports whether the server has not closed the connection.
func lives(t *testing.T, c *net.TCPConn) bool {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err := c.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	require.True(t, err == nil || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET), "%v", err)
	return false
}

func count(t *testing.T, conns []*net.TCPConn) (living int) {
	t.Helper()
	for _, c := range conns {
		if lives(t, c) {
			living++
		}
	}
	return living
}

// An address that opens too many loses its own idle ones, the longest idle
// first, and those of others stay.
func TestShareOfAnAddress(t *testing.T) {
	t.Parallel()
	s := serve(t, httpconn.Options{Limit: 100, PerAddress: 5}, held(t))
	others := append(s.hold("127.0.0.2", 2), s.open("127.0.0.3", 3)...)
	conns := s.open("127.0.0.1", 12)
	require.Equal(t, 5, count(t, conns[7:]))
	require.Zero(t, count(t, conns[:7]))
	require.Equal(t, 5, count(t, others))
	for _, e := range s.ended() {
		require.Equal(t, httpconn.IdleAddress, e.Reason)
	}
	require.Len(t, s.ended(), 7)

	// What has been used is idle for less long than what has not.
	require.NoError(t, conns[7].SetDeadline(time.Now().Add(patience)))
	_, err := conns[7].Write([]byte(get("/")))
	require.NoError(t, err)
	s.answered(conns[7], http.StatusOK)
	require.Equal(t, 1, count(t, s.open("127.0.0.1", 1)))
	require.True(t, lives(t, conns[7]))
	require.False(t, lives(t, conns[8]))
}

// What an address uses is not closed, not for itself either.
func TestShareOfAnAddressInUse(t *testing.T) {
	t.Parallel()
	s := serve(t, httpconn.Options{Limit: 100, PerAddress: 3}, held(t))
	used := s.hold("127.0.0.1", 3)
	refused := s.dial("127.0.0.1")
	s.answered(refused, http.StatusServiceUnavailable)
	require.Equal(t, 3, count(t, used))
	require.Equal(t, httpconn.RefusedAddress, s.ended()[0].Reason)
	require.Equal(t, 1, count(t, s.hold("127.0.0.2", 1)))
}

// When there is no room left, the address that has most loses an idle one, and
// one that has fewer than the newcomer's loses none.
func TestAllConnections(t *testing.T) {
	t.Parallel()
	s := serve(t, httpconn.Options{Limit: 10, PerAddress: 6}, held(t))
	few := s.open("127.0.0.2", 2) // the longest idle of all
	used := s.hold("127.0.0.3", 2)
	many := s.open("127.0.0.1", 6)
	fresh := s.hold("127.0.0.4", 3)
	require.Equal(t, 3, count(t, many))
	require.Equal(t, 2, count(t, few))
	require.Equal(t, 2, count(t, used))
	require.Equal(t, 3, count(t, fresh))
	require.Equal(t, 10, s.connections.Open())
	require.Equal(t, httpconn.IdleAll, s.ended()[0].Reason)

	// Nobody gets more than the others by driving them out.
	greedy := s.hold("127.0.0.4", 1)
	s.answered(s.dial("127.0.0.4"), http.StatusServiceUnavailable)
	require.Equal(t, httpconn.RefusedAll, s.ended()[len(s.ended())-1].Reason)
	require.Equal(t, 2, count(t, many))
	require.Equal(t, 5, count(t, append(append(few, used...), greedy...)))
}

func TestProxiesHaveNoShareOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := serve(t, httpconn.Options{Limit: 8, PerAddress: 3, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}, held(t))
	conns := s.hold("127.0.0.1", 5)
	idle := s.open("127.0.0.1", 3)
	require.Equal(t, 8, count(t, append(conns, idle...)))
	// It is the only one that may lose an idle one of its own.
	s.answered(s.dial("127.0.0.2"), http.StatusServiceUnavailable)
	require.Equal(t, 1, count(t, s.hold("127.0.0.1", 1)))
	require.Equal(t, 2, count(t, idle))
}

func TestClosedConnectionsAreNotCounted(t *testing.T) {
	t.Parallel()
	s := serve(t, httpconn.Options{Limit: 4, PerAddress: 4}, held(t))
	for range 50 {
		conn := s.ask("127.0.0.1", get("/"))
		s.answered(conn, http.StatusOK)
		require.NoError(t, conn.Close())
		require.Eventually(t, func() bool { return s.connections.Open() == 0 }, patience, time.Millisecond)
	}
	require.Empty(t, s.ended())
}
