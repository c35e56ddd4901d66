package rabbitmq

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever properties a message has, what comes out of a wire is readable, and not
// larger than a frame may be; and what was readable stays as it is.
func FuzzReadable(f *testing.F) {
	for _, seed := range []string{"", "\x01kV", "\x01k", nested("F", 33), nested("A", 32), "\x01kL", "\x01kx\xff\xff\xff\xff", "\x01kD\x02\x00\x00\x00\x01", "\x01kA\x00\x00\x00\x02tt"} {
		f.Add(withHeaders(seed))
	}
	f.Add(content(math.MaxUint16))
	f.Add(content(flagFirst, 9, 'x'))
	f.Fuzz(func(t *testing.T, payload []byte) {
		in := frame(contentFrame, 1, payload)
		out := readable(append([]byte(nil), in...), minFrame)
		if len(payload) < propertiesAt-2 {
			require.Equal(t, in, out, "not what a broker sends")
			return
		}
		_, fault := readContentHeader(payload)
		if fault == nil {
			require.Equal(t, in, out)
		} else {
			require.LessOrEqual(t, len(out), minFrame+frameHead+1)
		}
		_, err := readContentHeader(out[frameHead : len(out)-1])
		require.NoError(t, err)
	})
}
