package broker_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/service/broker"
)

// Calls that are given up at every moment they can be leave the connections
// alone that they share with others.
func TestCallsThatAreGivenUpEndNobodysConnection(t *testing.T) {
	t.Parallel()
	const rounds, moments, apart = 600, 60, 50 * time.Microsecond
	log := &lines{}
	b := broker.New(broker.Options{
		URLs: []string{devtest.RabbitMQ(t)}, Replica: "test", QueueType: broker.Classic, DeadLetterQueueType: broker.Classic,
		PublishChannels: 1, Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	running, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(running) }()
	t.Cleanup(func() { stop(); <-done })
	require.NoError(t, b.AwaitReady(t.Context()))

	other, mine := uuid.New(), uuid.New()
	require.NoError(t, b.DeclareQueues(t.Context(), other))
	require.NoError(t, b.DeclareQueues(t.Context(), mine))
	bystander, err := broker.Reading(b.Subscribe(t.Context(), other, "bystander", 10))
	require.NoError(t, err)
	letters, err := broker.Reading(b.SubscribeDeadLetters(t.Context(), other, "bystander", 10))
	require.NoError(t, err)
	sub, err := broker.Reading(b.Subscribe(t.Context(), mine, "whole", 10))
	require.NoError(t, err)
	require.NoError(t, sub.Close())

	drop := func(sub domain.Subscription, err error) {
		if err == nil {
			_ = sub.Close()
		}
	}
	calls := map[string]func(ctx context.Context){
		"subscribe": func(ctx context.Context) { drop(b.Subscribe(ctx, mine, "mine", 10)) },
		"letters":   func(ctx context.Context) { drop(b.SubscribeDeadLetters(ctx, mine, "mine", 10)) },
		"declare":   func(ctx context.Context) { _ = b.DeclareQueues(ctx, mine) },
		"inspect":   func(ctx context.Context) { _, _ = b.InspectQueues(ctx, mine) },
		"depth":     func(ctx context.Context) { _, _ = b.QueueDepth(ctx, mine) },
		"delete":    func(ctx context.Context) { _, _ = b.DeleteQueues(ctx, uuid.New()) },
	}
	for name, call := range calls {
		for i := range rounds {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%moments)*apart)
			call(ctx)
			cancel()
		}
		require.Zero(t, log.with("broker connection lost"), "after %s", name)
	}
	require.False(t, closed(bystander.Done()))
	require.False(t, closed(letters.Done()))
	requireNoErrors(t, b.Publish(t.Context(), other, outgoing(1)))
	<-bystander.Deliveries()
}
