package demo

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The shares of all tenants are all messages, and every endpoint has a place of its own.
func TestPlan(t *testing.T) {
	t.Parallel()
	shares, paths := 0, make(map[string]bool)
	for _, s := range shops() {
		shares += s.share
		require.NotEmpty(t, s.endpoints)
		for _, b := range s.endpoints {
			require.False(t, paths[b.path(&s)], b.path(&s))
			paths[b.path(&s)] = true
		}
	}
	require.Equal(t, 10, shares)
	require.Len(t, shops(), 3)
}

// Messages are JSON of a known kind; of those of one tenant one in forty is poison, and of
// the others none.
func TestMessages(t *testing.T) {
	t.Parallel()
	for _, s := range shops() {
		poison := 0
		for n := int64(1); n <= 400; n++ {
			m, err := s.message(n)
			require.NoError(t, err)
			var o order
			require.NoError(t, json.Unmarshal(m.Payload, &o))
			require.Positive(t, o.Cents)
			require.Equal(t, o.Customer, m.OrderingKey)
			if m.Type == poisonType {
				poison++
			}
		}
		if s.poisoned {
			require.Equal(t, 10, poison, s.id)
		} else {
			require.Zero(t, poison, s.id)
		}
	}
}

// Each receiver fails as it is said, and takes all else.
func TestBehaviors(t *testing.T) {
	t.Parallel()
	failed := func(b behavior, kind string, elapsed time.Duration) (n int) {
		for i := int64(1); i <= 100; i++ {
			think, status := b(i, kind, elapsed)
			require.Less(t, think, 2*time.Second)
			if status != statusTaken {
				n++
			}
		}
		return n
	}
	require.Zero(t, failed(steady, poisonType, time.Hour))
	require.Zero(t, failed(strict, "order.paid", 0))
	require.Equal(t, 100, failed(strict, poisonType, 0))
	require.Equal(t, 25, failed(flaky, "order.paid", 10*time.Second))
	require.Equal(t, 100, failed(flaky, "order.paid", 50*time.Second))
	require.Equal(t, 25, failed(flaky, "order.paid", time.Minute))
	for n := range int64(50) {
		think, status := slow(n+1, "", 0)
		require.Equal(t, statusTaken, status)
		require.GreaterOrEqual(t, think, slowLeast)
		require.Less(t, think, slowMost)
	}
}

// Receivers answer on this machine, count, and are gone when they are closed.
func TestReceivers(t *testing.T) {
	t.Parallel()
	r, err := openReceivers(t.Context(), shops())
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	send := func(path, kind string) (int, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+path, strings.NewReader(`{}`))
		require.NoError(t, err)
		request.Header.Set(headerType, kind)
		answer, err := client.Do(request)
		if err != nil {
			return 0, err //nolint:wrapcheck // of the test
		}
		_, err = io.Copy(io.Discard, answer.Body)
		return answer.StatusCode, errors.Join(err, answer.Body.Close())
	}
	for path, want := range map[string]int{"/bookshop/accounting": statusRefused, "/bookshop/warehouse": statusTaken, "/nowhere": http.StatusNotFound} {
		got, err := send(path, poisonType)
		require.NoError(t, err)
		require.Equal(t, want, got, path)
	}
	require.EqualValues(t, 1, r.taken.Load())
	require.EqualValues(t, 1, r.refused.Load())
	require.True(t, strings.HasPrefix(r.url, "http://127.0.0.1:"))
	r.close()
	_, err = send("/bookshop/warehouse", "")
	require.Error(t, err)
}

// Not every failure is told.
func TestNotes(t *testing.T) {
	t.Parallel()
	told := 0
	n := notes{say: func(error) { told++ }}
	for range 5 {
		n.note(io.EOF)
	}
	require.Equal(t, 1, told)
	n.last = n.last.Add(-quiet)
	n.note(io.EOF)
	require.Equal(t, 2, told)
	(&notes{}).note(io.EOF)
}
