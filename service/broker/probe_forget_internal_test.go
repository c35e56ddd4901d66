package broker

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// What is known of queues that are not consumed here any more is forgotten,
// and changes nothing that would be decided by it.
func TestAProberForgetsQueuesOfOthers(t *testing.T) {
	t.Parallel()
	p := newProber(nil, nil)
	here, gone, unsealedOne := uuid.New(), uuid.New(), uuid.New()
	for _, id := range []uuid.UUID{here, gone} {
		p.prove(id)
		p.lost(id, 0)
		p.prove(id)
		p.subscribed(id)
	}
	p.missing(unsealedOne)
	p.left(gone)
	require.True(t, p.known(gone), "it may be back in a moment")
	p.memory.looked = time.Time{}
	p.memory.idle[gone] = time.Now().Add(-2 * rememberFor)
	for range 1000 {
		p.left(gone) // as often as it likes
	}
	p.memory.looked, p.memory.idle[gone] = time.Time{}, time.Now().Add(-2*rememberFor)
	p.prove(here)
	require.False(t, p.known(gone))
	require.True(t, p.known(here))
	require.NotContains(t, p.past, gone)
	require.NotContains(t, p.strikes, gone)
	require.NotContains(t, p.memory.idle, gone)
	require.Contains(t, p.strikes, here)
	require.True(t, p.mayHold(gone, false), "as before")
	require.False(t, p.mayHold(unsealedOne, true))
	p.forget(here)
	require.NotContains(t, p.memory.idle, here)
}
