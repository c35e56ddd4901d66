package controller

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// A stream ends when its right to exist does, and in good order, so that its
// client comes back and learns why.
func TestStreamEnds(t *testing.T) {
	t.Parallel()
	const byTicket = "/api/messages/stream?ticket=" + goodTicket
	soon := func(s *streamAPI, expires time.Time) { s.guard.expires = expires }
	for name, tc := range map[string]struct {
		path    string
		prepare func(s *streamAPI, expires time.Time)
		end     func(s *streamAPI)
		why     string
	}{
		"token revoked": {end: func(s *streamAPI) { s.guard.set(func() { s.guard.recheck = revoked }) }, why: "token_revoked"},
		"token expires": {prepare: soon, why: "token_expired"},
		"role lost": {end: func(s *streamAPI) {
			s.guard.set(func() {
				s.guard.recheck = func(p domain.Principal) (domain.Principal, error) { p.Role = ""; return p, nil }
			})
		}, why: "role_insufficient"},
		"moved to another tenant": {end: func(s *streamAPI) {
			s.guard.set(func() {
				s.guard.recheck = func(p domain.Principal) (domain.Principal, error) {
					p.UserID, p.Role, p.TenantID = otherID, domain.RoleMember, otherID
					return p, nil
				}
			})
		}, why: "tenant_not_found"},
		"tenant deleted": {end: func(s *streamAPI) {
			s.guard.set(func() {
				s.guard.lookup = func() (domain.Tenant, error) { return domain.Tenant{}, domain.TenantNotFound() }
			})
		}, why: "tenant_not_found"},
		"tenant being deleted": {end: func(s *streamAPI) {
			s.guard.set(func() {
				s.guard.lookup = func() (domain.Tenant, error) {
					gone := someTenant()
					gone.Status = domain.TenantDeleting
					return gone, nil
				}
			})
		}, why: "tenant_not_found"},
		"shutdown": {end: func(s *streamAPI) {
			s.stream.fail(domain.New(domain.ErrUnavailable, "shutting_down", "The service is shutting down."))
		}, why: "shutting_down"},
		"behind retention": {end: func(s *streamAPI) { s.stream.fail(domain.CursorExpired()) }, why: "cursor_expired"},
		"ticket lost":      {path: byTicket, end: func(s *streamAPI) { close(s.tickets.lost) }, why: "ticket_lost"},
		"by ticket, shutdown": {path: byTicket, end: func(s *streamAPI) {
			s.stream.fail(domain.New(domain.ErrUnavailable, "shutting_down", "The service is shutting down."))
		}, why: "shutting_down"},
		"by ticket, revoked": {path: byTicket, end: func(s *streamAPI) { s.guard.set(func() { s.guard.recheck = revoked }) }, why: "token_revoked"},
		"by ticket, token expires": {path: byTicket, prepare: func(s *streamAPI, expires time.Time) {
			s.tickets.ticket.Holder.ExpiresAt = expires
		}, why: "token_expired"},
		"by ticket, ticket expires": {path: byTicket, prepare: func(s *streamAPI, expires time.Time) {
			s.tickets.ticket.Holder.ExpiresAt, s.tickets.ticket.ExpiresAt = time.Time{}, expires
		}, why: "token_expired"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStreamAPI(t, func(o *Options) {
				if strings.Contains(name, "expires") {
					o.Streaming.Recheck = time.Hour // its end is known
				}
			})
			expires := time.Now().Add(3 * time.Second)
			if tc.prepare != nil {
				tc.prepare(s, expires)
			}
			if tc.path == "" {
				tc.path = "/api/messages/stream"
			}
			c := s.follow(tc.path)
			require.Equal(t, helloHere, c.block())
			if tc.end != nil {
				looked := s.guard.looked()
				require.Eventually(t, func() bool { return s.guard.looked() > looked+2 }, patience, time.Millisecond)
				tc.end(s)
			}
			require.Equal(t, ": "+tc.why+"\n\n", c.rest())
			if tc.end == nil {
				require.True(t, time.Now().After(expires), "not before it expires")
			}
			s.awaitClosed()
			s.logged(tc.why)
			redeemed, released := s.tickets.counts()
			require.Equal(t, redeemed, released)
			require.Empty(t, s.drops)
		})
	}
}

