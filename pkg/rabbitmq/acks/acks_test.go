package acks

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// ackBroker is what RabbitMQ does with acknowledgements: an ack of a tag that is
// not outstanding closes the channel.
type ackBroker struct {
	t           require.TestingT
	outstanding map[uint64]bool
	finished    map[uint64]bool
	acks        int
}

func (b *ackBroker) ack(tag uint64, multiple bool) error {
	require.True(b.t, b.outstanding[tag], "unknown delivery tag %d", tag)
	b.acks++
	for other := range b.outstanding {
		if other == tag || multiple && other < tag {
			require.True(b.t, b.finished[other], "tag %d acknowledged and not finished", other)
			delete(b.outstanding, other)
		}
	}
	return nil
}

func TestBatcherAcknowledgesExactlyWhatIsFinished(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		prefetch := rapid.IntRange(2, 40).Draw(t, "prefetch")
		b := &ackBroker{t: t, outstanding: map[uint64]bool{}, finished: map[uint64]bool{}}
		a := NewBatcher(prefetch, b.ack)
		var inHand []uint64
		next := uint64(1)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			for len(b.outstanding) < prefetch {
				b.outstanding[next] = true
				inHand = append(inHand, next)
				next++
			}
			var tags []uint64
			if len(inHand) == 0 {
				continue
			}
			for range rapid.IntRange(1, len(inHand)).Draw(t, "chunk") {
				i := rapid.IntRange(0, len(inHand)-1).Draw(t, "which")
				tags = append(tags, inHand[i])
				b.finished[inHand[i]] = true
				inHand = append(inHand[:i], inHand[i+1:]...)
			}
			require.NoError(t, a.Done(tags))
			if len(inHand) == 0 {
				require.Empty(t, b.outstanding)
			}
			require.LessOrEqual(t, len(b.outstanding), len(inHand)+prefetch/2)
		}
		require.NoError(t, a.Flush())
		require.Len(t, b.outstanding, len(inHand))
	})
}

func TestBatcherNeedsOneAckForARun(t *testing.T) {
	t.Parallel()
	b := &ackBroker{t: t, outstanding: map[uint64]bool{}, finished: map[uint64]bool{}}
	a := NewBatcher(256, b.ack)
	var tags []uint64
	for tag := uint64(1); tag <= 256; tag++ {
		b.outstanding[tag], b.finished[tag] = true, true
		tags = append(tags, tag)
	}
	require.NoError(t, a.Done(tags))
	require.Empty(t, b.outstanding)
	require.Equal(t, 1, b.acks)
}
