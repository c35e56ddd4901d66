package broker_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/service/broker"
)

// start runs a broker against a fresh virtual host and waits until it is
// ready.
func start(t *testing.T, url string) *broker.Broker {
	t.Helper()
	b := broker.New(broker.Options{
		URLs: []string{url}, Replica: "test", QueueType: broker.Quorum, DeadLetterQueueType: broker.Classic,
		PublishChannels: 2, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	require.Eventually(t, func() bool { return b.State() == broker.Ready }, 15*time.Second, 10*time.Millisecond)
	return b
}

func outgoing(n int) []domain.Outgoing {
	batch := make([]domain.Outgoing, n)
	for i := range batch {
		batch[i] = domain.Outgoing{ID: uuid.New(), Body: fmt.Appendf(nil, `{"n":%d}`, i)}
	}
	return batch
}

func requireNoErrors(t *testing.T, errs []error) {
	t.Helper()
	for i, err := range errs {
		require.NoError(t, err, "message %d", i)
	}
}

func TestPublishedMessagesArriveInOrder(t *testing.T) {
	t.Parallel()
	b := start(t, devtest.RabbitMQ(t))
	ctx, tenant := t.Context(), uuid.New()
	require.NoError(t, b.DeclareQueues(ctx, tenant))
	require.NoError(t, b.DeclareQueues(ctx, tenant), "declaring again is allowed")
	batch := outgoing(1000) // more than the window
	requireNoErrors(t, b.Publish(ctx, tenant, batch))
	require.Eventually(t, func() bool {
		depth, err := b.QueueDepth(ctx, tenant)
		return err == nil && depth == 1000
	}, 5*time.Second, 10*time.Millisecond)

	sub, err := broker.Reading(b.Subscribe(ctx, tenant, "tag-1", 100))
	require.NoError(t, err)
	for i, m := range batch {
		d := <-sub.Deliveries()
		require.Equal(t, m.ID.String(), d.MessageID, "message %d", i)
		require.Equal(t, m.Body, d.Body)
		require.WithinDuration(t, time.Now(), d.Published, time.Minute)
		if d.Tag%50 == 0 {
			require.NoError(t, sub.Ack(d.Tag, true))
		}
	}
	require.NoError(t, sub.Close())
	require.NoError(t, sub.Close(), "closing again is allowed")
	require.NoError(t, sub.Err())
	_, open := <-sub.Deliveries()
	require.False(t, open)
	depth, err := b.QueueDepth(ctx, tenant)
	require.NoError(t, err)
	require.Zero(t, depth)
}

// A message that the broker returns is never taken for accepted, also when
// others are at the same time, on the same channels.
func TestReturnedMessagesAreErrors(t *testing.T) {
	t.Parallel()
	b := start(t, devtest.RabbitMQ(t))
	ctx, there, missing := t.Context(), uuid.New(), uuid.New()
	require.NoError(t, b.DeclareQueues(ctx, there))
	for range 20 {
		var returned, accepted []error
		var calls sync.WaitGroup
		calls.Go(func() { returned = b.Publish(ctx, missing, outgoing(100)) })
		calls.Go(func() { accepted = b.Publish(ctx, there, outgoing(200)) })
		calls.Wait()
		require.Len(t, returned, 100)
		for _, err := range returned {
			require.ErrorIs(t, err, domain.ErrUnavailable)
			require.ErrorIs(t, err, domain.ErrQueueMissing)
			require.Equal(t, "queue_missing", domain.CodeOf(err))
		}
		require.Len(t, accepted, 200)
		requireNoErrors(t, accepted)
	}
}

func TestUnacknowledgedDeliveriesGoBack(t *testing.T) {
	t.Parallel()
	b := start(t, devtest.RabbitMQ(t))
	ctx, tenant := t.Context(), uuid.New()
	require.NoError(t, b.DeclareQueues(ctx, tenant))
	requireNoErrors(t, b.Publish(ctx, tenant, outgoing(10)))
	sub, err := broker.Reading(b.Subscribe(ctx, tenant, "tag-1", 100))
	require.NoError(t, err)
	first := <-sub.Deliveries()
	require.NoError(t, sub.Ack(first.Tag, false))
	require.NoError(t, sub.Close())

	sub, err = broker.Reading(b.Subscribe(ctx, tenant, "tag-2", 100))
	require.NoError(t, err)
	for range 9 {
		d := <-sub.Deliveries()
		require.NotEqual(t, first.MessageID, d.MessageID)
		require.NoError(t, sub.Ack(d.Tag, false))
	}
	require.NoError(t, sub.Close())
}

func TestDeadLettersCarryTheirReason(t *testing.T) {
	t.Parallel()
	url := devtest.RabbitMQ(t)
	b := start(t, url)
	ctx, tenant := t.Context(), uuid.New()
	require.NoError(t, b.DeclareQueues(ctx, tenant))
	letter := domain.DeadLetter{
		ID: uuid.New(), TenantID: tenant, MessageID: "some-id", Body: []byte("not json \xff"),
		Headers: map[string]any{"x-reason": "forged", "x-death": "stripped", "kept": "yes"},
		Reason:  domain.ReasonInvalidPayload, Error: "it is not JSON", Attempts: 3,
	}
	require.NoError(t, b.DeadLetter(ctx, letter))

	conn, err := amqp.Dial(url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	ch, err := conn.Channel()
	require.NoError(t, err)
	d, ok, err := ch.Get(broker.DeadLetterQueueName(tenant), true)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, letter.Body, d.Body)
	require.Equal(t, "some-id", d.MessageId)
	require.IsType(t, int64(0), d.Headers["x-buried-ms"])
	delete(d.Headers, "x-buried-ms")
	require.Equal(t, amqp.Table{
		"x-reason": "invalid_payload", "x-error": "it is not JSON", "x-attempts": int64(3),
		"x-dead-letter-id": letter.ID.String(), "kept": "yes",
	}, d.Headers)
}

func TestDeletingQueuesReportsWhatIsLost(t *testing.T) {
	t.Parallel()
	b := start(t, devtest.RabbitMQ(t))
	ctx, tenant := t.Context(), uuid.New()
	require.NoError(t, b.DeclareQueues(ctx, tenant))
	requireNoErrors(t, b.Publish(ctx, tenant, outgoing(7)))
	var discarded int64
	require.Eventually(t, func() bool { depth, _ := b.QueueDepth(ctx, tenant); return depth == 7 }, 5*time.Second, 10*time.Millisecond)
	discarded, err := b.DeleteQueues(ctx, tenant)
	require.NoError(t, err)
	require.EqualValues(t, 7, discarded)
	discarded, err = b.DeleteQueues(ctx, tenant)
	require.NoError(t, err)
	require.Zero(t, discarded)
	_, err = b.Subscribe(ctx, tenant, "tag", 10)
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, err = b.QueueDepth(ctx, tenant)
	require.ErrorIs(t, err, domain.ErrNotFound)
}

func TestPublishingRefusesAtOnceWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	b := broker.New(broker.Options{
		URLs: []string{"amqp://guest:guest@127.0.0.1:1/"}, Replica: "test", PublishChannels: 2,
		QueueType: broker.Quorum, DeadLetterQueueType: broker.Classic, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx) }()
	start := time.Now()
	err := b.Publish(ctx, uuid.New(), outgoing(1))[0]
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.ErrorIs(t, b.DeclareQueues(ctx, uuid.New()), domain.ErrUnavailable)
	require.Less(t, time.Since(start), time.Second)
	require.Equal(t, broker.Away, b.State())
	cancel()
	<-done
}

// A broker that stops answering makes a publication fail by its deadline; once
// it answers again, everything goes on.
func TestPublishingIsBoundedWhileTheBrokerHangs(t *testing.T) {
	t.Parallel()
	server := devtest.PrivateRabbitMQ(t)
	b := start(t, server.URL())
	tenant := uuid.New()
	require.NoError(t, b.DeclareQueues(t.Context(), tenant))
	server.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	begin := time.Now()
	for _, err := range b.Publish(ctx, tenant, outgoing(600)) {
		require.ErrorIs(t, err, domain.ErrUnavailable)
		require.Equal(t, "publish_unknown", domain.CodeOf(err))
	}
	require.Less(t, time.Since(begin), 3*time.Second)
	server.Resume()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return b.Publish(ctx, tenant, outgoing(1))[0] == nil
	}, 30*time.Second, 100*time.Millisecond)
}

