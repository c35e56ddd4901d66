package httpconn_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/pkg/httpconn"
)

// patience is how long a test waits for what has to come.
const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a server whose connections are kept within bounds.
type site struct {
	t           *testing.T
	addr        string
	connections *httpconn.Connections

	mu     sync.Mutex
	events []httpconn.Event // guarded by mu
}

func (s *site) ended() []httpconn.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]httpconn.Event(nil), s.events...)
}

type connKey struct{}

// serve serves until the test ends. Requests are called by their path.
func serve(t *testing.T, o httpconn.Options, handle http.HandlerFunc) *site {
	t.Helper()
	s := &site{t: t}
	o.Ended = func(e httpconn.Event) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, e)
	}
	s.connections = httpconn.New(o)
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = listener.Addr().String()
	server := &http.Server{
		ReadHeaderTimeout: patience, ConnState: s.connections.State,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, ok := r.Context().Value(connKey{}).(*httpconn.Conn)
			if ok {
				conn.Serving(r.URL.Path)
			}
			handle(w, r)
		}),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(s.connections.Listen(listener))
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
		require.Eventually(t, func() bool { return s.connections.Open() == 0 }, patience, time.Millisecond)
	})
	return s
}

// dial connects from a loopback address, with a receive buffer that is small.
func (s *site) dial(from string) *net.TCPConn {
	s.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience, Control: smallReceiveBuffer}
	conn, err := dialer.DialContext(s.t.Context(), "tcp", s.addr)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(s.t, conn.SetDeadline(time.Now().Add(patience)))
	tcp, ok := conn.(*net.TCPConn)
	require.True(s.t, ok)
	return tcp
}

func (s *site) ask(from string, requests ...string) *net.TCPConn {
	s.t.Helper()
	conn := s.dial(from)
	_, err := conn.Write([]byte(strings.Join(requests, "")))
	require.NoError(s.t, err)
	return conn
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }

// outcome is how a handler ended.
type outcome struct {
	err  error
	gone bool
}

// pieces writes n bytes in pieces and returns how that ended.
func pieces(n, piece int, ended chan<- outcome) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		data := bytes.Repeat([]byte("x"), piece)
		var err error
		for sent := 0; sent < n && err == nil; sent += piece {
			_, err = w.Write(data)
		}
		if err == nil {
			err = http.NewResponseController(w).Flush()
		}
		ended <- outcome{err, r.Context().Err() != nil}
	}
}

func TestUnreadAnswerIsCut(t *testing.T) {
	t.Parallel()
	for name, piece := range map[string]int{"whole": 8 << 20, "in pieces": 16 << 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan outcome, 1)
			s := serve(t, httpconn.Options{Pace: httpconn.Pace{Floor: 300 * time.Millisecond, Rate: 1 << 20}}, pieces(8<<20, piece, ended))
			conn := s.ask("127.0.0.1", get("/page"))
			select {
			case got := <-ended:
				require.Error(t, got.err)
				require.True(t, got.gone, "the request goes on")
			case <-time.After(patience):
				require.FailNow(t, "the handler waits for ever for who does not read")
			}
			require.Eventually(t, func() bool { return s.connections.Open() == 0 }, patience, time.Millisecond)
			events := s.ended()
			require.Len(t, events, 1)
			require.Equal(t, httpconn.Unread, events[0].Reason)
			require.Equal(t, "/page", events[0].Request)
			require.Equal(t, conn.LocalAddr().String(), events[0].Remote.String())
			require.Less(t, events[0].Written, int64(2<<20), "the system has taken more than was read")
		})
	}
}

