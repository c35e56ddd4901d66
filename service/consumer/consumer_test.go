package consumer

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// blockingSubscriber is a harness whose subscriptions take until they are let go.
type blockingSubscriber struct {
	*harness
	begun, release chan struct{}
}

func (l blockingSubscriber) Subscribe(ctx context.Context, id uuid.UUID, tag string, prefetch int) (domain.Subscription, error) {
	l.begun <- struct{}{}
	<-l.release
	return l.harness.Subscribe(ctx, id, tag, prefetch)
}

// managerOf returns a manager that consumes the harness through a subscriber, and
// is closed when the test ends.
func (l *harness) managerOf(subscriber domain.Subscriber, queues QueueCounter) *TenantManager {
	l.t.Helper()
	m := NewTenantManager(Options{
		Subscriber: subscriber, Publisher: l, Queues: queues, Writer: startWriter(l.t, l.store),
		Transmitter: l, Endpoints: l, MaxAttempts: 5,
		Metrics: l, Log: slog.New(slog.DiscardHandler), Replica: "test", SampleEvery: time.Hour,
	})
	l.t.Cleanup(func() { require.NoError(l.t, m.Close(context.Background())) })
	return m
}

// A tenant with an endpoint gets few deliveries at a time, also when the
// endpoint was set while its consumer was about to subscribe without one.
func TestAnEndpointSetWhileSubscribingHasItsOwnPrefetch(t *testing.T) {
	t.Parallel()
	l := newHarness(t, 1000)
	l.transmit = succeed
	held := blockingSubscriber{l, make(chan struct{}, 10), make(chan struct{})}
	m := l.managerOf(held, l)
	tenant := domain.Tenant{ID: l.tenant, Workers: 1, Status: domain.TenantActive}
	started := make(chan error, 2)
	start := func(tenant domain.Tenant) { started <- m.Start(context.Background(), tenant) }
	go start(tenant)
	<-held.begun
	tenant.Endpoint = endpoint(1)
	go start(tenant)
	require.Eventually(t, func() bool { return m.Running()[l.tenant].EndpointVersion == 1 }, 10*time.Second, time.Millisecond)
	close(held.release)
	require.NoError(t, <-started)
	require.NoError(t, <-started)
	l.eventually(func() bool { return len(l.acked) > 0 })
	l.with(func() {
		require.Len(t, l.subs, 2)
		require.Equal(t, domain.MaxWorkers, cap(l.subs[1].out))
		for id, n := range l.acked {
			require.Equal(t, 1, l.sent[uuid.MustParse(id)], "acknowledged once it was sent")
			require.Equal(t, 1, n)
		}
	})
}

// A consumer may be started, and its endpoint set, at the same time.
func TestAnEndpointMayBeSetAtAnyMoment(t *testing.T) {
	t.Parallel()
	for range 100 {
		l := newHarness(t, 0)
		m := l.managerOf(l, l)
		tenant := domain.Tenant{ID: l.tenant, Workers: 1, Status: domain.TenantActive}
		started := make(chan error, 1)
		go func() { started <- m.Start(context.Background(), tenant) }()
		with := tenant
		with.Endpoint = endpoint(1)
		require.NoError(t, m.Start(t.Context(), with))
		require.NoError(t, <-started)
		require.NoError(t, m.Close(t.Context()))
	}
}

// hangingDepths does not tell the depth of some tenants' queues.
type hangingDepths map[uuid.UUID]bool

func (h hangingDepths) QueueCounts(ctx context.Context, id uuid.UUID) (domain.QueueCounts, error) {
	if h[id] {
		<-ctx.Done()
		return domain.QueueCounts{}, domain.Wrap(ctx.Err(), domain.ErrUnavailable, "broker_unavailable", "no answer")
	}
	return domain.QueueCounts{Ready: 7, Consumers: 1}, nil
}

// A queue that does not answer leaves the depths of the others known.
func TestAHangingQueueDoesNotHideTheOthersDepths(t *testing.T) {
	t.Parallel()
	l := newHarness(t, 0)
	hanging := make(hangingDepths)
	m := l.managerOf(l, hanging)
	var ids []uuid.UUID
	for i := range 20 {
		tenant := domain.Tenant{ID: uuid.New(), Workers: 1, Status: domain.TenantActive}
		if i%4 == 0 {
			hanging[tenant.ID] = true
		}
		ids = append(ids, tenant.ID)
	}
	for _, id := range ids {
		require.NoError(t, m.Start(t.Context(), domain.Tenant{ID: id, Workers: 1, Status: domain.TenantActive}))
	}
	m.readDepths()
	for _, id := range ids {
		depth, known := m.Depth(id)
		require.Equal(t, !hanging[id], known)
		if known {
			require.EqualValues(t, 7, depth)
		}
	}
}
