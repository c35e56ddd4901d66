package consumer

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOldest(t *testing.T) {
	t.Parallel()
	at := func(second int64) time.Time { return time.Unix(1_800_000_000+second, 0) }
	var o oldest
	require.Zero(t, o.since(5), "nothing is known")
	o.seen(at(2), 7)
	require.Zero(t, o.since(7), "it was never seen empty, and nothing was stored")

	o.seen(at(3), 0)
	require.Zero(t, o.since(0), "nothing waits")
	require.Equal(t, at(3), o.since(4), "what waits came after it was empty")
	o.seen(at(8), 4)
	require.Equal(t, at(3), o.since(4))

	o.stored(at(2))
	require.Equal(t, at(3), o.since(4), "what was stored came before it was empty")
	o.stored(at(6))
	require.Equal(t, at(6), o.since(3), "and what waits after what was stored")

	o.stored(time.Time{})
	require.Zero(t, o.since(3), "the one before came from somebody who does not say when")
	o.seen(at(20), 0)
	require.Equal(t, at(20), o.since(1))
}
