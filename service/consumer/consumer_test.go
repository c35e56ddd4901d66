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

// managerOf returns a manager that consumes the harness through a subscriber, and
// is closed when the test ends.
func (l *harness) managerOf(subscriber domain.Subscriber, queues QueueCounter) *TenantManager {
	l.t.Helper()
	m := NewTenantManager(Options{
		Subscriber: subscriber, Publisher: l, Queues: queues, Writer: startWriter(l.t, l.store),
		Metrics: l, Log: slog.New(slog.DiscardHandler), Replica: "test", SampleEvery: time.Hour,
	})
	l.t.Cleanup(func() { require.NoError(l.t, m.Close(context.Background())) })
	return m
}

// A consumer may be started twice at the same time, and resized by that.
func TestAConsumerMayBeStartedAtAnyMoment(t *testing.T) {
	t.Parallel()
	for range 100 {
		l := newHarness(t)
		m := l.managerOf(l, l)
		tenant := domain.Tenant{ID: l.tenant, Workers: 1, Status: domain.TenantActive}
		started := make(chan error, 1)
		go func() { started <- m.Start(context.Background(), tenant) }()
		larger := tenant
		larger.Workers = 2
		require.NoError(t, m.Start(t.Context(), larger))
		require.NoError(t, <-started)
		require.NoError(t, m.Close(t.Context()))
		l.with(func() { require.Len(t, l.subs, 1) })
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
	l := newHarness(t)
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
