package publisher

import (
	"maps"
	"slices"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
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
