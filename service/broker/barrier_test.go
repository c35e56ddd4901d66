package broker_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/service/broker"
)

const (
	// comesBack is how long connecting again may take.
	comesBack = 30 * time.Second
	// repaired is how long it may take to repair a queue. Without a probe that
	// is short for such queues it would be 14 s.
	repaired = 12 * time.Second
)

// A broker that is killed forgets the queue that was declared last, with what
// was confirmed in it, unless that passed the barrier. Here everything that was
// confirmed is still there, at whatever moment after the confirm it is killed.
func TestConfirmedMessagesOutliveAKillRightAfterDeclaring(t *testing.T) {
	t.Parallel()
	server := devtest.PrivateRabbitMQ(t)
	b := start(t, server.URL())
	killed := func(tenants ...uuid.UUID) {
		t.Helper()
		server.Kill()
		server.Start()
		require.Eventually(t, func() bool { return b.State() == broker.Ready }, comesBack, 50*time.Millisecond)
		for _, tenant := range tenants {
			receives(t, b, tenant)
		}
	}
	created := make([]uuid.UUID, 3)
	for i := range created {
		created[i] = freshTenant(t)
		require.NoError(t, b.DeclareQueues(t.Context(), created[i]))
		requireNoErrors(t, b.Publish(t.Context(), created[i], outgoing(1)))
	}
	killed(created...)

	replaced := created[0]
	require.NoError(t, b.ReplaceQueue(t.Context(), replaced))
	requireNoErrors(t, b.Publish(t.Context(), replaced, outgoing(1)))
	killed(replaced)
}

// A queue that had not passed the barrier when the broker was killed cannot be
// used. It is replaced soon, because no caller was told that it exists.
func TestAQueueThatWasNeverUsableIsReplaced(t *testing.T) {
	t.Parallel()
	server := devtest.PrivateRabbitMQ(t)
	b := start(t, server.URL())
	finished, tenant := freshTenant(t), freshTenant(t)
	require.NoError(t, b.DeclareQueues(t.Context(), finished))
	requireNoErrors(t, b.Publish(t.Context(), finished, outgoing(1)))
	declareWithoutBarrier(t, server.URL(), tenant)
	server.Kill()
	server.Start()
	require.Eventually(t, func() bool { return b.State() == broker.Ready }, comesBack, 50*time.Millisecond)
	_, err := b.QueueDepth(t.Context(), tenant)
	require.NoError(t, err, "the queue is in the list")
	limited, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.Error(t, b.Publish(limited, tenant, outgoing(1))[0], "and takes nothing")

	begun := time.Now()
	require.NoError(t, b.DeclareQueues(t.Context(), tenant))
	require.Less(t, time.Since(begun), repaired)
	requireNoErrors(t, b.Publish(t.Context(), tenant, outgoing(1)))
	receives(t, b, tenant)
	receives(t, b, finished)
}

func freshTenant(t *testing.T) uuid.UUID {
	t.Helper()
	id, err := uuid.NewV7()
	require.NoError(t, err)
	return id
}

// declareWithoutBarrier declares the tenant's main queue, and nothing else, as a
// process does that ends right after.
func declareWithoutBarrier(t *testing.T, url string, tenant uuid.UUID) {
	t.Helper()
	conn, err := amqp.Dial(url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	ch, err := conn.Channel()
	require.NoError(t, err)
	_, err = ch.QueueDeclare(broker.QueueName(tenant), true, false, false, false, amqp.Table{
		"x-queue-type": "quorum", "x-single-active-consumer": true,
		"x-dead-letter-exchange": broker.DeadExchange, "x-dead-letter-routing-key": broker.DeadLetterQueueName(tenant),
		"x-delivery-limit": int64(1000), "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish",
	})
	require.NoError(t, err)
}

// receives takes one message from the tenant's queue.
func receives(t *testing.T, b *broker.Broker, tenant uuid.UUID) {
	t.Helper()
	var sub *broker.Read
	require.Eventually(t, func() bool {
		var err error
		sub, err = broker.Reading(b.Subscribe(t.Context(), tenant, "tag-"+uuid.NewString(), 1))
		return err == nil
	}, comesBack, 100*time.Millisecond)
	select {
	case d := <-sub.Deliveries():
		require.NoError(t, sub.Ack(d.Tag, false))
	case <-time.After(comesBack):
		require.FailNow(t, "nothing is in the queue")
	}
	require.NoError(t, sub.Close())
}
