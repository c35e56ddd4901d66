package publisher

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
)

// Whatever headers a message has, those that are sent fit into a frame, and ours are
// among them.
func FuzzFitting(f *testing.F) {
	f.Add("name", "value", []byte("bytes"), int64(1), 4096)
	f.Add("x-death", "", []byte{}, int64(-1), 131072)
	f.Add("ours", "again", []byte("\x00"), int64(0), 4096)
	f.Fuzz(func(t *testing.T, name, text string, bytes []byte, number int64, frameSize int) {
		if frameSize < 4096 || len(name) > 255 {
			t.Skip("no such frame, or no such name")
		}
		headers := amqp.Table{
			name: text, "bytes": bytes, "table": amqp.Table{name: bytes, "list": []any{text, number, nil}},
			"ours": number,
		}
		got := fitting(headers, []string{"ours"}, frameSize)
		require.Equal(t, number, got["ours"])
		require.NoError(t, got.Validate())
		size := 0
		for name, value := range got {
			require.Equal(t, headers[name], value)
			size += len(name) + headerSize(value)
		}
		require.LessOrEqual(t, size, frameSize-otherProperties)
	})
}
