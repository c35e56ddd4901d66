package webhook_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/webhook"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 10, 0, 0, 500, time.UTC)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Retry-After"] = r.URL.Query()["after"]
		status := http.StatusServiceUnavailable
		switch r.URL.Path {
		case "/429":
			status = http.StatusTooManyRequests
		case "/500":
			status = http.StatusInternalServerError
		case "/200":
			status = http.StatusOK
		}
		w.WriteHeader(status)
	})
	client := newClient(t, webhook.ClientOptions{AllowPrivate: true, Now: func() time.Time { return now }})
	for query, want := range map[string]time.Duration{
		"/429?after=60": time.Minute, "/503?after=60": time.Minute, "/500?after=60": 0, "/200?after=60": 0,
		"/503": 0, "/503?after=": 0, "/503?after=0": 0, "/503?after=-5": 0, "/503?after=1.5": 0, "/503?after=soon": 0,
		"/503?after=4000000000": 30 * 24 * time.Hour, "/503?after=99999999999999999999": 0,
		"/503?after=Sat, 21 Nov 2026 10:02:00 GMT":           2*time.Minute - 500,
		"/429?after=Saturday, 21-Nov-26 10:02:00 GMT":        2*time.Minute - 500,
		"/503?after=Sat, 21 Nov 2026 09:00:00 GMT":           0,
		"/503?after=Fri, 21 Nov 9999 10:00:00 GMT":           30 * 24 * time.Hour,
		"/503?after=2026-11-21T10:02:00Z":                    0,
		"/503?after=120&after=Sat, 21 Nov 2026 10:02:00 GMT": 2 * time.Minute,
	} {
		require.Equal(t, want, client.Send(t.Context(), request(server.URL+query)).RetryAfter, query)
	}
}

func TestTheBeginningOfTheAnswerIsKept(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/short":
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "out of \x00 order")
		case "/long":
			_, _ = io.WriteString(w, strings.Repeat("x", 5000))
		case "/cut":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
		}
	})
	client := reachLocal(t)
	answer := func(path string) string { return string(client.Send(t.Context(), request(server.URL+path)).Answer) }
	require.Equal(t, "out of \x00 order", answer("/short"))
	require.Equal(t, strings.Repeat("x", 4096), answer("/long"))
	require.Equal(t, "half", answer("/cut"))
	require.Nil(t, client.Send(t.Context(), request(server.URL+"/none")).Answer)
}

func TestWhenAnAttemptBeganAndHowLongItTook(t *testing.T) {
	t.Parallel()
	const pause = 200 * time.Millisecond
	server := serve(t, func(http.ResponseWriter, *http.Request) { <-time.After(pause) })
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC) // a clock that stands still
	client := newClient(t, webhook.ClientOptions{AllowPrivate: true, Now: func() time.Time { return now }})
	result := client.Send(t.Context(), request(server.URL))
	require.Equal(t, now, result.Started)
	require.GreaterOrEqual(t, result.Duration, pause)
}

// What the caller's context ends says nothing about the receiver; what the timeout
// ends does.
func TestAborted(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 1)
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		begun <- struct{}{}
		<-r.Context().Done()
	})
	client := reachLocal(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	result := client.Send(ctx, request(server.URL))
	require.True(t, result.Aborted)
	require.ErrorIs(t, result.Err, context.Canceled)
	require.Zero(t, result.Status)

	hurried := request(server.URL)
	hurried.Timeout = 100 * time.Millisecond
	result = client.Send(t.Context(), hurried)
	<-begun
	require.False(t, result.Aborted)
	require.EqualError(t, result.Err, "timeout")
}

// A receiver that takes the connection and reads nothing, and one whose answer is
// none.
func TestReceiversThatDoNotSpeakHTTP(t *testing.T) {
	t.Parallel()
	client := reachLocal(t)
	large := request("http://" + mute(t))
	large.Body = []byte(strings.Repeat("x", 16<<20)) // more than sockets hold
	large.Timeout = 300 * time.Millisecond
	result := client.Send(t.Context(), large)
	require.EqualError(t, result.Err, "timeout")
	require.Less(t, result.Duration, 5*time.Second)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	garbage := []string{"\x00\xff\x00\xff\r\n\r\n", "SSH-2.0-OpenSSH_9\r\n", "HTTP/1.1 2000 OK\r\n\r\n", strings.Repeat("x", 200<<10)}
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, garbage[i%len(garbage)])
			_ = conn.Close()
		}
	}()
	for range garbage {
		result := client.Send(t.Context(), request("http://"+listener.Addr().String()))
		require.EqualError(t, result.Err, "the connection broke before there was an answer")
		require.Zero(t, result.Status)
		require.Nil(t, result.Answer)
	}
	require.NoError(t, listener.Close())
	<-done
}
