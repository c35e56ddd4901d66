package verify

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
)

// A publication that became two dead letters is seen, and nothing else.
func TestDoubledLetters(t *testing.T) {
	t.Parallel()
	type letter struct {
		publication

		id string
	}
	recorded := letter{publication{"t", "m", "1000"}, "a"}
	inQueue := func(at int64, id string) *amqp.Delivery {
		return &amqp.Delivery{MessageId: "m", Headers: amqp.Table{"x-published-ms": at, "x-dead-letter-id": id}}
	}
	for name, c := range map[string]struct {
		recorded []letter
		queued   []*amqp.Delivery // of tenant t
		found    int
	}{
		"one":                          {[]letter{recorded}, nil, 0},
		"recorded twice":               {[]letter{recorded, {recorded.publication, "b"}}, nil, 1},
		"recorded, and another queued": {[]letter{recorded}, []*amqp.Delivery{inQueue(1000, "b")}, 1},
		"two queued":                   {nil, []*amqp.Delivery{inQueue(1000, "a"), inQueue(1000, "b"), inQueue(1000, "c")}, 1},
		"recorded, and still queued":   {[]letter{recorded}, []*amqp.Delivery{inQueue(1000, "a")}, 0},
		"replayed":                     {[]letter{recorded}, []*amqp.Delivery{inQueue(1001, "b")}, 0},
		"another message":              {[]letter{recorded, {publication{"t", "n", "1000"}, "b"}}, nil, 0},
		"another tenant":               {[]letter{recorded, {publication{"u", "m", "1000"}, "b"}}, nil, 0},
		"not dated":                    {[]letter{{publication{"t", "m", ""}, "a"}, {publication{"t", "m", ""}, "b"}}, nil, 1},
		"without a message id":         {[]letter{{publication{"t", "", "1000"}, "a"}, {publication{"t", "", "1000"}, "b"}}, nil, 0},
		"put there by the broker":      {[]letter{recorded}, []*amqp.Delivery{{MessageId: "m", Headers: amqp.Table{"x-published-ms": int64(1000)}}}, 0},
	} {
		l := newLetters()
		for _, r := range c.recorded {
			l.add(r.publication, r.id)
		}
		for _, d := range c.queued {
			l.addDelivery("tenant_t_dlq", d)
		}
		f := newFindings()
		l.compare(f)
		require.Equal(t, c.found, f.counts[buriedMore], name)
		require.Len(t, f.examples, min(c.found, 1), name)
	}
}
