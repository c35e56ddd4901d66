package broker

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/rabbitmq"
)

func newTestQuarantine() *quarantine {
	q := newQuarantine()
	q.lanes([]*rabbitmq.Connection{nil}, nil, nil, slog.New(slog.DiscardHandler))
	return q
}

func TestSuspectsHaveLanesOfTheirOwnUntilTheyAreAcquitted(t *testing.T) {
	t.Parallel()
	q := newTestQuarantine()
	s, err := q.enter(t.Context(), "a")
	require.NoError(t, err)
	require.Nil(t, s)
	q.add([]string{"a", "b", "a"})
	first, err := q.enter(t.Context(), "a")
	require.NoError(t, err)
	second, err := q.enter(t.Context(), "a")
	require.NoError(t, err)
	other, err := q.enter(t.Context(), "b")
	require.NoError(t, err)
	require.Same(t, first.lane, second.lane)
	require.NotSame(t, first.lane, other.lane)
	require.Len(t, q.idle, isolationLanes-2)

	q.acquit(first)
	require.False(t, q.holds("a"))
	require.Len(t, q.idle, isolationLanes-2, "two calls are under way")
	q.leave(first)
	q.add([]string{"a"})
	require.True(t, q.holds("a"), "it is silent again")
	q.leave(second)
	require.True(t, q.holds("a"))
	q.acquitLane(first.lane)
	q.leave(other)
	q.acquit(other)
	require.Len(t, q.idle, isolationLanes)
	require.Zero(t, q.size.Load())
	require.Empty(t, q.suspects)
}

func TestSuspectsAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newTestQuarantine()
		var names []string
		for i := range isolationLanes + 1 {
			names = append(names, string(rune('A'+i)))
		}
		q.add(names)
		for _, name := range names[1:] {
			s, err := q.enter(t.Context(), name)
			require.NoError(t, err)
			q.leave(s)
		}
		begun := time.Now()
		_, err := q.enter(t.Context(), names[0])
		require.ErrorIs(t, err, errSilent, "all lanes are taken")
		require.Equal(t, isolationWait, time.Since(begun))
		require.EqualValues(t, len(names), q.size.Load())

		<-time.After(forgetAfter + time.Second) // by the clock of the bubble
		s, err := q.enter(t.Context(), names[0])
		require.NoError(t, err)
		require.Nil(t, s)
		require.Zero(t, q.size.Load())
		require.Len(t, q.idle, isolationLanes)
	})
}

// One queue gets most of a window, and others always find room.
func TestSharesOfAWindow(t *testing.T) {
	t.Parallel()
	s := &laneSession{lane: &lane{wake: make(chan struct{}, 1)}, tallies: make(map[string]*tally)}
	fill := func(queue string) (n int) {
		for s.take(queue) != nil {
			n++
		}
		return n
	}
	require.Equal(t, 256, fill("a"))
	require.Equal(t, 86, fill("b"))
	require.Equal(t, 28, fill("c"))
	require.Equal(t, 2, min(2, fill("d")))
	require.Empty(t, s.lane.wake)
	s.release(s.tallies["a"])
	require.Len(t, s.lane.wake, 1)

	trial := &laneSession{lane: &lane{isolation: true, wake: make(chan struct{}, 1)}, tallies: make(map[string]*tally)}
	tally := trial.take("a")
	require.NotNil(t, tally)
	require.Nil(t, trial.take("a"))
	tally.confirmed = true
	require.NotNil(t, trial.take("a"))
}

func TestParkedRequestsTakeTurns(t *testing.T) {
	t.Parallel()
	p := &parking{requests: make(map[string][]*request)}
	for _, queue := range []string{"a", "a", "b", "c", "b", "a"} {
		p.add(&request{queue: queue})
	}
	require.True(t, p.has("b"))
	served := func(slots int) (order string) {
		p.visit(func(r *request) (through, more bool) {
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
	require.Equal(t, []string{"b", "c", "a"}, p.order)
	require.Equal(t, "c", served(1))
	require.Equal(t, []string{"b", "a"}, p.order)
	errGone := errors.New("gone")
	require.Equal(t, 1, p.sweep(func(r *request) error {
		if r.queue == "a" {
			return errGone
		}
		return nil
	}))
	require.Equal(t, []string{"b"}, p.order)
	p.visit(func(*request) (through, more bool) { return true, false })
	require.Len(t, p.requests["b"], 1, "nothing more after the channel broke")
	require.Equal(t, 1, p.sweep(func(*request) error { return errGone }))
	require.Empty(t, slices.Concat(p.order))
	require.Empty(t, p.requests)
}
