package broker_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/service/broker"
)

// take takes n deliveries and returns the tag of the last.
func take(t *testing.T, sub *broker.Read, want []domain.Outgoing) (last uint64) {
	t.Helper()
	for i, m := range want {
		select {
		case d := <-sub.Deliveries():
			require.Equal(t, m.ID.String(), d.MessageID, "delivery %d", i)
			last = d.Tag
		case <-time.After(20 * time.Second):
			require.FailNow(t, "no delivery", i)
		}
	}
	return last
}

// Another replica that declares, tries out and consumes a queue waits until
// the one that consumes it has left, and then goes on where that stopped.
func TestTheNextConsumerWaits(t *testing.T) {
	t.Parallel()
	url := devtest.RabbitMQ(t)
	one, other := start(t, url), start(t, url)
	ctx, tenant := t.Context(), newTenant(t)
	require.NoError(t, one.DeclareQueues(ctx, tenant))
	batch := outgoing(30)
	requireNoErrors(t, one.Publish(ctx, tenant, batch))
	leaving, err := broker.Reading(one.Subscribe(ctx, tenant, "one", 10))
	require.NoError(t, err)
	take(t, leaving, batch[:10])

	require.NoError(t, other.DeclareQueues(ctx, tenant))
	report, err := other.InspectQueues(ctx, tenant)
	require.NoError(t, err)
	require.Equal(t, domain.QueueReport{Main: domain.QueueReady, DeadLetter: domain.QueueReady}, report)
	require.ErrorIs(t, other.ReplaceQueue(ctx, tenant), domain.ErrUnavailable, "it works")
	next, err := broker.Reading(other.Subscribe(ctx, tenant, "other", 10))
	require.NoError(t, err)
	for tag := range uint64(5) { // the one that was there goes on
		require.NoError(t, leaving.Ack(tag+1, false))
	}
	last := take(t, leaving, batch[10:15])
	require.NoError(t, leaving.Ack(last-3, true))
	select {
	case d := <-next.Deliveries():
		require.FailNow(t, "two consume at a time", d.MessageID)
	default:
	}
	require.NoError(t, leaving.Close())
	last = take(t, next, batch[12:22])
	require.NoError(t, next.Ack(last, true))
	take(t, next, batch[22:])
	require.NoError(t, next.Close())
}

func TestAwaitNoConsumers(t *testing.T) {
	t.Parallel()
	url := devtest.RabbitMQ(t)
	one, other, deleter := start(t, url), start(t, url), start(t, url)
	ctx, tenant := t.Context(), newTenant(t)
	require.NoError(t, deleter.AwaitNoConsumers(ctx, tenant), "there is no queue")
	require.NoError(t, one.DeclareQueues(ctx, tenant))
	require.NoError(t, deleter.AwaitNoConsumers(ctx, tenant))
	const messages = 100
	requireNoErrors(t, one.Publish(ctx, tenant, outgoing(messages)))
	active, err := broker.Reading(one.Subscribe(ctx, tenant, "active", 50))
	require.NoError(t, err)
	waiting, err := broker.Reading(other.Subscribe(ctx, tenant, "waiting", 50))
	require.NoError(t, err)
	for range 20 {
		d := <-active.Deliveries()
		require.NoError(t, active.Ack(d.Tag, false))
	}
	left := make(chan error, 1)
	go func() { left <- deleter.AwaitNoConsumers(ctx, tenant) }()
	for _, sub := range []*broker.Read{active, waiting} {
		limited, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		require.ErrorIs(t, deleter.AwaitNoConsumers(limited, tenant), context.DeadlineExceeded)
		cancel()
		require.Empty(t, left)
		require.NoError(t, sub.Close())
	}
	require.NoError(t, <-left)
	discarded, err := deleter.DeleteQueues(ctx, tenant)
	require.NoError(t, err)
	require.EqualValues(t, messages-20, discarded)
}