// What cannot be found out ends nothing.
func TestStreamGoesOnWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	s := newStreamAPI(t)
	c := s.follow("/api/messages/stream")
	c.block()
	more := func() {
		looked := s.guard.looked()
		require.Eventually(t, func() bool { return s.guard.looked() > looked+5 }, patience, time.Millisecond)
		s.stream.frames <- []byte("data: x\n\n")
		require.Equal(t, "data: x\n", c.block())
	}
	s.guard.set(func() {
		s.guard.lookup = func() (domain.Tenant, error) { return domain.Tenant{}, unavailable("database_unavailable") }
	})
	more()
	s.guard.set(func() {
		s.guard.recheck = func(domain.Principal) (domain.Principal, error) {
			return domain.Principal{}, unavailable("database_unavailable")
		}
	})
	more()
}

// The server's limits are for requests: a stream outlives all of them. (That
// for reading is lifted by net/http itself, once a request has no more body.)
func TestStreamOutlivesRequests(t *testing.T) {
	t.Parallel()
	const limit = 2 * time.Second
	s := newStreamAPI(t, func(o *Options) { o.Timeout = limit })
	server := httptest.NewUnstartedServer(s.server.Config.Handler)
	server.Config.ReadTimeout, server.Config.ReadHeaderTimeout = limit, limit
	server.Start()
	t.Cleanup(server.Close)
	s.url = server.URL
	c := s.follow("/api/messages/stream")
	c.block()
	tick := time.NewTicker(limit / 2)
	defer tick.Stop()
	for range 5 {
		<-tick.C
		s.stream.frames <- []byte("data: x\n\n")
		require.Equal(t, "data: x\n", c.block())
	}
	s.stream.fail(domain.CursorExpired())
	c.rest()

	// The connection is as good as before.
	s.streams.mu.Lock()
	s.streams.next = nil
	s.streams.mu.Unlock()
	require.Equal(t, http.StatusOK, s.do("GET", "/api/messages/stream", "").status)
}

func TestHeartbeats(t *testing.T) {
	t.Parallel()
	const pause = 100 * time.Millisecond
	s := newStreamAPI(t, func(o *Options) { o.Streaming.Heartbeat = pause })
	c := s.follow("/api/messages/stream")
	c.block()
	begun := time.Now()
	for range 3 {
		require.Equal(t, ": \n", c.block())
	}
	require.GreaterOrEqual(t, time.Since(begun), 3*pause-pause/10)
	s.stream.frames <- []byte("data: x\n\n")
	for line := ": \n"; line != "data: x\n"; line = c.block() {
		require.Equal(t, ": \n", line)
	}
	require.Equal(t, ": \n", c.block())
}

// There are no heartbeats between events that follow each other closely.
func TestHeartbeatsOnlyWhileThereIsNothingElse(t *testing.T) {
	t.Parallel()
	s := newStreamAPI(t, func(o *Options) { o.Streaming.Heartbeat = 2 * time.Second })
	c := s.follow("/api/messages/stream")
	c.block()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); time.Since(begun) < 7*time.Second; <-tick.C {
		s.stream.frames <- []byte("data: x\n\n")
	}
	s.stream.fail(domain.CursorExpired())
	rest := c.rest()
	require.Less(t, strings.Count(rest, ": \n\n"), 3, "a busy machine may cause some")
}

func TestStreamClientGone(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/api/messages/stream", "/api/messages/stream?ticket=" + goodTicket} {
		s := newStreamAPI(t)
		c := s.follow(path)
		c.block()
		c.hangUp()
		s.awaitClosed()
		line := s.logged("client_gone")
		require.Contains(t, line, `"status":200`)
		require.NotContains(t, line, `"error"`)
		require.NotContains(t, s.logs.String(), goodTicket)
		redeemed, released := s.tickets.counts()
		require.Equal(t, redeemed, released)
		require.Empty(t, s.drops)
	}
}

// rawClient is a connection that reads only when it is told to, and has room
// for little.
type rawClient struct {
	*net.TCPConn

	t *testing.T
}

func (s *streamAPI) dial(request string) *rawClient {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.server.Listener.Addr().String())
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close() })
	tcp, ok := conn.(*net.TCPConn)
	require.True(s.t, ok)
	require.NoError(s.t, tcp.SetReadBuffer(16<<10))
	require.NoError(s.t, tcp.SetDeadline(time.Now().Add(4*patience)))
	_, err = io.WriteString(tcp, "GET "+request+" HTTP/1.1\r\nHost: localhost\r\nAuthorization: admin\r\nX-Tenant-ID: "+tenantID.String()+"\r\n\r\n")
	require.NoError(s.t, err)
	return &rawClient{tcp, s.t}
}

