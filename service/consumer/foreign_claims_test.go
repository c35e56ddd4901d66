package consumer

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// observed is the harness's metrics, with the times that were observed.
type observed struct {
	*harness
	seconds []float64
}

func (o *observed) ObserveEndToEnd(seconds float64) { o.seconds = append(o.seconds, seconds) }

// Only what this service published counts, and no sender can spoil the metric by
// what it writes into a message.
func TestEndToEndBelievesNoSender(t *testing.T) {
	t.Parallel()
	l := newHarness(t)
	o := &observed{harness: l}
	m, tenant := l.start(1)
	now := time.Now()
	tenant.CreatedAt = now.Add(-100 * time.Hour)
	shared := *m.shared
	shared.Metrics = o
	c := newConsumer(&shared, tenant)
	for name, d := range map[string]domain.Delivery{
		"a sender's timestamp":    {Published: time.Unix(1_700_000_000, 0)},
		"no time":                 {},
		"the beginning of time":   {PublishedHere: time.UnixMilli(0)},
		"before all time":         {PublishedHere: time.UnixMilli(-1 << 63)},
		"after all time":          {PublishedHere: time.UnixMilli(1<<63 - 1)},
		"older than the tenant":   {PublishedHere: tenant.CreatedAt.Add(-time.Hour)},
		"to come":                 {PublishedHere: now.Add(time.Hour)},
		"ours":                    {PublishedHere: now.Add(-3 * time.Second)},
		"of a clock that is fast": {PublishedHere: now.Add(30 * time.Second)},
		"long ago":                {PublishedHere: now.Add(-99 * time.Hour)},
	} {
		o.seconds = nil
		d.MessageID, d.Body = uuid.NewString(), []byte(`1`)
		c.processor.process(t.Context(), []domain.Delivery{d}, func([]uint64) {})
		switch name {
		case "ours":
			require.Len(t, o.seconds, 1, name)
			require.InDelta(t, 3, o.seconds[0], 2, name)
		case "of a clock that is fast":
			require.Equal(t, []float64{0}, o.seconds, name)
		case "long ago":
			require.Equal(t, []float64{24 * 3600}, o.seconds, name)
		default:
			require.Empty(t, o.seconds, name)
		}
	}
}
