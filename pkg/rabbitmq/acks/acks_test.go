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
			require.LessOrEqual(t, len(b.outstanding), len(inHand)+prefetch/2+max(prefetch/4, 1)-1)
			if rapid.Bool().Draw(t, "its time has come") {
				require.NoError(t, a.Run())
				require.False(t, a.Waiting())
				if len(inHand) == 0 {
					require.Empty(t, b.outstanding)
				}
				require.LessOrEqual(t, len(b.outstanding), len(inHand)+prefetch/2)
			}
		}
		require.NoError(t, a.Flush())
		require.Len(t, b.outstanding, len(inHand))
	})
}

func TestBatcherNeedsOneAckForARun(t *testing.T) {
	t.Parallel()
	for _, one := range []struct{ prefetch, deliveries, acks, waiting int }{
		{prefetch: 256, deliveries: 63, acks: 0, waiting: 63},
		{prefetch: 256, deliveries: 64, acks: 1, waiting: 0},
		{prefetch: 256, deliveries: 200, acks: 3, waiting: 8},
		{prefetch: 1024, deliveries: 127, acks: 0, waiting: 127},
		{prefetch: 1024, deliveries: 129, acks: 1, waiting: 1},
		{prefetch: 7, deliveries: 3, acks: 3, waiting: 0},
		{prefetch: 0, deliveries: 3, acks: 3, waiting: 0},
	} {
		b := &ackBroker{t: t, outstanding: map[uint64]bool{}, finished: map[uint64]bool{}}
		a := NewBatcher(one.prefetch, b.ack)
		for tag := uint64(1); tag <= uint64(one.deliveries); tag++ {
			b.outstanding[tag], b.finished[tag] = true, true
			require.NoError(t, a.Done([]uint64{tag}))
		}
		require.Equal(t, one.acks, b.acks, "%+v", one)
		require.Len(t, b.outstanding, one.waiting, "%+v", one)
		require.Equal(t, one.waiting > 0, a.Waiting(), "%+v", one)
		require.NoError(t, a.Run())
		require.Empty(t, b.outstanding, "%+v", one)
	}
}

// A commit of many is acknowledged with one frame.
func TestBatcherNeedsOneAckForACommit(t *testing.T) {
	t.Parallel()
	b := &ackBroker{t: t, outstanding: map[uint64]bool{}, finished: map[uint64]bool{}}
	a := NewBatcher(1024, b.ack)
	var tags []uint64
	for tag := uint64(1); tag <= 1024; tag++ {
		b.outstanding[tag], b.finished[tag] = true, true
		tags = append(tags, tag)
	}
	require.NoError(t, a.Done(tags))
	require.Empty(t, b.outstanding)
	require.Equal(t, 1, b.acks)
}