// A client that reads nothing is dropped, and can go on where it was.
func TestStreamDropsWhoDoesNotRead(t *testing.T) {
	t.Parallel()
	const limit = 500 * time.Millisecond
	s := newStreamAPI(t, func(o *Options) { o.Streaming.WriteTimeout = limit })
	s.streams.next = endlessStream{s.stream, []byte("id: 1\ndata: " + strings.Repeat("x", 1<<20) + "\n\n")}
	begun := time.Now()
	c := s.dial("/api/messages/stream?ticket=" + goodTicket)
	select {
	case <-s.drops:
	case <-time.After(2 * patience):
		require.Fail(t, "the client was not dropped")
	}
	require.GreaterOrEqual(t, time.Since(begun), limit)
	s.awaitClosed()
	s.logged("dropped")
	require.Eventually(t, func() bool {
		_, released := s.tickets.counts()
		return released == 1
	}, patience, time.Millisecond)
	require.Empty(t, s.drops, "once")
	// What it reads now breaks off: nothing says that this was all.
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, response.Body)
	require.Error(t, err)
	_ = response.Body.Close() // broken off, too

	s.streams.mu.Lock()
	s.streams.next = nil
	s.streams.mu.Unlock()
	require.Equal(t, http.StatusOK, s.do("GET", "/api/messages/stream", "", "Last-Event-ID: 1").status)
	require.Equal(t, int64(1), *s.streams.froms()[1])
}

// A client that reads slowly is not one that does not read.
func TestStreamBearsSlowReaders(t *testing.T) {
	t.Parallel()
	const limit, size = 4 * time.Second, 8 << 20
	s := newStreamAPI(t, func(o *Options) { o.Streaming.WriteTimeout = limit })
	s.stream.frames <- append(bytes.Repeat([]byte("x"), size), "\n\n"...)
	c := s.dial("/api/messages/stream")
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	begun := time.Now()
	for read := int64(0); read < size; read += 64 << 10 {
		_, err := io.CopyN(io.Discard, response.Body, 64<<10)
		require.NoError(t, err, "after %d bytes", read)
		<-tick.C
	}
	require.Greater(t, time.Since(begun), limit)
	require.Empty(t, s.drops)
	require.NoError(t, c.Close())
	_ = response.Body.Close() // broken off
	s.awaitClosed()
}

// Who must not read any longer gets nothing more, even of what was on its way
// and could not be sent.
func TestStreamEndsWhoDoesNotRead(t *testing.T) {
	t.Parallel()
	for why, end := range map[string]func(s *streamAPI){
		"token_revoked": func(s *streamAPI) { s.guard.set(func() { s.guard.recheck = revoked }) },
		"ticket_lost":   func(s *streamAPI) { close(s.tickets.lost) },
	} {
		s := newStreamAPI(t, func(o *Options) { o.Streaming.WriteTimeout = time.Hour })
		s.stream.frames <- bytes.Repeat([]byte("x"), 64<<20) // more than fits on the way
		s.dial("/api/messages/stream?ticket=" + goodTicket)
		require.Eventually(t, func() bool { return len(s.stream.frames) == 0 }, patience, time.Millisecond)
		looked := s.guard.looked()
		require.Eventually(t, func() bool { return s.guard.looked() > looked+10 }, patience, time.Millisecond)
		end(s)
		s.awaitClosed()
		s.logged(why)
		require.Empty(t, s.drops)
	}
}

// A panic in a stream leaves nothing behind, and cuts the answer off.
func TestStreamPanics(t *testing.T) {
	t.Parallel()
	s := newStreamAPI(t)
	s.streams.next = panicking{s.stream}
	c := s.follow("/api/messages/stream?ticket=" + goodTicket)
	c.block()
	_, err := c.lines.ReadString('\n')
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	s.awaitClosed()
	_, released := s.tickets.counts()
	require.Equal(t, 1, released)
	require.Zero(t, s.tickets.unused())
	require.Contains(t, s.logs.String(), "secret mistake")
}

// panicking panics instead of waiting.
type panicking struct{ *fakeStream }

func (panicking) Next(context.Context) ([]byte, error) { panic("secret mistake") }
