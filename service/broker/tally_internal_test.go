package broker

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/rabbitmq"
)

// A channel forgets the queues that nobody publishes to any more, those
// included for which there was no slot, and keeps those that have not
// confirmed.
func TestAChannelForgetsUnusedQueues(t *testing.T) {
	t.Parallel()
	s := &laneSession{session: new(rabbitmq.Session), lane: &lane{wake: make(chan struct{}, 1)}, tallies: make(map[string]*tally)}
	open := s.take("never confirms")
	require.NotNil(t, open)
	for i := range 5000 {
		tally := s.take(fmt.Sprint(i))
		require.NotNil(t, tally)
		s.release(tally)
	}
	for s.take("hog") != nil { //nolint:revive // until it has its share
	}
	for range window {
		s.take("no room left")
	}
	for range 2 * tallyTicks {
		s.tick()
	}
	require.Contains(t, s.tallies, "never confirms")
	require.LessOrEqual(t, len(s.tallies), 3)
	s.release(open)
	for range 2 * tallyTicks {
		s.tick()
	}
	require.NotContains(t, s.tallies, "never confirms")
}
