package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/service/writer/writertest"
	"lanekeeper/tests/servicetest"
)

const kib = 1 << 10

// sized returns deliveries of size bytes each, overhead included.
func sized(n, size int) []domain.Delivery {
	queue := make([]domain.Delivery, n)
	for i := range queue {
		queue[i] = domain.Delivery{MessageID: uuid.NewString(), Body: make([]byte, size-overhead)}
	}
	return queue
}

// take subscribes to a queue of n deliveries of size bytes.
func take(t *testing.T, b *budget, n, size int) *readSubscription {
	t.Helper()
	l := newHarness(t)
	l.queue = sized(n, size)
	sub, err := l.Subscribe(t.Context(), l.tenant, "tag", n)
	require.NoError(t, err)
	in := readMetered(sub, n, b)
	t.Cleanup(func() { require.NoError(t, in.Close()) })
	return in
}

// readSubscription is one that is read into a channel.
type readSubscription struct {
	*meteredSubscription
	deliveries <-chan domain.Delivery
}

func readMetered(sub domain.Subscription, prefetch int, b *budget) *readSubscription {
	m := newMeteredSubscription(sub, prefetch, b)
	return &readSubscription{m, domain.Deliveries(m, prefetch)}
}

func (s *readSubscription) Deliveries() <-chan domain.Delivery { return s.deliveries }

func few(n int) func() int { return func() int { return n } }

func TestMeteredSubscriptionIsFullBeyondAConsumersShare(t *testing.T) {
	t.Parallel()
	b := newBudget(80*kib, few(1))
	in := take(t, b, 20, 4*kib)
	<-in.Full()
	require.EqualValues(t, 4*kib, in.meanWhenFull())
	require.NoError(t, in.Close())
	<-in.Done()
	got := 0
	for range in.Deliveries() {
		got++
	}
	require.Equal(t, 3, got, "the third is more than 10 KiB, the others are dropped")
	require.Zero(t, b.held.Load(), "what was held is given back")
}

// Headers count: there may be more of them than of a body.
func TestMeteredSubscriptionAccountsForHeaders(t *testing.T) {
	t.Parallel()
	b := newBudget(800*kib, few(1))
	l := newHarness(t)
	l.queue = sized(1, 4*kib)
	l.queue[0].Headers = map[string]any{"name": strings.Repeat("v", 20*kib-4), "n": int64(1)}
	sub, err := l.Subscribe(t.Context(), l.tenant, "tag", 1)
	require.NoError(t, err)
	in := readMetered(sub, 1, b)
	<-in.Deliveries()
	require.EqualValues(t, 24*kib+1, b.held.Load())
	require.NoError(t, in.Close())
	require.Zero(t, b.held.Load())
}

func TestMeteredSubscriptionAccountsForWhatIsInHand(t *testing.T) {
	t.Parallel()
	b := newBudget(800*kib, few(1))
	in := take(t, b, 20, 4*kib)
	for range 20 {
		<-in.Deliveries()
	}
	held := func(n int64) { t.Helper(); require.Equal(t, n*4*kib, b.held.Load()) }
	held(20)
	in.Finished([]uint64{3, 20})
	held(18)
	in.Finished([]uint64{1, 2, 3, 4, 5})
	held(14)
	in.Finished([]uint64{7, 21})
	held(13)
	require.Equal(t, 13, in.inHandCount())
	require.NoError(t, in.Ack(5, true))
	held(13)
	in.Finished([]uint64{6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19})
	held(0)
	require.NoError(t, in.Ack(20, true))
	held(0)
	mean, known := in.recentMean(20)
	require.True(t, known)
	require.EqualValues(t, 4*kib, mean)
	_, known = in.recentMean(20)
	require.False(t, known, "nothing came since")
	require.NoError(t, in.Close())
	require.NoError(t, in.Close())
	held(0)
}

// All together are bounded; those that have more than an equal part give way.
func TestMeteredSubscriptionsShareABudget(t *testing.T) {
	t.Parallel()
	b := newBudget(80*kib, few(10))
	small := make([]*readSubscription, 9)
	for i := range small {
		small[i] = take(t, b, 2, 4*kib)
	}
	for _, in := range small {
		<-in.Deliveries()
		<-in.Deliveries()
	}
	large := take(t, b, 5, 3*kib)
	<-large.Full()
	require.Greater(t, b.held.Load(), int64(80*kib))
	for _, in := range small {
		select {
		case <-in.Full():
			require.Fail(t, "this one has no more than its part")
		default:
		}
	}
	require.Equal(t, 2, b.prefetch(3*kib), "8 KiB for each")
}

func TestMeteredSubscriptionIsNeverFullWithTheLeastPrefetch(t *testing.T) {
	t.Parallel()
	in := take(t, newBudget(8*kib, few(1)), leastPrefetch, 4*kib)
	for range leastPrefetch {
		<-in.Deliveries()
	}
	select {
	case <-in.Full():
		require.Fail(t, "it cannot be made narrower")
	default:
	}
}

// prefetches notes with what prefetch is subscribed.
type prefetches struct {
	domain.Subscriber
	mu  sync.Mutex
	all []int
}

