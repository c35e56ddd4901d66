package consumer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// lane is everything around one consumer, in memory: a queue of deliveries
// that come back when they are not acknowledged, an endpoint, and what was
// published and recorded.
type lane struct {
	t      *testing.T
	tenant uuid.UUID
	store  *faultyStore

	mu        sync.Mutex
	queue     []domain.Delivery
	subs      []*laneSubscription
	acked     map[string]int
	transmit  func(ctx context.Context, m domain.Message) domain.TransmitResult
	inFlight  int
	most      int
	sent      map[uuid.UUID]int
	records   map[uuid.UUID]domain.Transmission
	retried   []int
	letters   []domain.DeadLetter
	pausedFor string
}

type laneSubscription struct {
	lane *lane
	out  chan domain.Delivery
	done chan struct{}
	once sync.Once
	err  error
	open map[uint64]domain.Delivery
}

func newLane(t *testing.T, n int) *lane {
	t.Helper()
	l := &lane{
		t: t, tenant: uuid.New(), store: newFaultyStore(), acked: map[string]int{},
		sent: map[uuid.UUID]int{}, records: map[uuid.UUID]domain.Transmission{},
	}
	for range n {
		l.queue = append(l.queue, domain.Delivery{MessageID: uuid.NewString(), Body: []byte(`{"a":1}`)})
	}
	return l
}

func (l *lane) Subscribe(_ context.Context, _ uuid.UUID, _ string, prefetch int) (domain.Subscription, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &laneSubscription{lane: l, out: make(chan domain.Delivery, prefetch), done: make(chan struct{}), open: map[uint64]domain.Delivery{}}
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

func (s *laneSubscription) Deliveries() <-chan domain.Delivery { return s.out }
func (s *laneSubscription) Done() <-chan struct{}              { return s.done }
func (s *laneSubscription) Err() error                         { return s.err }

func (s *laneSubscription) Ack(tag uint64, multiple bool) error {
	s.lane.mu.Lock()
	defer s.lane.mu.Unlock()
	for open, d := range s.open {
		if open == tag || multiple && open < tag {
			s.lane.acked[d.MessageID]++
			delete(s.open, open)
		}
	}
	return nil
}

func (s *laneSubscription) end(err error) {
	s.once.Do(func() {
		s.lane.mu.Lock()
		defer s.lane.mu.Unlock()
		for _, d := range s.open {
			s.lane.queue = append(s.lane.queue, d)
		}
		s.err = err
		close(s.out)
		close(s.done)
	})
}

func (s *laneSubscription) Close() error { s.end(nil); return nil }

func (l *lane) Publish(context.Context, uuid.UUID, []domain.Outgoing) []error { panic("not used") }

func (l *lane) Retry(_ context.Context, _ uuid.UUID, _ domain.Delivery, attempt int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retried = append(l.retried, attempt)
	return nil
}

func (l *lane) Bury(_ context.Context, letter domain.DeadLetter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.letters = append(l.letters, letter)
	return nil
}

func (l *lane) QueueCounts(context.Context, uuid.UUID) (domain.QueueCounts, error) {
	return domain.QueueCounts{Consumers: 1}, nil
}
func (l *lane) AddMessages(uuid.UUID, string, int)              {}
func (l *lane) ObserveEndToEnd(float64)                         {}
func (l *lane) AddTransmissions(uuid.UUID, string, int)         {}
func (l *lane) DeleteEndpoint(context.Context, uuid.UUID) error { panic("not used") }
func (l *lane) PutEndpoint(context.Context, domain.Endpoint) (domain.Endpoint, error) {
	panic("not used")
}

func (l *lane) FindEndpoint(context.Context, uuid.UUID) (domain.Endpoint, error) { panic("not used") }

func (l *lane) PauseEndpoint(_ context.Context, _ uuid.UUID, _ int64, reason string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pausedFor = reason
	return nil
}

func (l *lane) RecordTransmission(_ context.Context, t domain.Transmission) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.records[t.MessageID].State != domain.TransmissionSucceeded {
		l.records[t.MessageID] = t
	}
	return nil
}

func (l *lane) FindTransmissions(_ context.Context, _ uuid.UUID, ids []uuid.UUID) ([]domain.Transmission, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []domain.Transmission
	for _, id := range ids {
		if r, ok := l.records[id]; ok {
			found = append(found, r)
		}
	}
	return found, nil
}

func (l *lane) Transmit(ctx context.Context, _ domain.Endpoint, m domain.Message) domain.TransmitResult {
	l.mu.Lock()
	l.inFlight++
	l.most = max(l.most, l.inFlight)
	l.sent[m.ID]++
	transmit := l.transmit
	l.mu.Unlock()
	result := transmit(ctx, m)
	l.mu.Lock()
	l.inFlight--
	l.mu.Unlock()
	return result
}

