package publisher

import (
	"maps"
	"slices"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
)

// Headers that do not fit into the frames of a connection leave out what is
// not ours.
func TestHeadersFitIntoAFrame(t *testing.T) {
	t.Parallel()
	ours := amqp.Table{"x-reason": "invalid_payload", "x-error": strings.Repeat("e", 500), "x-attempts": int64(1)}
	own := append(slices.Collect(maps.Keys(ours)), "x-not-there")
	all := amqp.Table{"a": "small", "b": strings.Repeat("b", 3000), "c": amqp.Table{"d": strings.Repeat("d", 20_000)}}
	maps.Copy(all, ours)
	for size, others := range map[int][]string{0: {"a", "b", "c"}, 128 << 10: {"a", "b", "c"}, 8192: {"a", "b"}, 4096: {"a"}} {
		got := fitting(all, own, size)
		require.Len(t, got, len(ours)+len(others), size)
		for _, name := range others {
			require.Equal(t, all[name], got[name], size)
		}
		for name, value := range ours {
			require.Equal(t, value, got[name], size)
		}
	}
	require.Nil(t, fitting(nil, own, 4096))
}

// A message that has to go with all its headers is refused when they do not fit,
// and those around it are published.
func TestWholeMessagesAreRefused(t *testing.T) {
	t.Parallel()
	url := devtest.RabbitMQ(t)
	e := running(t, url, 1)
	queue := declared(t, url, e, false)
	batch := batchFor(queue, 4)
	large := amqp.Table{"a": strings.Repeat("a", 200<<10), "b": "small"}
	for i := range batch {
		batch[i].Whole = i != 2
		if i == 1 || i == 2 {
			batch[i].Message.Headers = large
		}
	}
	errs := e.Publish(t.Context(), queue, batch)
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], ErrHeaders)
	require.NoError(t, errs[2], "its headers are left out")
	require.NoError(t, errs[3])
}
