package broker_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/service/broker"
)

// deep returns headers that are nested deeper than the library reads.
func deep() amqp.Table {
	table := amqp.Table{}
	for range 40 {
		table = amqp.Table{"in": table}
	}
	return table
}

// A message whose headers the library cannot read arrives with what can be
// told of it, wherever it is, and others on the connection do not notice.
func TestMessagesThatTheLibraryCannotRead(t *testing.T) {
	t.Parallel()
	url := devtest.RabbitMQ(t)
	b := start(t, url)
	ctx, tenant, other := t.Context(), uuid.New(), uuid.New()
	require.NoError(t, b.DeclareQueues(ctx, tenant))
	require.NoError(t, b.DeclareQueues(ctx, other))
	bystander, err := broker.Reading(b.Subscribe(ctx, other, "bystander", 10))
	require.NoError(t, err)
	letters, err := broker.Reading(b.SubscribeDeadLetters(ctx, other, "bystander", 10))
	require.NoError(t, err)

	ch := channel(t, url)
	at := time.Unix(1_700_000_000, 0)
	for _, queue := range []string{broker.QueueName(tenant), broker.DeadLetterQueueName(tenant)} {
		require.NoError(t, ch.PublishWithContext(ctx, "", queue, true, false, amqp.Publishing{
			MessageId: "deep", Timestamp: at, ContentEncoding: "gzip", Body: []byte("body"), Headers: deep(),
		}))
		require.NoError(t, ch.PublishWithContext(ctx, "", queue, true, false, amqp.Publishing{MessageId: "next", Body: []byte("1")}))
	}
	for name, subscribe := range map[string]func() (*broker.Read, error){
		"main": func() (*broker.Read, error) { return broker.Reading(b.Subscribe(ctx, tenant, "main", 10)) },
		"dead letters": func() (*broker.Read, error) {
			return broker.Reading(b.SubscribeDeadLetters(ctx, tenant, "letters", 10))
		},
	} {
		sub, err := subscribe()
		require.NoError(t, err, name)
		d := <-sub.Deliveries()
		require.Equal(t, domain.Refusal{Reason: domain.ReasonInvalidHeaders, Error: "the headers are nested deeper than 32"}, d.Refusal, name)
		require.Equal(t, "deep", d.MessageID, name)
		require.Equal(t, "body", string(d.Body), name)
		require.Equal(t, "gzip", d.Encoding, name)
		require.Equal(t, at, d.Published, name)
		require.NotEmpty(t, d.Headers["x-unreadable-headers"], name)

		letter, again := b.ReadDeadLetter(tenant, d)
		require.False(t, again, name)
		require.Equal(t, domain.ReasonInvalidHeaders, letter.Reason, name)
		require.Equal(t, "gzip", letter.Encoding(), name)
		require.Equal(t, "next", (<-sub.Deliveries()).MessageID, name)
		require.NoError(t, sub.Close(), name)
	}
	require.False(t, closed(bystander.Done()))
	require.False(t, closed(letters.Done()))
}