func (l *lane) with(work func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	work()
}

func (l *lane) eventually(condition func() bool) {
	l.t.Helper()
	require.Eventually(l.t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return condition() }, 10*time.Second, time.Millisecond)
}

// start runs a manager with the lane's consumer.
func (l *lane) start(workers int, endpoint *domain.Endpoint) (*TenantManager, domain.Tenant) {
	l.t.Helper()
	w := startWriter(l.t, WriterOptions{Repository: l.store})
	m := NewTenantManager(Options{
		Subscriber: l, Publisher: l, Queues: l, Writer: w, Transmitter: l, Endpoints: l, MaxAttempts: 5,
		Metrics: l, Log: slog.New(slog.DiscardHandler), Replica: "test",
	})
	l.t.Cleanup(func() { require.NoError(l.t, m.Close(context.Background())) })
	tenant := domain.Tenant{ID: l.tenant, Workers: workers, Status: domain.TenantActive, Endpoint: endpoint}
	require.NoError(l.t, m.Start(l.t.Context(), tenant))
	return m, tenant
}

func succeed(context.Context, domain.Message) domain.TransmitResult {
	return domain.TransmitResult{Status: 204}
}

func fail(status int) func(context.Context, domain.Message) domain.TransmitResult {
	return func(context.Context, domain.Message) domain.TransmitResult {
		return domain.TransmitResult{Status: status, Err: errors.New("no"), Gone: status == 410}
	}
}

func endpoint(version int64) *domain.Endpoint {
	return &domain.Endpoint{URL: "http://x", Version: version}
}

func TestTransmittedMessagesAreStoredFirstAndAcknowledgedAfterwards(t *testing.T) {
	t.Parallel()
	l := newLane(t, 20)
	release := make(chan struct{})
	l.transmit = func(context.Context, domain.Message) domain.TransmitResult {
		<-release
		return domain.TransmitResult{Status: 200}
	}
	l.start(4, endpoint(1))
	l.eventually(func() bool { return l.inFlight == 4 })
	require.Len(t, l.store.stored(l.tenant), 20, "all are stored before the first is through")
	l.with(func() { require.Empty(t, l.acked) })
	close(release)
	l.eventually(func() bool { return len(l.acked) == 20 })
	l.with(func() {
		require.Equal(t, 4, l.most, "as many at a time as there are workers")
		for id, n := range l.sent {
			require.Equal(t, 1, n)
			require.Equal(t, domain.TransmissionSucceeded, l.records[id].State)
		}
	})
}

func TestResizingChangesHowManyAreSentAtATime(t *testing.T) {
	t.Parallel()
	l := newLane(t, 30)
	release := make(chan struct{})
	l.transmit = func(context.Context, domain.Message) domain.TransmitResult {
		<-release
		return domain.TransmitResult{Status: 200}
	}
	m, tenant := l.start(2, endpoint(1))
	l.eventually(func() bool { return l.inFlight == 2 })
	require.NoError(t, m.Resize(t.Context(), tenant.ID, 7))
	l.eventually(func() bool { return l.inFlight == 7 })
	l.with(func() { require.Len(t, l.subs, 1, "resizing does not subscribe again") })
	close(release)
	l.eventually(func() bool { return len(l.acked) == 30 })
}

