package consumer

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/domain"
	"lanekeeper/service/writer"
	"lanekeeper/service/writer/writertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startWriter runs a writer until the test ends.
func startWriter(t *testing.T, store domain.MessageRepository) *writer.Writer {
	t.Helper()
	w := writer.New(writer.Options{Repository: store, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// harness is everything around one consumer, in memory: a queue of deliveries
// that come back when they are not acknowledged, and what was dead-lettered.
type harness struct {
	t      *testing.T
	tenant uuid.UUID
	store  *writertest.Store

	mu      sync.Mutex
	queue   []domain.Delivery
	subs    []*memorySubscription
	acked   map[string]int
	letters []domain.DeadLetter
	// earlier are messages that an earlier version had stored; returned counts how
	// often each message was said to have come back, in calls that succeeded.
	earlier      map[uuid.UUID]bool
	returned     map[uuid.UUID]int
	returnedFail error
}

type memorySubscription struct {
	harness *harness
	out     chan domain.Delivery
	done    chan struct{}
	once    sync.Once
	err     error
	open    map[uint64]domain.Delivery
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	return &harness{t: t, tenant: uuid.New(), store: writertest.NewStore(), acked: map[string]int{}, returned: map[uuid.UUID]int{}}
}

func (l *harness) Subscribe(_ context.Context, _ uuid.UUID, _ string, prefetch int) (domain.Subscription, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &memorySubscription{harness: l, out: make(chan domain.Delivery, prefetch), done: make(chan struct{}), open: map[uint64]domain.Delivery{}}
	for i := range min(prefetch, len(l.queue)) {
		d := l.queue[i]
		d.Tag = uint64(i + 1)
		s.open[d.Tag] = d
		s.out <- d
	}
	l.queue = l.queue[len(s.open):]
	l.subs = append(l.subs, s)
	return s, nil
}

func (s *memorySubscription) Done() <-chan struct{} { return s.done }
func (s *memorySubscription) Err() error            { return s.err }

func (s *memorySubscription) Each(deliver func(domain.Delivery)) {
	for d := range s.out {
		deliver(d)
	}
	<-s.done
}

func (s *memorySubscription) Ack(tag uint64, multiple bool) error {
	s.harness.mu.Lock()
	defer s.harness.mu.Unlock()
	for open, d := range s.open {
		if open == tag || multiple && open < tag {
			s.harness.acked[d.MessageID]++
			delete(s.open, open)
		}
	}
	return nil
}

func (s *memorySubscription) end(err error) {
	s.once.Do(func() {
		s.harness.mu.Lock()
		defer s.harness.mu.Unlock()
		for _, d := range s.open {
			s.harness.queue = append(s.harness.queue, d)
		}
		s.err = err
		close(s.out)
		close(s.done)
	})
}

func (s *memorySubscription) Close() error { s.end(nil); return nil }

func (l *harness) Publish(context.Context, uuid.UUID, []domain.Outgoing) []error { panic("not used") }

func (l *harness) DeadLetter(_ context.Context, letter domain.DeadLetter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.letters = append(l.letters, letter)
	return nil
}

func (l *harness) Returned(_ context.Context, _ uuid.UUID, ids []uuid.UUID) (earlier []uuid.UUID, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.returnedFail != nil {
		return nil, l.returnedFail
	}
	for _, id := range ids {
		l.returned[id]++
		if l.earlier[id] {
			earlier = append(earlier, id)
		}
	}
	return earlier, nil
}

func (l *harness) QueueCounts(context.Context, uuid.UUID) (domain.QueueCounts, error) {
	return domain.QueueCounts{Consumers: 1}, nil
}
func (l *harness) AddMessages(uuid.UUID, string, int) {}
func (l *harness) ObserveEndToEnd(float64)            {}

func (l *harness) with(work func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	work()
}

func (l *harness) eventually(condition func() bool) {
	l.t.Helper()
	require.Eventually(l.t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return condition() }, 10*time.Second, time.Millisecond)
}

// start runs a manager with the harness's consumer.
func (l *harness) start(workers int) (*TenantManager, domain.Tenant) {
	l.t.Helper()
	w := startWriter(l.t, l.store)
	m := NewTenantManager(Options{
		Subscriber: l, Publisher: l, Queues: l, Writer: w, Returned: l,
		Metrics: l, Log: slog.New(slog.DiscardHandler), Replica: "test",
	})
	l.t.Cleanup(func() { require.NoError(l.t, m.Close(context.Background())) })
	tenant := domain.Tenant{ID: l.tenant, Workers: workers, Status: domain.TenantActive}
	require.NoError(l.t, m.Start(l.t.Context(), tenant))
	return m, tenant
}
