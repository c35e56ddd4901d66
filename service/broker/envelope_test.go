package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/service/broker"
)

// What messages carry besides their bodies arrives, the largest there may be
// too, and takes the place of nothing that is ours.
func TestEnvelopesArrive(t *testing.T) {
	t.Parallel()
	b := start(t, devtest.RabbitMQ(t))
	ctx, tenant := t.Context(), uuid.New()
	require.NoError(t, b.DeclareQueues(ctx, tenant))
	long := make(map[string]string)
	for i := range domain.MaxHeaders {
		long[fmt.Sprintf("%0*d", domain.MaxHeaderNameLength, i)] = strings.Repeat("ü", domain.MaxHeaderValueLength/2)
	}
	batch := outgoing(4)
	batch[1].Type, batch[1].OrderingKey, batch[1].Headers = "order.created", "order-1", map[string]string{"source": "shop", "empty": ""}
	batch[2].Type, batch[2].OrderingKey, batch[2].Headers = strings.Repeat("t", 128), strings.Repeat("k", 128), long
	batch[3].Headers = map[string]string{broker.HeaderPublished: "forged", domain.HeaderOrderingKey: "none"}
	requireNoErrors(t, b.Publish(ctx, tenant, batch))
	sub, err := broker.Reading(b.Subscribe(ctx, tenant, "tag", 10))
	require.NoError(t, err)
	for i, m := range batch[:3] {
		d := <-sub.Deliveries()
		require.False(t, d.PublishedHere.IsZero())
		got, err := domain.ReadEnvelope(d.Type, d.Headers)
		require.NoError(t, err)
		require.Equal(t, domain.Envelope{Type: m.Type, OrderingKey: m.OrderingKey, Headers: m.Headers}, got, i)
	}
	require.False(t, (<-sub.Deliveries()).PublishedHere.IsZero())
	require.NoError(t, sub.Close())
}

// A message keeps what it came with on all its ways: as a dead letter, and when it
// is published again.
func TestEnvelopesGoAlong(t *testing.T) {
	t.Parallel()
	url := devtest.RabbitMQ(t)
	b := start(t, url)
	ctx, tenant := t.Context(), uuid.New()
	require.NoError(t, b.DeclareQueues(ctx, tenant))
	headers := amqp.Table{"price": amqp.Decimal{Scale: 2, Value: 1250}, "n": int32(7), domain.HeaderOrderingKey: "k", "table": amqp.Table{"a": "b"}}
	require.NoError(t, channel(t, url).PublishWithContext(ctx, "", broker.QueueName(tenant), true, false, amqp.Publishing{
		MessageId: "foreign", Type: "a type of ours", Headers: headers, Body: []byte(`1`),
	}))
	sub, err := broker.Reading(b.Subscribe(ctx, tenant, "tag", 10))
	require.NoError(t, err)
	d := <-sub.Deliveries()
	want := domain.Envelope{Type: "a type of ours", OrderingKey: "k", Headers: map[string]string{"price": "1250e-2", "n": "7"}}
	got, err := domain.ReadEnvelope(d.Type, d.Headers)
	require.NoError(t, err)
	require.Equal(t, want, got)

	require.NoError(t, b.Requeue(ctx, tenant, d))
	d = <-sub.Deliveries()
	got, err = domain.ReadEnvelope(d.Type, d.Headers)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.NoError(t, sub.Close())

	require.NoError(t, b.DeadLetter(ctx, domain.DeadLetter{
		ID: uuid.New(), TenantID: tenant, Type: d.Type, Body: d.Body, Headers: domain.LetterHeaders(&d), Reason: domain.ReasonIDConflict,
	}))
	require.NoError(t, channel(t, url).PublishWithContext(ctx, "", broker.DeadLetterQueueName(tenant), true, false, amqp.Publishing{
		Type: "a type of ours", Headers: headers, Body: []byte(`1`),
	}))
	sub, err = broker.Reading(b.SubscribeDeadLetters(ctx, tenant, "tag", 10))
	require.NoError(t, err)
	for range 2 {
		letter, _ := b.ReadDeadLetter(tenant, <-sub.Deliveries())
		require.Equal(t, want, letter.Envelope(), letter.Reason)
		require.Contains(t, letter.Headers, "table")
	}
	require.NoError(t, sub.Close())
}
