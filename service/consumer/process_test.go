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
		Publisher: l, Writer: w, Returned: l, Metrics: l, Log: slog.New(slog.DiscardHandler),
	}}, tenant: l.tenant, letters: domain.NoDeadLetterCollector{}.Collect(l.t.Context(), l.tenant, nil)}
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
		"another type":               {one, func(d *domain.Delivery) { d.Type = "t" }, false},
		"another ordering key":       {one, func(d *domain.Delivery) { d.Headers = map[string]any{"x-ordering-key": "k"} }, false},
		"another header":             {one, func(d *domain.Delivery) { d.Headers = map[string]any{"a": []any{"\x00", map[string]any{"b": 1}}} }, false},
		"counted by the broker":      {one, func(d *domain.Delivery) { d.Headers = map[string]any{"x-delivery-count": int64(1)} }, true},
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
			l := newHarness(t)
			p := l.processor()
			second := tt.first
			tt.change(&second)
			for _, d := range []domain.Delivery{tt.first, second} {
				p.process(t.Context(), []domain.Delivery{d}, func([]uint64) {})
			}
			require.Len(t, l.letters, 2)
			require.Equal(t, tt.same, l.letters[0].ID == l.letters[1].ID)

			other := newHarness(t)
			other.processor().process(t.Context(), []domain.Delivery{tt.first}, func([]uint64) {})
			require.NotEqual(t, l.letters[0].ID, other.letters[0].ID, "of another tenant")
		})
	}
}

// What a delivery carries besides its body is stored with it. What no message can
// have makes a dead letter of it, with everything it came with.
func TestEnvelopesAreStored(t *testing.T) {
	t.Parallel()
	l := newHarness(t)
	p := l.processor()
	headers := map[string]any{"x-ordering-key": "k", "a": "1", "n": int64(2), "x-death": []any{}, "list": []any{}}
	var finished []uint64
	p.process(t.Context(), []domain.Delivery{
		{Tag: 1, MessageID: "1", Body: []byte(`1`), Type: "a type", Headers: headers},
		{Tag: 2, MessageID: "2", Body: []byte(`2`), Type: "t", Headers: map[string]any{"a": "\x00"}},
		{Tag: 3, MessageID: "3", Body: []byte(`3`)},
		{Tag: 4, MessageID: "1", Body: []byte(`1`), Type: "another type", Headers: headers},
	}, func(tags []uint64) { finished = append(finished, tags...) })
	require.ElementsMatch(t, []uint64{1, 2, 3, 4}, finished)
	stored := l.store.Stored(l.tenant)
	require.Len(t, stored, 2)
	require.Equal(t, domain.Envelope{Type: "a type", OrderingKey: "k", Headers: map[string]string{"a": "1", "n": "2"}}, stored[0].Envelope())
	require.Equal(t, domain.Envelope{}, stored[1].Envelope())

	require.Len(t, l.letters, 2)
	require.Equal(t, domain.ReasonInvalidHeaders, l.letters[1].Reason)
	require.Contains(t, l.letters[1].Error, `header "a"`)
	require.Equal(t, map[string]any{"a": "\x00"}, l.letters[1].Headers)
	require.Equal(t, "t", l.letters[1].Type)
	require.Equal(t, domain.ReasonIDConflict, l.letters[0].Reason)
	require.Equal(t, "another type", l.letters[0].Type)
	require.Equal(t, headers, l.letters[0].Headers)
}
