package broker

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/pkg/rabbitmq/topology"
)

// running returns a Broker that runs until the test ends, and the id of a
// tenant that has no queues yet.
func running(t *testing.T, url string) (*Broker, uuid.UUID) {
	t.Helper()
	b := New(Options{
		URLs: []string{url}, Replica: "test", QueueType: Quorum, DeadLetterQueueType: Classic,
		PublishChannels: 1, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	require.NoError(t, b.AwaitReady(ctx))
	id, err := uuid.NewV7()
	require.NoError(t, err)
	return b, id
}

// keptChannels is at least how many channels are kept for the next call.
const keptChannels = 4

func TestInspectingAQueue(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b, id := running(t, devtest.RabbitMQ(t))
	name := QueueName(id)
	inspections := map[string]func() (amqp.Queue, bool, error){
		"kept channels": func() (amqp.Queue, bool, error) { return b.client.Inspect(ctx, name) },
		"a session":     func() (amqp.Queue, bool, error) { return topology.InspectOn(ctx, b.control.Session(), name) },
	}

	for how, inspect := range inspections {
		for range 2 * keptChannels { // the broker closes the channel each time
			q, there, err := inspect()
			require.NoError(t, err, how)
			require.False(t, there, how)
			require.Zero(t, q, how)
		}
	}
	require.False(t, brokerWorks(ctx, b.control.Session(), id), "a queue that is not there is not an empty one")

	require.NoError(t, b.DeclareQueues(ctx, id))
	require.True(t, brokerWorks(ctx, b.control.Session(), id))
	require.NoError(t, b.client.Do(ctx, func(ch *rabbitmq.Channel) error {
		_, err := ch.Publish("", name, &amqp.Publishing{DeliveryMode: amqp.Persistent})
		return err
	}))
	sees := func(messages, consumers int) {
		t.Helper()
		for how, inspect := range inspections {
			require.Eventually(t, func() bool {
				q, there, err := inspect()
				return err == nil && there && q.Messages == messages && q.Consumers == consumers
			}, 30*time.Second, 50*time.Millisecond, how)
		}
	}
	sees(1, 0)
	sub, err := Reading(b.Subscribe(ctx, id, "inspecting", 1))
	require.NoError(t, err)
	<-sub.Deliveries()
	sees(0, 1)
	require.NoError(t, sub.Close())
	sees(1, 0)

	ended, end := context.WithCancel(ctx)
	end()
	_, _, err = b.client.Inspect(ended, name)
	require.ErrorIs(t, err, context.Canceled)
}
