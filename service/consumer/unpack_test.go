package consumer

import (
	"bytes"
	"compress/gzip"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// What is packed is weighed as what it takes once it is unpacked, and what
// cannot be unpacked as what came.
func TestPackedBodiesAreWeighedUnpacked(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write(bytes.Repeat([]byte(" "), 100*kib))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.Less(t, packed.Len(), kib)
	l := newHarness(t)
	l.queue = []domain.Delivery{
		{Tag: 1, Encoding: "gzip", Body: packed.Bytes()},
		{Tag: 2, Encoding: "gzip", Body: []byte("none")},
		{Tag: 3, Encoding: "gzip", Body: []byte("none"), Refusal: domain.Refusal{Reason: domain.ReasonInvalidHeaders, Error: "before"}},
	}
	sub, err := l.Subscribe(t.Context(), l.tenant, "tag", 3)
	require.NoError(t, err)
	b := newBudget(8<<20, few(1))
	in := readMetered(sub, 3, b)
	d := <-in.Deliveries()
	require.Len(t, d.Body, 100*kib)
	require.Empty(t, d.Encoding)
	require.GreaterOrEqual(t, b.held.Load(), int64(100*kib))

	d = <-in.Deliveries()
	require.Equal(t, "none", string(d.Body))
	require.Equal(t, "gzip", d.Encoding)
	require.Equal(t, domain.ReasonInvalidPayload, d.Refusal.Reason)
	require.Equal(t, "before", (<-in.Deliveries()).Refusal.Error)
	require.NoError(t, in.Close())
	require.Zero(t, b.held.Load())
}

// What a letter says of its encoding is said by us.
func TestLettersKeepTheEncoding(t *testing.T) {
	t.Parallel()
	forged := map[string]any{domain.HeaderContentEncoding: "forged", "kept": "yes"}
	for name, c := range map[string]struct {
		d    domain.Delivery
		want map[string]any
	}{
		"plain":   {domain.Delivery{}, nil},
		"forged":  {domain.Delivery{Headers: forged}, map[string]any{"kept": "yes"}},
		"packed":  {domain.Delivery{Encoding: "br"}, map[string]any{domain.HeaderContentEncoding: "br"}},
		"both":    {domain.Delivery{Encoding: "br", Headers: forged}, map[string]any{"kept": "yes", domain.HeaderContentEncoding: "br"}},
		"neither": {domain.Delivery{Headers: map[string]any{"kept": "yes"}}, map[string]any{"kept": "yes"}},
	} {
		require.Equal(t, c.want, domain.LetterHeaders(&c.d), name)
	}
	require.Contains(t, forged, domain.HeaderContentEncoding, "the delivery's own are left alone")
}
