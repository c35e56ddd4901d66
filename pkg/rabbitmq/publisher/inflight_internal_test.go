package publisher

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/rabbitmq"
)

// A channel forgets the queues that nobody publishes to any more, those
// included for which there was no room, and keeps those that have not
// confirmed.
func TestAChannelForgetsUnusedQueues(t *testing.T) {
	t.Parallel()
	f := &inflight{session: new(rabbitmq.Session), roomFreed: make(chan struct{}, 1), queues: make(map[string]*queueWindow)}
	open := f.reserve("never confirms")
	require.NotNil(t, open)
	for i := range 5000 {
		w := f.reserve(fmt.Sprint(i))
		require.NotNil(t, w)
		f.free(w)
	}
	for f.reserve("hog") != nil { //nolint:revive // until it has its share
	}
	for range window {
		f.reserve("no room left")
	}
	for range 2 * unusedTicks {
		f.tick()
	}
	require.Contains(t, f.queues, "never confirms")
	require.LessOrEqual(t, len(f.queues), 3)
	f.free(open)
	for range 2 * unusedTicks {
		f.tick()
	}
	require.NotContains(t, f.queues, "never confirms")
}

// One queue gets most of a window, and others always find room.
func TestSharesOfAWindow(t *testing.T) {
	t.Parallel()
	freed := make(chan struct{}, 1)
	f := &inflight{roomFreed: freed, queues: make(map[string]*queueWindow)}
	fill := func(queue string) (n int) {
		for f.reserve(queue) != nil {
			n++
		}
		return n
	}
	require.Equal(t, 256, fill("a"))
	require.Equal(t, 86, fill("b"))
	require.Equal(t, 28, fill("c"))
	require.Equal(t, 2, min(2, fill("d")))
	require.Empty(t, freed)
	f.free(f.queues["a"])
	require.Len(t, freed, 1)

	trial := &inflight{dedicated: true, roomFreed: make(chan struct{}, 1), queues: make(map[string]*queueWindow)}
	w := trial.reserve("a")
	require.NotNil(t, w)
	require.Nil(t, trial.reserve("a"))
	w.confirmed = true
	require.NotNil(t, trial.reserve("a"))
}
