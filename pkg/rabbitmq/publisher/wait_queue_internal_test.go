package publisher

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWaitingRequestsTakeTurns(t *testing.T) {
	t.Parallel()
	w := &waitQueue{requests: make(map[string][]*request)}
	for _, queue := range []string{"a", "a", "b", "c", "b", "a"} {
		w.add(&request{queue: queue})
	}
	require.True(t, w.has("b"))
	served := func(slots int) (order string) {
		w.serveAll(func(r *request) (done, more bool) {
			if slots == 0 || r.queue == "b" {
				return false, true
			}
			slots--
			order += r.queue
			return true, true
		})
		return order
	}
	require.Equal(t, "aa", served(2))
	require.Equal(t, []string{"b", "c", "a"}, w.order)
	require.Equal(t, "c", served(1))
	require.Equal(t, []string{"b", "a"}, w.order)
	errGone := errors.New("gone")
	require.Equal(t, 1, w.failWhere(func(r *request) error {
		if r.queue == "a" {
			return errGone
		}
		return nil
	}))
	require.Equal(t, []string{"b"}, w.order)
	w.serveAll(func(*request) (done, more bool) { return true, false })
	require.Len(t, w.requests["b"], 1, "nothing more after the channel broke")
	require.Equal(t, 1, w.failWhere(func(*request) error { return errGone }))
	require.Empty(t, slices.Concat(w.order))
	require.Empty(t, w.requests)
}
