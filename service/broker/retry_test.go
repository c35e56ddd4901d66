package broker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/service/broker"
)

// A retried message waits in its tier and returns to its tenant's queue,
// with its id, its body, its own headers and the count of its attempts.
func TestRetriedMessagesReturn(t *testing.T) {
	t.Parallel()
	b := start(t, devtest.RabbitMQ(t))
	ctx, tenant, other := t.Context(), uuid.New(), uuid.New()
	require.NoError(t, b.DeclareQueues(ctx, tenant))
	require.NoError(t, b.DeclareQueues(ctx, other))
	d := domain.Delivery{
		MessageID: "literal id", Body: []byte(`{"n":1}`), Published: time.UnixMilli(1_700_000_000_123),
		PublishedHere: time.UnixMilli(1_700_000_000_123),
		Headers:       map[string]any{"kept": "yes", "x-attempt": int64(77), "CC": []any{broker.QueueName(other)}, "x-death": "forged"},
	}
	sent := time.Now()
	require.NoError(t, b.Retry(ctx, tenant, d, 1))
	sub, err := b.Subscribe(ctx, tenant, "tag", 10)
	require.NoError(t, err)
	got := <-sub.Deliveries()
	require.GreaterOrEqual(t, time.Since(sent), 900*time.Millisecond, "it waited in the first tier")
	require.Equal(t, "literal id", got.MessageID)
	require.Equal(t, d.Body, got.Body)
	require.Equal(t, 1, got.Attempt)
	require.Equal(t, "yes", got.Headers["kept"])
	require.Equal(t, d.Published.UnixMilli(), got.Published.UnixMilli())
	require.Equal(t, d.PublishedHere.UnixMilli(), got.PublishedHere.UnixMilli())
	require.NoError(t, sub.Ack(got.Tag, false))

	// Once more, with the headers the broker added on the way.
	require.NoError(t, b.Retry(ctx, tenant, got, 1))
	again := <-sub.Deliveries()
	require.Equal(t, d.Body, again.Body)
	require.NoError(t, sub.Ack(again.Tag, false))
	require.NoError(t, sub.Close())
	depth, err := b.QueueDepth(ctx, other)
	require.NoError(t, err)
	require.Zero(t, depth, "a CC header sends it nowhere else")
}

// What returns to a tenant that is gone ends among the orphans.
func TestRetriedMessagesOfAGoneTenantBecomeOrphans(t *testing.T) {
	t.Parallel()
	url := devtest.RabbitMQ(t)
	b := start(t, url)
	tenant := uuid.New()
	require.NoError(t, b.Retry(t.Context(), tenant, domain.Delivery{MessageID: "x", Body: []byte("1")}, 1))
	conn, err := amqp.Dial(url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	ch, err := conn.Channel()
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		d, ok, err := ch.Get(broker.OrphanQueue, true)
		return err == nil && ok && d.RoutingKey == broker.QueueName(tenant)
	}, 10*time.Second, 50*time.Millisecond)
}

// Queues that were declared in the moment before the broker was killed either
// work afterwards or are replaced; none is left that hangs.
func TestQueuesDeclaredAsTheBrokerIsKilledWorkAfterwards(t *testing.T) {
	t.Parallel()
	server := devtest.PrivateRabbitMQ(t)
	b := start(t, server.URL())
	var tenants []uuid.UUID
	for range 12 {
		tenants = append(tenants, uuid.Must(uuid.NewV7())) // whose time is its age
	}
	var wg sync.WaitGroup
	declared := make(chan struct{}, len(tenants))
	for _, tenant := range tenants {
		wg.Go(func() {
			_ = b.DeclareQueues(t.Context(), tenant) // the kill makes some of them fail
			declared <- struct{}{}
		})
	}
	<-declared
	server.Kill()
	wg.Wait()
	server.Start()
	require.Eventually(t, func() bool { return b.State() == broker.Ready }, 30*time.Second, 50*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	errs := make([]error, len(tenants))
	for i, tenant := range tenants {
		wg.Go(func() { errs[i] = comesToWork(ctx, b, tenant, fmt.Sprintf("tag-%d", i)) })
	}
	wg.Wait()
	requireNoErrors(t, errs)
}

// comesToWork declares the tenant's queues, publishes to them and consumes,
// trying on like the reconciler and callers do while the broker says that it
// cannot yet.
func comesToWork(ctx context.Context, b *broker.Broker, tenant uuid.UUID, tag string) error {
	persist := func(call func() error) error {
		for {
			err := call()
			if err == nil || !errors.Is(err, domain.ErrUnavailable) {
				return err
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return fmt.Errorf("still so in the end: %w", err)
			}
		}
	}
	if err := persist(func() error { return b.DeclareQueues(ctx, tenant) }); err != nil {
		return err
	}
	if err := persist(func() error { return b.Publish(ctx, tenant, outgoing(1))[0] }); err != nil {
		return err
	}
	var sub domain.Subscription
	err := persist(func() (err error) {
		sub, err = b.Subscribe(ctx, tenant, tag, 10)
		return err
	})
	if err != nil {
		return err
	}
	select {
	case <-sub.Deliveries():
	case <-ctx.Done():
		err = ctx.Err()
	}
	return errors.Join(err, sub.Close())
}

// Somebody deletes what all tenants share. It is made again while the service
// runs: until then retries are refused, and held by their callers.
func TestWhatAllTenantsShareIsDeclaredAgain(t *testing.T) {
	t.Parallel()
	url := devtest.RabbitMQ(t)
	b := start(t, url)
	ctx, tenant := t.Context(), uuid.New()
	require.NoError(t, b.DeclareQueues(ctx, tenant))
	ch := channel(t, url)
	retry := func() error {
		return b.Retry(ctx, tenant, domain.Delivery{MessageID: "x", Body: []byte("1")}, 1)
	}
	for name, remove := range map[string]func() error{
		"queue":    func() error { _, err := ch.QueueDelete("lanekeeper.retry.1s", false, false, false); return err },
		"exchange": func() error { return ch.ExchangeDelete("lanekeeper.retry.1s", false, false) },
		"binding":  func() error { return ch.QueueUnbind("lanekeeper.retry.1s", "", "lanekeeper.retry.1s", nil) },
	} {
		require.NoError(t, remove(), name)
		require.Error(t, retry(), name)
		require.Eventually(t, func() bool { return retry() == nil }, 30*time.Second, 100*time.Millisecond, name)
	}
	_, err := ch.QueueDelete(broker.OrphanQueue, false, false, false)
	require.NoError(t, err)
	again := channel(t, url)
	waiting := func(n int) func() bool {
		return func() bool {
			q, err := again.QueueDeclarePassive(broker.OrphanQueue, true, false, false, false, nil)
			if err != nil {
				again = channel(t, url)
			}
			return err == nil && q.Messages >= n
		}
	}
	require.Eventually(t, waiting(0), 30*time.Second, 200*time.Millisecond)
	require.Eventually(t, func() bool { // the queue is bound a moment after it is there
		err := b.Retry(ctx, uuid.New(), domain.Delivery{MessageID: "x", Body: []byte("1")}, 1)
		return err == nil && waiting(1)()
	}, 60*time.Second, 500*time.Millisecond)
}
