package broker_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/service/broker"
)

// channel returns a channel of another client.
func channel(t *testing.T, url string) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	require.NoError(t, err)
	return ch
}

func TestDeadLettersAreReadBack(t *testing.T) {
	t.Parallel()
	url := devtest.RabbitMQ(t)
	b := start(t, url)
	ctx, tenant := t.Context(), uuid.New()
	require.NoError(t, b.DeclareQueues(ctx, tenant))
	letters := []domain.DeadLetter{
		{
			ID: uuid.New(), MessageID: "some-id", Body: []byte("not json \xff"), Reason: domain.ReasonInvalidPayload, Error: "it is not JSON", Attempts: 3,
			Headers: map[string]any{
				"x-reason": "forged", "x-dead-letter-id": uuid.NewString(), "kept": "yes", "bytes": []byte{0, 255}, "x-attempt": int64(7),
				"table": amqp.Table{"list": []any{amqp.Table{"a": int64(1)}}}, "decimal": amqp.Decimal{Scale: 2, Value: 123},
			},
		},
		{ID: uuid.New(), Body: []byte{}, Reason: domain.ReasonDeliveryFailed, Headers: map[string]any{}},
		{ID: uuid.New(), MessageID: "\xff\x00", Body: []byte("1"), Reason: domain.ReasonIDConflict, Headers: map[string]any{}},
		{ID: uuid.New(), Body: []byte("2"), Reason: "transmit_failed", Headers: map[string]any{}}, // of an earlier version
		{ID: uuid.New(), Body: []byte("3"), Reason: "endpoint_paused", Headers: map[string]any{}},
	}
	for i := range letters {
		letters[i].TenantID = tenant
		require.NoError(t, b.DeadLetter(ctx, letters[i]))
	}
	require.Eventually(t, func() bool {
		depth, err := b.DeadLetterDepth(ctx, tenant)
		return err == nil && depth == int64(len(letters))
	}, 5*time.Second, 10*time.Millisecond)

	letters[0].Headers = map[string]any{
		"kept": "yes", "bytes": []byte{0, 255}, "x-attempt": int64(7), "decimal": "123e-2",
		"table": map[string]any{"list": []any{map[string]any{"a": int64(1)}}},
	}
	letters[2].MessageID = uuid.NewSHA1(tenant, []byte("\xff\x00")).String() // under which it would be stored
	sub, err := broker.Reading(b.SubscribeDeadLetters(ctx, tenant, "tag", 10))
	require.NoError(t, err)
	for _, want := range letters {
		d := <-sub.Deliveries()
		got, exhausted := b.ReadDeadLetter(tenant, d)
		require.False(t, exhausted)
		require.WithinDuration(t, time.Now(), got.DiedAt, time.Minute)
		got.DiedAt = time.Time{}
		require.Equal(t, want, got)
		require.NoError(t, sub.Ack(d.Tag, false))
	}
	require.NoError(t, sub.Close())

	_, err = b.DeadLetterDepth(ctx, uuid.New())
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, err = b.SubscribeDeadLetters(ctx, uuid.New(), "tag", 10)
	require.ErrorIs(t, err, domain.ErrNotFound)
}

