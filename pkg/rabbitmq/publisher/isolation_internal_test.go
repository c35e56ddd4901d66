package publisher

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func newTestIsolation() *isolation {
	return newIsolation(func(int) *confirmChannel { return newConfirmChannel(nil, nil, &Options{}) })
}

func TestIsolatedQueuesHaveChannelsOfTheirOwnUntilTheyAreReleased(t *testing.T) {
	t.Parallel()
	n := newTestIsolation()
	s, err := n.use(t.Context(), "a")
	require.NoError(t, err)
	require.Nil(t, s)
	n.isolate([]string{"a", "b", "a"})
	first, err := n.use(t.Context(), "a")
	require.NoError(t, err)
	second, err := n.use(t.Context(), "a")
	require.NoError(t, err)
	other, err := n.use(t.Context(), "b")
	require.NoError(t, err)
	require.Same(t, first.channel, second.channel)
	require.NotSame(t, first.channel, other.channel)
	require.Len(t, n.idle, dedicatedChannels-2)

	n.release(first)
	require.False(t, n.holds("a"))
	require.Len(t, n.idle, dedicatedChannels-2, "two calls are under way")
	n.endUse(first)
	n.isolate([]string{"a"})
	require.True(t, n.holds("a"), "it is silent again")
	n.endUse(second)
	require.True(t, n.holds("a"))
	n.releaseChannel(first.channel)
	n.endUse(other)
	n.release(other)
	require.Len(t, n.idle, dedicatedChannels)
	require.Zero(t, n.size.Load())
	require.Empty(t, n.queues)
}

func TestIsolatedQueuesAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newTestIsolation()
		var names []string
		for i := range dedicatedChannels + 1 {
			names = append(names, string(rune('A'+i)))
		}
		n.isolate(names)
		for _, name := range names[1:] {
			s, err := n.use(t.Context(), name)
			require.NoError(t, err)
			n.endUse(s)
		}
		begun := time.Now()
		_, err := n.use(t.Context(), names[0])
		require.ErrorIs(t, err, ErrSilent, "all channels are taken")
		require.Equal(t, dedicatedWait, time.Since(begun))
		require.EqualValues(t, len(names), n.size.Load())

		<-time.After(forgetAfter + time.Second) // by the clock of the bubble
		s, err := n.use(t.Context(), names[0])
		require.NoError(t, err)
		require.Nil(t, s)
		require.Zero(t, n.size.Load())
		require.Len(t, n.idle, dedicatedChannels)
	})
}
