package delivery

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func anEntry(seq int64) *entry { return &entry{seq: seq, message: &domain.Message{Seq: seq}} }

func always(*entry) bool { return true }

// The cursor stands before the first message that is not over, in whatever order
// messages end; and what waits is found, in the order of seq.
func TestWindowCursor(t *testing.T) {
	t.Parallel()
	for range 300 {
		random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
		w := window{readTo: 100}
		require.EqualValues(t, 100, w.cursor())
		var left []*entry
		seq := int64(100)
		for range 400 {
			switch n := random.IntN(6); {
			case n < 3:
				seq += 1 + random.Int64N(3) // those between are not for the endpoint
				e := anEntry(seq)
				w.add(e)
				w.readTo = seq
				left = append(left, e)
			case n == 3 && len(left) > 0: // one begins
				if e := w.firstWaiting(always); e != nil {
					e.state = entryRunning
				}
			case len(left) > 0:
				i := random.IntN(len(left))
				e := left[i]
				switch {
				case n == 4:
					w.done(e)
				case e.state == entryRunning:
					w.pass(e)
				default:
					w.again(e)
					continue
				}
				left = append(left[:i:i], left[i+1:]...)
			}
			want := seq
			var waiting *entry
			for _, e := range left {
				if e.seq-1 < want {
					want = e.seq - 1
				}
				if e.state == entryWaiting && waiting == nil {
					waiting = e
				}
			}
			require.Equal(t, want, w.cursor())
			require.Same(t, waiting, w.firstWaiting(always))
		}
	}
}

// Only what keeps others that are done from being passed is in the way.
func TestWindowPins(t *testing.T) {
	t.Parallel()
	w := window{}
	var entries []*entry
	for seq := int64(1); seq <= 5; seq++ {
		entries = append(entries, anEntry(seq))
		w.add(entries[seq-1])
	}
	w.readTo = 5
	soon := time.Now().Add(time.Minute)
	old := func(e *entry) (bool, time.Time) { return e.seq == 1, soon.Add(time.Duration(e.seq)) }
	pins, next := w.pinning(nil, old)
	require.Empty(t, pins, "nothing is done")
	require.Zero(t, next)
	entries[0].state, entries[1].state = entryRunning, entryRunning
	w.done(entries[2])
	pins, next = w.pinning(nil, old)
	require.Equal(t, entries[:1], pins)
	require.Equal(t, soon.Add(2), next)
	w.pass(entries[0])
	require.EqualValues(t, 1, w.cursor())
	w.pass(entries[1])
	require.EqualValues(t, 3, w.cursor(), "the third is done")
	require.Same(t, entries[3], w.firstWaiting(always))
	require.Same(t, entries[4], w.lastWaiting(always))
}
