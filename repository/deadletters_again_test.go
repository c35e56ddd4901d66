package repository

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A letter that died again after it was replayed is another one; the same
// letter that is delivered again is not, whenever it is.
func TestLettersThatDieAgain(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newLane(t)
	first, other := letter(t, id, "x"), letter(t, id, "y")
	first.DiedAt = time.Now().Add(-time.Hour)
	require.Len(t, d.record(t, first, other), 2)
	later := first
	later.DiedAt = time.Now()
	require.Len(t, d.record(t, first, later, other), 2, "it is still open")

	stored := d.record(t, first)
	require.NoError(t, d.store.MarkReplayed(t.Context(), id, []int64{stored[0].Seq}))
	require.Len(t, d.record(t, first), 2, "it died before it was replayed")
	stored = d.record(t, other, later)
	require.Len(t, stored, 3)
	require.Equal(t, first.Body, stored[2].Body)
	require.False(t, stored[2].Replayed())
	require.Len(t, d.record(t, later, first, later), 3, "and it is one letter, too")
	later.DiedAt = later.DiedAt.Add(time.Minute)
	require.Len(t, d.record(t, later), 4)

	foreign := letter(t, id, "z") // nobody says when
	stored = d.record(t, foreign)
	require.NoError(t, d.store.MarkReplayed(t.Context(), id, []int64{stored[4].Seq}))
	require.Len(t, d.record(t, foreign), 6)
}
