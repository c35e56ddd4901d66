package broker

import (
	"context"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
)

// shortProbe is far shorter than what a busy machine may take.
const shortProbe = time.Millisecond

// A broker that does not answer in time is not taken for a queue that is
// stuck, however short the time is: neither one that hangs, nor one that is
// slow with everything.
func TestASlowBrokerIsNotTakenForAStuckQueue(t *testing.T) {
	t.Parallel()
	server := devtest.PrivateRabbitMQ(t)
	ctx := t.Context()
	b, id := running(t, server.URL())
	require.NoError(t, b.DeclareQueues(ctx, id))

	for range 20 {
		b.prober.doubt(id)
		require.NotErrorIs(t, b.prober.probe(ctx, id, shortProbe), errStuck)
	}
	b.prober.doubt(id)
	session, err := b.prober.line.connection.connection.Await(ctx)
	require.NoError(t, err)
	ch, err := session.Channel(ctx)
	require.NoError(t, err)
	server.Pause()
	slow, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	require.False(t, works(slow, session, id), "it hangs")
	server.Resume()
	require.NoError(t, ch.Close())
	require.Eventually(t, func() bool { return b.prober.probe(ctx, id, probeTimeout) == nil }, 30*time.Second, 100*time.Millisecond)
	require.True(t, works(ctx, session, id), "it works again")
}

// A queue with messages is never taken for one that may be deleted.
func TestAQueueWithMessagesIsNotDeleted(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b, id := running(t, devtest.RabbitMQ(t))
	require.NoError(t, b.DeclareQueues(ctx, id))
	session := b.control.Session()
	require.True(t, works(ctx, session, id))
	require.NoError(t, b.topology(ctx, func(ch *amqp.Channel) error {
		return ch.PublishWithContext(ctx, "", QueueName(id), true, false, amqp.Publishing{DeliveryMode: amqp.Persistent})
	}))
	require.Eventually(t, func() bool { return !works(ctx, session, id) }, 30*time.Second, 50*time.Millisecond)
}
