package client_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/client"
	"lanekeeper/pkg/sse"
)

// event is a message as the service sends it.
func event(seq int64) string {
	return fmt.Sprintf("id: %d\nevent: message\ndata: {\"id\":\"m%d\",\"seq\":%d,\"payload\":{\"n\":%d}}\n\n", seq, seq, seq, seq)
}

// script is what one stream after the other does.
type script struct {
	mu     sync.Mutex
	places []string // where each wanted to begin
	parts  []func(w http.ResponseWriter, r *http.Request)
}

func (s *script) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	n := len(s.places)
	s.places = append(s.places, r.Header.Get("Last-Event-ID"))
	part := s.parts[min(n, len(s.parts)-1)]
	s.mu.Unlock()
	part(w, r)
}

func (s *script) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.places...)
}

// send sends these pieces and ends the stream.
func send(pieces ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "retry: 3000\n: open\n\n"+strings.Join(pieces, ""))
	}
}

// sendAndWait sends them and leaves the stream open.
func sendAndWait(pieces ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		send(pieces...)(w, r)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

func refuseStream(status int, code, retryAfter string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { refuse(w, status, code, retryAfter) }
}

// take reads n messages, and returns their seqs and what ended them.
func take(messages iter.Seq2[client.Message, error], n int) (seqs []int64, end error) {
	for m, err := range messages {
		if err != nil {
			return seqs, err
		}
		if seqs = append(seqs, m.Seq); len(seqs) == n {
			break
		}
	}
	return seqs, nil
}

func TestStreamGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	s := script{parts: []func(http.ResponseWriter, *http.Request){
		send(event(3), event(4)),
		send(), // nothing
		refuseStream(http.StatusServiceUnavailable, "shutting_down", "7"),
		send(event(4), event(5), strings.TrimSuffix(event(6), "\n")), // one again, and one whose end is missing
		func(w http.ResponseWriter, r *http.Request) {
			send(event(6))(w, r)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler) // cut off
		},
		sendAndWait(event(7), ": \n\n", event(8)),
	}}
	inTime(t, s.serve, func(t *testing.T, w *world) {
		seqs, err := take(w.client.Stream(t.Context(), client.StreamOptions{After: 2}), 6)
		require.NoError(t, err)
		require.Equal(t, []int64{3, 4, 5, 6, 7, 8}, seqs)
		require.Equal(t, []string{"2", "4", "4", "4", "5", "6"}, s.seen())
		require.GreaterOrEqual(t, w.since(), 10*time.Second, "an empty stream and Retry-After were waited for")
	})
}

// Without a place a stream begins now, and goes on at the place that it was told even
// if it had no message yet.
func TestStreamFromNow(t *testing.T) {
	t.Parallel()
	s := script{parts: []func(http.ResponseWriter, *http.Request){
		send(), send("id: 41\n: open\n\n"), sendAndWait(event(42)),
	}}
	inTime(t, s.serve, func(t *testing.T, w *world) {
		seqs, err := take(w.client.Stream(t.Context(), client.StreamOptions{After: client.Now}), 1)
		require.NoError(t, err)
		require.Equal(t, []int64{42}, seqs)
		require.Equal(t, []string{"", "", "41"}, s.seen())
	})
}

// With After 0 it begins at the oldest message that is kept, whichever that is.
func TestStreamFromTheBeginning(t *testing.T) {
	t.Parallel()
	s := script{parts: []func(http.ResponseWriter, *http.Request){sendAndWait(event(1000), event(1001))}}
	inTime(t, s.serve, func(t *testing.T, w *world) {
		seqs, err := take(w.client.Stream(t.Context(), client.StreamOptions{}), 2)
		require.NoError(t, err)
		require.Equal(t, []int64{1000, 1001}, seqs)
		require.Equal(t, []string{"0"}, s.seen())
	})
}