// What others put into the queue is a letter too, whatever its headers claim.
func TestForeignLetters(t *testing.T) {
	t.Parallel()
	url := devtest.RabbitMQ(t)
	b := start(t, url)
	ctx, tenant := t.Context(), uuid.New()
	require.NoError(t, b.DeclareQueues(ctx, tenant))
	ch := channel(t, url)
	id := uuid.NewString()
	death := func(queue, reason string) []any { return []any{amqp.Table{"queue": queue, "reason": reason}} }
	for name, tt := range map[string]struct {
		headers   amqp.Table
		exhausted bool
		err       string
	}{
		"nothing":               {nil, false, "it came to the dead-letter queue from elsewhere"},
		"no reason":             {amqp.Table{"x-dead-letter-id": id}, false, "it came to the dead-letter queue from elsewhere"},
		"no id":                 {amqp.Table{"x-reason": "invalid_payload"}, false, "it came to the dead-letter queue from elsewhere"},
		"made-up reason":        {amqp.Table{"x-reason": "<script>", "x-dead-letter-id": id}, false, "it came to the dead-letter queue from elsewhere"},
		"unknown":               {amqp.Table{"x-reason": "unknown", "x-dead-letter-id": id}, false, "it came to the dead-letter queue from elsewhere"},
		"id is none":            {amqp.Table{"x-reason": "invalid_payload", "x-dead-letter-id": "1"}, false, "it came to the dead-letter queue from elsewhere"},
		"id of another type":    {amqp.Table{"x-reason": int64(1), "x-dead-letter-id": []byte(id), "x-attempts": "x"}, false, "it came to the dead-letter queue from elsewhere"},
		"expired":               {amqp.Table{"x-reason": "invalid_payload", "x-dead-letter-id": id, "x-death": death(broker.QueueName(tenant), "expired")}, false, "the broker dead-lettered it: expired"},
		"limit elsewhere":       {amqp.Table{"x-death": death("other", "delivery_limit")}, false, "the broker dead-lettered it: delivery_limit"},
		"death is text":         {amqp.Table{"x-death": "delivery_limit"}, false, "it came to the dead-letter queue from elsewhere"},
		"limit further back":    {amqp.Table{"x-death": append(death(broker.QueueName(tenant), "expired"), death(broker.QueueName(tenant), "delivery_limit")...)}, false, "the broker dead-lettered it: expired"},
		"limit":                 {amqp.Table{"x-death": death(broker.QueueName(tenant), "delivery_limit")}, true, ""},
		"limit, and forged too": {amqp.Table{"x-reason": "invalid_payload", "x-dead-letter-id": id, "x-death": death(broker.QueueName(tenant), "delivery_limit")}, true, ""},
	} {
		message := amqp.Publishing{MessageId: name, Body: []byte("x"), Headers: tt.headers}
		require.NoError(t, ch.PublishWithContext(ctx, "", broker.DeadLetterQueueName(tenant), false, false, message))
		sub, err := broker.Reading(b.SubscribeDeadLetters(ctx, tenant, "tag", 10))
		require.NoError(t, err)
		d := <-sub.Deliveries()
		letter, exhausted := b.ReadDeadLetter(tenant, d)
		require.Equal(t, tt.exhausted, exhausted, name)
		if !exhausted {
			require.Equal(t, domain.ReasonUnknown, letter.Reason, name)
			require.Equal(t, tt.err, letter.Error, name)
			require.Equal(t, name, letter.MessageID)
			require.Len(t, letter.Headers, len(tt.headers), name)
			again, _ := b.ReadDeadLetter(tenant, d)
			require.Equal(t, letter, again, "delivered again, it is the same letter")
			other, _ := b.ReadDeadLetter(uuid.New(), d)
			require.NotEqual(t, letter.ID, other.ID)
			d.Body = []byte("y")
			other, _ = b.ReadDeadLetter(tenant, d)
			require.NotEqual(t, letter.ID, other.ID)
		}
		require.NoError(t, sub.Ack(d.Tag, false))
		require.NoError(t, sub.Close())
	}
}

