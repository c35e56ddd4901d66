package broker

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// What is known of queues that are not consumed here any more is forgotten,
// and changes nothing that would be decided by it.
func TestQueuesOfOthersAreForgotten(t *testing.T) {
	t.Parallel()
	s := newQueueStates()
	here, gone, notDurableOne := uuid.New(), uuid.New(), uuid.New()
	for _, id := range []uuid.UUID{here, gone} {
		s.prove(id)
		s.connectionLost(id, 0)
		s.prove(id)
		s.subscribed(id)
	}
	s.missing(notDurableOne)
	s.unsubscribed(gone)
	require.True(t, s.isProven(gone), "it may be back in a moment")
	s.forgotAt = time.Time{}
	s.idleSince[gone] = time.Now().Add(-2 * rememberFor)
	for range 1000 {
		s.unsubscribed(gone) // as often as it likes
	}
	s.forgotAt, s.idleSince[gone] = time.Time{}, time.Now().Add(-2*rememberFor)
	s.prove(here)
	require.False(t, s.isProven(gone))
	require.True(t, s.isProven(here))
	require.NotContains(t, s.states, gone)
	require.NotContains(t, s.earlyLosses, gone)
	require.NotContains(t, s.idleSince, gone)
	require.Contains(t, s.earlyLosses, here)
	require.True(t, s.mayHold(gone, false), "as before")
	require.False(t, s.mayHold(notDurableOne, true))
	s.forget(here)
	require.NotContains(t, s.idleSince, here)
}