func TestReadersByTheirRate(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rate  int // what the client reads in a second
		whole bool
	}{
		"twice the rate":   {2 << 20, true},
		"half of the rate": {512 << 10, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const size = 8 << 20
			ended := make(chan outcome, 1)
			s := serve(t, httpconn.Options{Pace: httpconn.Pace{Floor: time.Second, Rate: 1 << 20}}, pieces(size, 64<<10, ended))
			conn := s.ask("127.0.0.1", get("/page"))
			require.NoError(t, conn.SetReadBuffer(256<<10)) // the window must not be what is slow
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			total := 0
			buffer := make([]byte, tc.rate/50)
			for range tick.C {
				n, err := conn.Read(buffer)
				if total += n; err != nil || total >= size {
					break
				}
			}
			got := <-ended
			require.Equal(t, tc.whole, got.err == nil, "after %d bytes: %v", total, got.err)
			if tc.whole {
				require.Empty(t, s.ended())
			} else {
				require.Len(t, s.ended(), 1)
			}
		})
	}
}

// The time in which an answer is made is not the client's, every answer has a
// floor of its own, and requests that were sent together are answered one by
// one.
func TestEveryAnswerHasItsOwnTime(t *testing.T) {
	t.Parallel()
	const floor = 250 * time.Millisecond
	s := serve(t, httpconn.Options{Pace: httpconn.Pace{Floor: floor, Rate: 1 << 20}}, func(w http.ResponseWriter, r *http.Request) {
		for range 3 {
			_, _ = io.WriteString(w, "a\n")
			_ = http.NewResponseController(w).Flush()
			if r.URL.Path == "/slow" {
				<-time.After(floor)
			}
		}
	})
	conn := s.ask("127.0.0.1", get("/slow"), get("/quick"), "HEAD /quick HTTP/1.1\r\nHost: x\r\n\r\n", get("/slow"))
	in := bufio.NewReader(conn)
	for _, method := range []string{"GET", "GET", "HEAD", "GET"} {
		response, err := http.ReadResponse(in, &http.Request{Method: method})
		require.NoError(t, err)
		content, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		if method == "GET" {
			require.Equal(t, "a\na\na\n", string(content))
		}
	}
	require.Empty(t, s.ended())
}

// A handler that sets deadlines is not hurried by others, and they do not
// outlive its answer.
func TestOwnDeadlines(t *testing.T) {
	t.Parallel()
	const floor = 200 * time.Millisecond
	ended := make(chan outcome, 1)
	s := serve(t, httpconn.Options{Pace: httpconn.Pace{Floor: floor, Rate: 1 << 20}}, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		switch r.URL.Path {
		case "/short":
			_ = control.SetWriteDeadline(time.Now().Add(floor / 10))
			_, _ = io.WriteString(w, "short")
			_ = control.Flush()
		case "/after":
			<-time.After(floor / 5) // the deadline of the one before has passed
			_, _ = io.WriteString(w, "after")
		case "/long":
			_ = control.SetWriteDeadline(time.Now().Add(patience))
			pieces(8<<20, 64<<10, ended)(w, r)
		}
	})
	conn := s.ask("127.0.0.1", get("/short"), get("/after"), get("/long"))
	in := bufio.NewReader(conn)
	for _, want := range []string{"short", "after"} {
		response, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		content, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, want, string(content))
	}
	<-time.After(4 * floor) // reads nothing for longer than the pace would allow
	_, err := io.CopyN(io.Discard, in, 8<<20)
	require.NoError(t, err)
	require.NoError(t, (<-ended).err)
	require.Empty(t, s.ended())
}

// Answers that are small are buffered and written after their handler has
// ended, and net/http answers what is no request by itself.
func TestWhatNoHandlerWritesIsCutToo(t *testing.T) {
	t.Parallel()
	s := serve(t, httpconn.Options{Pace: httpconn.Pace{Floor: 200 * time.Millisecond, Rate: 1 << 20}}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Large", strings.Repeat("x", 1000))
		_, _ = fmt.Fprint(w, "small")
	})
	conn := s.dial("127.0.0.1")
	request := []byte(strings.Repeat(get("/small"), 100))
	var err error
	for err == nil { // and reads nothing
		_, err = conn.Write(request)
	}
	require.Eventually(t, func() bool { return len(s.ended()) == 1 && s.connections.Open() == 0 }, patience, time.Millisecond)
	require.Equal(t, "/small", s.ended()[0].Request)
}
