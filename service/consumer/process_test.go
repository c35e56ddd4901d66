package consumer

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// processor returns one for the harness's tenant.
func (l *harness) processor() *processor {
	w := startWriter(l.t, l.store)
	return &processor{shared: &shared{Options: Options{
		Publisher: l, Writer: w, Metrics: l, Log: slog.New(slog.DiscardHandler),
	}}, tenant: l.tenant, letters: domain.NoDeadLetterCollector{}.Collect(l.t.Context(), l.tenant)}
}

// The broker delivers a message again whose acknowledgement was lost after it
// was dead-lettered: that is the same letter. Another message is another letter, and
// so is what is published again.
func TestLettersHaveOneID(t *testing.T) {
	t.Parallel()
	published := time.Now()
	one := domain.Delivery{MessageID: uuid.NewString(), Body: []byte(`not json`), Published: published}
	for name, tt := range map[string]struct {
		first  domain.Delivery
		change func(d *domain.Delivery)
		same   bool
	}{
		"delivered again":            {one, func(d *domain.Delivery) { d.Tag = 7 }, true},
		"dated in milliseconds only": {one, func(d *domain.Delivery) { d.Published = published.Truncate(time.Millisecond) }, true},
		"replayed":                   {one, func(d *domain.Delivery) { d.Published = published.Add(time.Millisecond) }, false},
		"another body":               {one, func(d *domain.Delivery) { d.Body = []byte(`not json either`) }, false},
		"another message":            {one, func(d *domain.Delivery) { d.MessageID = uuid.NewString() }, false},
		"not dated": {
			domain.Delivery{MessageID: "order-1", Body: []byte(`not json`)},
			func(d *domain.Delivery) { d.Tag = 7 }, true,
		},
		"without a message id": {
			domain.Delivery{Body: []byte(`not json`), Published: published},
			func(d *domain.Delivery) { d.Tag = 7 }, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newHarness(t, 0)
			p := l.processor()
			second := tt.first
			tt.change(&second)
			for _, d := range []domain.Delivery{tt.first, second} {
				p.process(t.Context(), []domain.Delivery{d}, func([]uint64) {})
			}
			require.Len(t, l.letters, 2)
			require.Equal(t, tt.same, l.letters[0].ID == l.letters[1].ID)

			other := newHarness(t, 0)
			other.processor().process(t.Context(), []domain.Delivery{tt.first}, func([]uint64) {})
			require.NotEqual(t, l.letters[0].ID, other.letters[0].ID, "of another tenant")
		})
	}
}