// A stream without a byte is dead, one with heartbeats is not, and neither is one whose
// reader takes its time.
func TestStreamThatFellSilent(t *testing.T) {
	t.Parallel()
	s := script{parts: []func(http.ResponseWriter, *http.Request){
		func(w http.ResponseWriter, r *http.Request) {
			send(event(1), event(2))(w, r)
			for range 4 {
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(40 * time.Second):
				case <-r.Context().Done():
					return
				}
				_, _ = io.WriteString(w, ": \n\n")
			}
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		sendAndWait(event(3)),
	}}
	var told []client.Attempted
	inTime(t, s.serve, func(t *testing.T, w *world) {
		var seqs []int64
		for m, err := range w.client.Stream(t.Context(), client.StreamOptions{}) {
			require.NoError(t, err)
			if seqs = append(seqs, m.Seq); m.Seq == 3 {
				break
			}
			time.Sleep(50 * time.Second) //nolint:forbidigo // a reader that takes its time; it passes at once
		}
		require.Equal(t, []int64{1, 2, 3}, seqs)
		require.Equal(t, []string{"0", "2"}, s.seen())
		require.Len(t, told, 1)
		require.ErrorIs(t, told[0].Err, sse.ErrSilent)
		require.GreaterOrEqual(t, w.since(), (4*40+45)*time.Second)
	}, client.WithAttempts(func(a client.Attempted) { told = append(told, a) }))
}

// Messages that are missing are asked for once more.
func TestStreamWithAHole(t *testing.T) {
	t.Parallel()
	once := script{parts: []func(http.ResponseWriter, *http.Request){sendAndWait(event(1), event(3)), sendAndWait(event(2), event(3))}}
	inTime(t, once.serve, func(t *testing.T, w *world) {
		seqs, err := take(w.client.Stream(t.Context(), client.StreamOptions{}), 3)
		require.NoError(t, err)
		require.Equal(t, []int64{1, 2, 3}, seqs)
	})
	ever := script{parts: []func(http.ResponseWriter, *http.Request){sendAndWait(event(1), event(3)), sendAndWait(event(3))}}
	inTime(t, ever.serve, func(t *testing.T, w *world) {
		seqs, err := take(w.client.Stream(t.Context(), client.StreamOptions{}), 3)
		var gap *client.GapError
		require.ErrorAs(t, err, &gap)
		require.Equal(t, client.GapError{Want: 2, Got: 3}, *gap)
		require.Equal(t, []int64{1}, seqs)
	})
}

func TestStreamEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		code   client.Code
	}{{http.StatusConflict, client.CodeCursorAhead}, {http.StatusGone, client.CodeCursorExpired}, {http.StatusUnauthorized, client.CodeTokenRevoked}} {
		s := script{parts: []func(http.ResponseWriter, *http.Request){send(event(1)), refuseStream(c.status, string(c.code), "")}}
		inTime(t, s.serve, func(t *testing.T, w *world) {
			seqs, err := take(w.client.Stream(t.Context(), client.StreamOptions{}), 2)
			require.ErrorIs(t, err, c.code)
			require.Equal(t, []int64{1}, seqs)
		})
	}
	// The context ends it, while it waits for messages and while it waits for a server.
	for _, then := range []func(http.ResponseWriter, *http.Request){sendAndWait(event(1)), send(event(1)), refuseStream(http.StatusServiceUnavailable, "busy", "1")} {
		s := script{parts: []func(http.ResponseWriter, *http.Request){send(event(1)), then}}
		inTime(t, s.serve, func(t *testing.T, w *world) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			end := make(chan error, 1)
			go func() {
				_, err := take(w.client.Stream(ctx, client.StreamOptions{}), 2)
				end <- err
			}()
			time.AfterFunc(10*time.Minute, cancel)
			require.ErrorIs(t, <-end, context.Canceled)
			require.Equal(t, 10*time.Minute, w.since())
		})
	}
	// A server that was never there ends it as it ends any call.
	inTime(t, send(), func(t *testing.T, w *world) {
		w.away = 1 << 30
		_, err := take(w.client.Stream(t.Context(), client.StreamOptions{}), 1)
		require.ErrorContains(t, err, "service.test")
		require.LessOrEqual(t, w.since(), client.DefaultRetryFor)
	})
}