func (p *prefetches) Subscribe(ctx context.Context, id uuid.UUID, tag string, prefetch int) (domain.Subscription, error) {
	p.mu.Lock()
	p.all = append(p.all, prefetch)
	p.mu.Unlock()
	return p.Subscriber.Subscribe(ctx, id, tag, prefetch)
}

func (p *prefetches) list() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]int(nil), p.all...)
}

// heavy is a consumer of a real queue with a budget of 8 MiB.
type heavy struct {
	*servicetest.Servers
	t          *testing.T
	tenant     domain.Tenant
	prefetches *prefetches
	manager    *TenantManager
	published  []string
}

func newHeavy(t *testing.T, store domain.MessageRepository) *heavy {
	t.Helper()
	l := servicetest.New(t)
	h := &heavy{Servers: l, t: t, tenant: l.NewTenant(t), prefetches: &prefetches{Subscriber: l.Broker}}
	h.tenant.Workers = 1
	h.manager = NewTenantManager(Options{
		Subscriber: h.prefetches, Publisher: l.Broker, Queues: l.Broker, Writer: startWriter(t, store),
		Metrics: noMetrics{}, Log: slog.New(slog.DiscardHandler), Replica: "test", Budget: 8 << 20,
	})
	t.Cleanup(func() { require.NoError(t, h.manager.Close(context.Background())) })
	return h
}

// publish publishes n messages of about size bytes.
func (h *heavy) publish(n, size int) {
	h.t.Helper()
	fill := strings.Repeat("x", size)
	for range n {
		m := domain.Outgoing{ID: uuid.New(), Body: fmt.Appendf(nil, "%q", fill)}
		for _, err := range h.Broker.Publish(h.t.Context(), h.tenant.ID, []domain.Outgoing{m}) {
			require.NoError(h.t, err)
		}
		h.published = append(h.published, m.ID.String())
	}
}

func (h *heavy) awaitStored(store *writertest.Store) {
	h.t.Helper()
	require.Eventually(h.t, func() bool { return len(store.Stored(h.tenant.ID)) >= len(h.published) }, time.Minute, 10*time.Millisecond)
	for i, m := range store.Stored(h.tenant.ID) {
		require.Equal(h.t, h.published[i], m.ID.String(), "message %d", i)
	}
}

// A backlog of large messages is worked off with a bounded number of bytes in
// hand, in order, and after one more subscription; when what comes is small
// again, many are taken at a time again.
func TestLargeMessagesShrinkThePrefetch(t *testing.T) {
	t.Parallel()
	store := writertest.NewStore()
	h := newHeavy(t, store)
	h.manager.shared.prefetchCooldown = 10 * time.Millisecond
	var most int64
	var slow sync.Once
	store.SetFault(func([]domain.Message) error { // one at a time
		held := &h.manager.shared.budget.held
		slow.Do(func() { // else it may be as fast as what comes
			for deadline := time.Now().Add(20 * time.Second); held.Load() <= h.manager.shared.budget.single() && time.Now().Before(deadline); {
				<-time.After(time.Millisecond)
			}
		})
		most = max(most, held.Load())
		return nil
	})
	h.publish(400, 100*kib)
	require.NoError(t, h.manager.Start(t.Context(), h.tenant))
	h.awaitStored(store)
	list := h.prefetches.list()
	require.Len(t, list, 2)
	require.Equal(t, maxPrefetch, list[0])
	require.LessOrEqual(t, list[1], 5, "half of a MiB")
	store.SetFault(nil)
	require.LessOrEqual(t, most, int64(1<<20+150*kib))

	h.publish(1000, 10)
	h.awaitStored(store)
	require.Eventually(t, func() bool {
		list := h.prefetches.list()
		return list[len(list)-1] > 100
	}, 30*time.Second, 10*time.Millisecond)
	h.publish(100, 10)
	h.awaitStored(store)
	seen := 0
	for _, batch := range store.Batches() {
		seen += len(batch)
	}
	require.Less(t, seen, len(h.published)+maxPrefetch, "few are stored a second time")
}

// While the store is away, no more than the budget is held.
func TestLargeMessagesWaitInTheQueueWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	store := writertest.NewStore()
	h := newHeavy(t, store)
	tried := make(chan struct{}, 1)
	store.SetFault(func([]domain.Message) error {
		select {
		case tried <- struct{}{}:
		default:
		}
		return domain.New(domain.ErrUnavailable, "store_unavailable", "gone")
	})
	h.publish(100, 100*kib)
	require.NoError(t, h.manager.Start(t.Context(), h.tenant))
	<-tried
	require.Eventually(t, func() bool {
		return h.manager.Snapshot()[0].State == domain.ConsumerWaitingForStore && h.manager.shared.budget.held.Load() == 0
	}, time.Minute, 10*time.Millisecond)
	require.Len(t, h.prefetches.list(), 1)
	store.SetFault(nil)
	h.awaitStored(store)
	require.Len(t, h.prefetches.list(), 2)
}

type noMetrics struct{}

func (noMetrics) AddMessages(uuid.UUID, string, int) {}
func (noMetrics) ObserveEndToEnd(float64)            {}
