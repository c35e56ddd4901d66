package broker

import (
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
)

// Headers are carried over as far as the frame that was agreed on has room.
func TestHeadersFitIntoTheFrame(t *testing.T) {
	t.Parallel()
	from := map[string]any{"large": strings.Repeat("x", 3000), "small": "y"}
	for most, want := range map[int]amqp.Table{
		maxForeignHeaders: {"large": from["large"], "small": "y"},
		4096 / 2:          {"small": "y"},
	} {
		to := amqp.Table{}
		carryOver(to, from, most)
		require.Equal(t, want, to)
	}
	b, _ := running(t, devtest.RabbitMQ(t))
	require.Equal(t, 128<<10, b.publish[0].Limits().FrameSize)
	require.Equal(t, maxForeignHeaders, b.maxHeaders())
}