func TestEverythingComesBackAfterTheBrokerWasKilled(t *testing.T) {
	t.Parallel()
	server := devtest.PrivateRabbitMQ(t)
	b := start(t, server.URL())
	ready := func() bool { return b.State() == broker.Ready }
	tenant := uuid.New()
	require.NoError(t, b.DeclareQueues(t.Context(), tenant))
	// A queue that was declared less than a second before the broker is killed
	// may be unusable afterwards; an orderly restart makes it an old one.
	server.Stop()
	server.Start()
	require.Eventually(t, ready, 30*time.Second, 50*time.Millisecond)
	requireNoErrors(t, b.Publish(t.Context(), tenant, outgoing(100)))
	sub, err := broker.Reading(b.Subscribe(t.Context(), tenant, "tag-1", 10))
	require.NoError(t, err)
	<-sub.Deliveries()
	server.Kill()
	<-sub.Done()
	require.Error(t, sub.Err())
	require.NoError(t, sub.Close())
	server.Start()
	require.Eventually(t, ready, 30*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool {
		sub, err = broker.Reading(b.Subscribe(t.Context(), tenant, "tag-2", 200))
		return err == nil
	}, 30*time.Second, 100*time.Millisecond)
	for range 100 {
		<-sub.Deliveries()
	}
	require.NoError(t, sub.Close())
}

// Deleting counts what is ready, what a consumer gives back, and what is being
// published at that moment.
func TestDeletingCountsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	b := start(t, devtest.RabbitMQ(t))
	for range 5 {
		ctx, tenant := t.Context(), uuid.New()
		require.NoError(t, b.DeclareQueues(ctx, tenant))
		requireNoErrors(t, b.Publish(ctx, tenant, outgoing(300)))
		sub, err := broker.Reading(b.Subscribe(ctx, tenant, "tag", 100))
		require.NoError(t, err)
		acked := 0
		for range 60 {
			d := <-sub.Deliveries()
			if d.Tag%2 == 0 {
				require.NoError(t, sub.Ack(d.Tag, false))
				acked++
			}
		}
		var wg sync.WaitGroup
		var accepted atomic.Int64
		for range 8 {
			wg.Go(func() {
				for range 50 {
					for _, err := range b.Publish(ctx, tenant, outgoing(3)) {
						if err != nil {
							return
						}
						accepted.Add(1)
					}
				}
			})
		}
		require.NoError(t, sub.Close())
		discarded, err := b.DeleteQueues(ctx, tenant)
		require.NoError(t, err)
		wg.Wait()
		require.Equal(t, int64(300-acked)+accepted.Load(), discarded)
	}
}