// What is delivered and not acknowledged counts against the prefetch, and what
// keeps workers busy has to fit into it.
func TestASlowTransmissionLeavesItsPlacesToOthers(t *testing.T) {
	t.Parallel()
	l := newLane(t, 30)
	first, release := uuid.MustParse(l.queue[0].MessageID), make(chan struct{})
	l.transmit = func(ctx context.Context, m domain.Message) domain.TransmitResult {
		if m.ID == first {
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return domain.TransmitResult{Status: 200}
	}
	l.start(2, endpoint(1))
	l.eventually(func() bool { return len(l.acked) == 29 })
	close(release)
	l.eventually(func() bool { return len(l.acked) == 30 })
}

func TestEnoughIsDeliveredForAllWorkers(t *testing.T) {
	t.Parallel()
	l := newLane(t, 0)
	m, tenant := l.start(2, nil)
	m.shared.prefetch = func() int { return minPrefetch } // as with thousands of tenants
	tenant.Endpoint = endpoint(1)
	require.NoError(t, m.Start(t.Context(), tenant))
	prefetch := func(subs int) (last int) {
		l.eventually(func() bool { last = cap(l.subs[len(l.subs)-1].out); return len(l.subs) == subs })
		return last
	}
	require.Equal(t, endpointPrefetch, prefetch(2))
	for _, workers := range []int{endpointPrefetch, endpointPrefetch + 1} {
		require.NoError(t, m.Resize(t.Context(), tenant.ID, workers))
	}
	require.Equal(t, endpointPrefetch+1, prefetch(3))
}

func TestFailuresGoThroughTheTiersAndThenDie(t *testing.T) {
	t.Parallel()
	l := newLane(t, 1)
	first := l.queue[0]
	for _, attempt := range []int{1, 2, 3, 4, 99} {
		id := uuid.New()
		d := first
		d.MessageID, d.Attempt = id.String(), attempt
		l.queue = append(l.queue, d)
		l.records[id] = domain.Transmission{MessageID: id, State: domain.TransmissionRetrying, Attempts: attempt}
		_, err := l.store.AppendMessages(t.Context(), []domain.Message{{ID: id, TenantID: l.tenant, Payload: d.Body}})
		require.NoError(t, err)
	}
	l.transmit = fail(500)
	l.start(1, endpoint(1))
	l.eventually(func() bool { return len(l.acked) == 6 })
	l.with(func() {
		require.Equal(t, []int{1, 2, 3, 4}, l.retried)
		require.Len(t, l.letters, 2, "the fifth attempt is the last, also for who claims more")
		for _, letter := range l.letters {
			require.Equal(t, domain.ReasonTransmitFailed, letter.Reason)
			require.Equal(t, 5, letter.Attempts)
		}
	})
	require.Len(t, l.store.stored(l.tenant), 6)
}

func TestGonePausesTheEndpoint(t *testing.T) {
	t.Parallel()
	l := newLane(t, 10)
	l.transmit = fail(410)
	l.start(1, endpoint(1))
	l.eventually(func() bool { return len(l.acked) == 10 })
	l.with(func() {
		require.Len(t, l.sent, 1, "nothing is sent after the 410")
		require.NotEmpty(t, l.pausedFor)
		require.Equal(t, domain.ReasonTransmitFailed, l.letters[0].Reason)
		for _, letter := range l.letters[1:] {
			require.Equal(t, domain.ReasonEndpointPaused, letter.Reason)
		}
		require.Len(t, l.letters, 10)
	})
}

// A lost session makes the broker deliver again what was not acknowledged.
// What was recorded as sent is not sent again.
func TestARecordedSuccessIsNotSentAgain(t *testing.T) {
	t.Parallel()
	l := newLane(t, 2)
	slow, fast := l.queue[0].MessageID, l.queue[1].MessageID
	blocked := make(chan struct{})
	l.transmit = func(ctx context.Context, m domain.Message) domain.TransmitResult {
		if m.ID.String() == slow {
			select {
			case <-blocked:
			case <-ctx.Done():
				return domain.TransmitResult{Err: ctx.Err()}
			}
		}
		return domain.TransmitResult{Status: 200}
	}
	l.start(2, endpoint(1))
	// The fast one is behind a gap, so it is recorded and not acknowledged.
	l.eventually(func() bool { return l.records[uuid.MustParse(fast)].State == domain.TransmissionSucceeded })
	close(blocked)
	l.mu.Lock()
	sub := l.subs[0]
	l.mu.Unlock()
	sub.end(errors.New("connection lost"))
	l.eventually(func() bool { return l.acked[fast] > 0 && l.acked[slow] > 0 })
	l.with(func() { require.Equal(t, 1, l.sent[uuid.MustParse(fast)]) })
}

func TestChangingTheEndpointSubscribesAgain(t *testing.T) {
	t.Parallel()
	l := newLane(t, 5)
	l.transmit = succeed
	m, tenant := l.start(2, nil)
	l.eventually(func() bool { return len(l.acked) == 5 })
	l.with(func() {
		require.Empty(t, l.sent, "without an endpoint storing is all")
		require.Equal(t, maxPrefetch, cap(l.subs[0].out))
		l.queue = append(l.queue, domain.Delivery{MessageID: uuid.NewString(), Body: []byte(`1`)})
	})
	tenant.Endpoint = endpoint(3)
	require.NoError(t, m.Start(t.Context(), tenant))
	l.eventually(func() bool { return len(l.acked) == 6 && len(l.sent) == 1 })
	l.with(func() {
		require.Len(t, l.subs, 2)
		require.Equal(t, domain.MaxWorkers, cap(l.subs[1].out))
	})
	again := *tenant.Endpoint
	tenant.Endpoint = &again
	require.NoError(t, m.Start(t.Context(), tenant))
	l.with(func() { require.Len(t, l.subs, 2, "the same endpoint changes nothing") })
}
