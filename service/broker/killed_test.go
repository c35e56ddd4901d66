package broker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/service/broker"
)

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
	declaring, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	for _, tenant := range tenants {
		wg.Go(func() {
			_ = b.DeclareQueues(declaring, tenant) // the kill makes some of them fail
			declared <- struct{}{}
		})
	}
	<-declared
	server.Kill()
	giveUp() // those that wait for the broker to come back
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
	var sub *broker.Read
	err := persist(func() (err error) {
		sub, err = broker.Reading(b.Subscribe(ctx, tenant, tag, 10))
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
// runs: until then dead letters are refused, and held by their callers.
func TestWhatAllTenantsShareIsDeclaredAgain(t *testing.T) {
	t.Parallel()
	url := devtest.RabbitMQ(t)
	b := start(t, url)
	ctx, tenant := t.Context(), uuid.New()
	require.NoError(t, b.DeclareQueues(ctx, tenant))
	letter := func() error {
		return b.DeadLetter(ctx, domain.DeadLetter{ID: uuid.New(), TenantID: tenant, Body: []byte("1"), Reason: domain.ReasonUnknown})
	}
	require.NoError(t, letter())
	require.NoError(t, channel(t, url).ExchangeDelete(broker.DeadExchange, false, false))
	require.Error(t, letter())
	require.Eventually(t, func() bool {
		return b.CheckQueues(ctx, tenant) == nil && letter() == nil // which binds the queue again
	}, 30*time.Second, 100*time.Millisecond)
}
