package domain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// What the API accepts besides a payload comes out of the broker as it went in.
func FuzzHeaders(f *testing.F) {
	f.Add("order.created", "order-1842", "source", "shop", "trace", "00-ab-01")
	f.Add("", "", "CC", "x", "X-Death", "\u0000")
	f.Add("a b", "\xff", "timestamp_in_ms", "\r\n", "", "\u202e")
	f.Add("t", "\u2028", "x-ordering-key", "k", "a", "\u0085")
	f.Fuzz(func(t *testing.T, typ, key, name, value, another, text string) {
		e := domain.Envelope{Type: typ, OrderingKey: key, Headers: map[string]string{name: value, another: text}}
		if err := e.Check(); err != nil {
			require.ErrorIs(t, err, domain.ErrInvalid)
			return
		}
		got, err := domain.ReadEnvelope(e.Type, e.AMQPHeaders())
		require.NoError(t, err)
		require.True(t, e.Equal(&got), "%+v came as %+v", e, got)
	})
}