// One replica consumes, another one publishes, and a third one deletes: what
// was accepted is acknowledged or counted. As the service does, the publisher
// asks, after each confirm, whether the deletion was announced, and the third
// one gives it some time to hear of it.
func TestDeletingElsewhereCountsEverything(t *testing.T) {
	t.Parallel()
	url := devtest.RabbitMQ(t)
	consuming, publishing, deleting := start(t, url), start(t, url), start(t, url)
	ctx := t.Context()
	for range 5 {
		tenant := newTenant(t)
		require.NoError(t, deleting.DeclareQueues(ctx, tenant))
		sub, err := broker.Reading(consuming.Subscribe(ctx, tenant, "tag", 64))
		require.NoError(t, err)
		var wg sync.WaitGroup
		var sent, accepted, acked atomic.Int64
		var announced atomic.Bool
		for range 4 {
			wg.Go(func() {
				for !announced.Load() {
					sent.Add(3)
					errs := publishing.Publish(ctx, tenant, outgoing(3))
					for _, err := range errs {
						if err == nil && !announced.Load() {
							accepted.Add(1)
						}
					}
				}
			})
		}
		enough := make(chan struct{})
		stop := make(chan struct{})
		wg.Go(func() {
			for stopped := false; !stopped; {
				select {
				case d := <-sub.Deliveries():
					// A third of it is never finished.
					if d.Tag%3 != 0 && sub.Ack(d.Tag, false) == nil {
						acked.Add(1)
					}
					if d.Tag == 60 {
						close(enough)
					}
				case <-stop:
					stopped = true
				}
			}
			if err := sub.Close(); err != nil {
				t.Error(err)
			}
		})
		<-enough
		announced.Store(true)
		close(stop)
		heard := time.After(300 * time.Millisecond)
		require.NoError(t, deleting.AwaitNoConsumers(ctx, tenant))
		<-heard
		discarded, err := deleting.DeleteQueues(ctx, tenant)
		require.NoError(t, err)
		wg.Wait()
		require.GreaterOrEqual(t, acked.Load()+discarded, accepted.Load())
		require.LessOrEqual(t, acked.Load()+discarded, sent.Load(), "nothing is counted twice")
	}
}

// A replica whose consumer left, and gave messages back, does not wait for
// them when it deletes the queue much later.
func TestDeletingAfterTheConsumerMovedAway(t *testing.T) {
	t.Parallel()
	url := devtest.RabbitMQ(t)
	one, other := start(t, url), start(t, url)
	ctx, tenant := t.Context(), newTenant(t)
	require.NoError(t, one.DeclareQueues(ctx, tenant))
	batch := outgoing(10)
	requireNoErrors(t, one.Publish(ctx, tenant, batch))
	sub, err := broker.Reading(one.Subscribe(ctx, tenant, "one", 10))
	require.NoError(t, err)
	take(t, sub, batch)
	require.NoError(t, sub.Close())
	sub, err = broker.Reading(other.Subscribe(ctx, tenant, "other", 10))
	require.NoError(t, err)
	require.NoError(t, sub.Ack(take(t, sub, batch), true), "in the order in which they were published")
	require.NoError(t, sub.Close())
	begun := time.Now()
	discarded, err := one.DeleteQueues(ctx, tenant)
	require.NoError(t, err)
	require.Zero(t, discarded)
	require.Less(t, time.Since(begun), 5*time.Second)
}

func newTenant(t *testing.T) uuid.UUID {
	t.Helper()
	id, err := uuid.NewV7()
	require.NoError(t, err)
	return id
}

// A replica that has not heard of the deletion goes on publishing for a while.
// The queue is deleted when it has stopped: a queue that is deleted under a
// publication would end the publisher's connection, with everybody on it.
func TestDeletingWaitsForPublishersElsewhere(t *testing.T) {
	t.Parallel()
	url := devtest.RabbitMQ(t)
	publishing, deleting := start(t, url), start(t, url)
	ctx := t.Context()
	for range 3 {
		tenant := newTenant(t)
		require.NoError(t, deleting.DeclareQueues(ctx, tenant))
		hears := time.Now().Add(time.Second)
		began := make(chan struct{})
		begin := sync.OnceFunc(func() { close(began) })
		var accepted atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for time.Now().Before(hears) {
					for _, err := range publishing.Publish(ctx, tenant, outgoing(3)) {
						if err != nil {
							t.Error(err)
						}
						accepted.Add(1)
					}
					begin()
				}
			})
		}
		<-began
		discarded, err := deleting.DeleteQueues(ctx, tenant)
		require.NoError(t, err)
		wg.Wait()
		require.Equal(t, accepted.Load(), discarded)
	}
}