// A message that expires is a letter, and so is another one that is equal to it
// in everything; one that is published under its id and expires once more is
// another letter than before.
func TestEqualMessagesThatExpireAreSeveralLetters(t *testing.T) {
	t.Parallel()
	url := devtest.RabbitMQ(t)
	b := start(t, url)
	ctx, tenant := t.Context(), uuid.New()
	require.NoError(t, b.DeclareQueues(ctx, tenant))
	ch := channel(t, url)
	sub, err := broker.Reading(b.SubscribeDeadLetters(ctx, tenant, "tag", 10))
	require.NoError(t, err)
	expire := func(m amqp.Publishing) domain.Delivery {
		m.Expiration = "1"
		require.NoError(t, ch.PublishWithContext(ctx, "", broker.QueueName(tenant), true, false, m))
		return <-sub.Deliveries()
	}
	for name, m := range map[string]amqp.Publishing{
		"without an id":            {Body: []byte(`{"type":"ping"}`)},
		"with one":                 {Body: []byte("1"), MessageId: "one"},
		"with one and a timestamp": {Body: []byte("1"), MessageId: "two", Timestamp: time.Unix(1_700_000_000, 0)},
	} {
		d := expire(m)
		first, _ := b.ReadDeadLetter(tenant, d)
		require.Equal(t, "the broker dead-lettered it: expired", first.Error, name)
		if m.MessageId != "" {
			again, _ := b.ReadDeadLetter(tenant, d)
			require.Equal(t, first, again, "delivered again, it is the same letter")
			// The broker notes in which second a message died.
			died, ok := d.Headers["x-death"].([]any)[0].(amqp.Table)["time"].(time.Time)
			require.True(t, ok)
			require.Eventually(t, func() bool { return time.Now().Unix() > died.Unix() }, 10*time.Second, 10*time.Millisecond)
		}
		second, _ := b.ReadDeadLetter(tenant, expire(m))
		require.NotEqual(t, first.ID, second.ID, name)
	}
	require.NoError(t, sub.Close())
}

func TestRequeuedMessagesGoToTheMainQueue(t *testing.T) {
	t.Parallel()
	b := start(t, devtest.RabbitMQ(t))
	ctx, tenant := t.Context(), uuid.New()
	require.NoError(t, b.DeclareQueues(ctx, tenant))
	d := domain.Delivery{
		MessageID: "literal", Body: []byte(`{"n":1}`), Published: time.UnixMilli(1_700_000_000_123),
		PublishedHere: time.UnixMilli(1_700_000_000_123),
		Headers:       map[string]any{"x-attempt": int64(2), "kept": "yes", "CC": []any{"x"}, "x-death": []any{amqp.Table{}}},
	}
	require.NoError(t, b.Requeue(ctx, tenant, d))
	require.NoError(t, b.Requeue(ctx, tenant, domain.Delivery{Body: []byte("2"), Published: time.Unix(1_700_000_000, 0)}))
	sub, err := broker.Reading(b.Subscribe(ctx, tenant, "tag", 10))
	require.NoError(t, err)
	got := <-sub.Deliveries()
	require.Equal(t, "literal", got.MessageID)
	require.Equal(t, d.Body, got.Body)
	require.EqualValues(t, 2, got.Headers["x-attempt"])
	require.Equal(t, d.Published.UnixMilli(), got.Published.UnixMilli())
	require.Equal(t, "yes", got.Headers["kept"])
	require.NotContains(t, got.Headers, "x-death")
	got = <-sub.Deliveries()
	require.NotEmpty(t, got.MessageID)
	require.Equal(t, time.Unix(1_700_000_000, 0), got.Published)
	require.True(t, got.PublishedHere.IsZero(), "a sender's timestamp does not become ours")
	require.NoError(t, sub.Close())
	require.ErrorIs(t, b.Requeue(ctx, uuid.New(), d), domain.ErrQueueMissing)
}

// Senders of their own ids use the same ones. What is returned to one of them
// is not taken for another's.
func TestReturnsAreToldApartByTenant(t *testing.T) {
	t.Parallel()
	b := start(t, devtest.RabbitMQ(t))
	ctx, there, missing := t.Context(), uuid.New(), uuid.New()
	require.NoError(t, b.DeclareQueues(ctx, there))
	var wg sync.WaitGroup
	for worker := range 8 {
		tenant := []uuid.UUID{there, missing}[worker%2]
		wg.Go(func() {
			for range 20 {
				batch := outgoing(50)
				for i := range batch {
					batch[i].MessageID = fmt.Sprint(i)
				}
				for _, err := range b.Publish(ctx, tenant, batch) {
					if tenant == there {
						assert.NoError(t, err)
					} else {
						assert.ErrorIs(t, err, domain.ErrQueueMissing)
					}
				}
			}
		})
	}
	wg.Wait()
	sub, err := broker.Reading(b.Subscribe(ctx, there, "tag", 10))
	require.NoError(t, err)
	require.Equal(t, "0", (<-sub.Deliveries()).MessageID, "the id is kept literally")
	require.NoError(t, sub.Close())
}
