package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/repository"
	"lanekeeper/service/broker"
)

// lanes is a broker and a store of the test's own.
type lanes struct {
	amqp, postgres string
	broker         *broker.Broker
	store          *repository.Store
}

func newLanes(t *testing.T) *lanes {
	t.Helper()
	l := &lanes{amqp: devtest.RabbitMQ(t), postgres: devtest.Postgres(t)}
	require.NoError(t, repository.Migrate(t.Context(), l.postgres))
	var err error
	l.store, err = repository.Open(t.Context(), repository.Options{URL: l.postgres})
	require.NoError(t, err)
	t.Cleanup(l.store.Close)
	l.broker = broker.New(broker.Options{
		URLs: []string{l.amqp}, Replica: "test", QueueType: broker.Quorum, DeadLetterQueueType: broker.Quorum,
		PublishChannels: 2, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); l.broker.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	require.Eventually(t, func() bool { return l.broker.State() == broker.Ready }, 15*time.Second, 10*time.Millisecond)
	return l
}

// tenant makes one, with everything it needs.
func (l *lanes) tenant(t *testing.T) domain.Tenant {
	t.Helper()
	tenant, err := domain.NewTenant{Name: "Acme"}.Build(uuid.Nil, 3, time.Now())
	require.NoError(t, err)
	tenant.Status = domain.TenantActive
	require.NoError(t, l.store.InsertTenant(t.Context(), tenant))
	require.NoError(t, l.store.CreatePartition(t.Context(), tenant.ID))
	require.NoError(t, l.broker.DeclareQueues(t.Context(), tenant.ID))
	return tenant
}

// collector returns one that looks at queues often.
func (l *lanes) collector(store DeadLetterStore) *Collector {
	c := NewCollector(CollectorOptions{Queues: l.broker, Store: store, Log: slog.New(slog.DiscardHandler), Replica: "test"})
	c.every = 50 * time.Millisecond
	return c
}

func (l *lanes) bury(t *testing.T, tenant uuid.UUID, n int) []domain.DeadLetter {
	t.Helper()
	letters := make([]domain.DeadLetter, n)
	for i := range letters {
		letters[i] = domain.DeadLetter{
			ID: uuid.New(), TenantID: tenant, MessageID: fmt.Sprint(i), Body: fmt.Appendf(nil, "not json \xff %d", i),
			Reason: domain.ReasonInvalidPayload, Error: "it is not JSON", Attempts: 1, Headers: map[string]any{},
		}
		require.NoError(t, l.broker.Bury(t.Context(), letters[i]))
	}
	return letters
}

// recorded returns the tenant's letters.
func (l *lanes) recorded(t *testing.T, tenant uuid.UUID) []domain.DeadLetter {
	t.Helper()
	letters, _, err := l.store.ListDeadLetters(t.Context(), domain.DeadLetterQuery{TenantID: tenant, Limit: 5000, Replayed: true})
	require.NoError(t, err)
	return letters
}

// awaitEmpty waits until the dead-letter queue is empty, with nothing
// unacknowledged and nobody who consumes it.
func (l *lanes) awaitEmpty(t *testing.T, tenant uuid.UUID) {
	t.Helper()
	conn, err := amqp.Dial(l.amqp)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	ch, err := conn.Channel()
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		q, err := ch.QueueDeclarePassive(broker.DeadLetterQueueName(tenant), true, false, false, false, nil)
		return err == nil && q.Messages == 0 && q.Consumers == 0
	}, 30*time.Second, 20*time.Millisecond)
}

func requireLetters(t *testing.T, want, got []domain.DeadLetter) {
	t.Helper()
	require.Len(t, got, len(want))
	found := make(map[uuid.UUID]domain.DeadLetter, len(got))
	for _, l := range got {
		l.Seq, l.CreatedAt = 0, time.Time{}
		found[l.ID] = l
	}
	for _, l := range want {
		require.Equal(t, l, found[l.ID])
	}
}

func TestLettersAreCollected(t *testing.T) {
	t.Parallel()
	l := newLanes(t)
	tenant, quiet := l.tenant(t).ID, l.tenant(t).ID
	letters := l.bury(t, tenant, 50)
	require.NoError(t, l.broker.Bury(t.Context(), letters[7]), "the confirm was lost, so it was buried again")
	c := l.collector(l.store)
	for _, id := range []uuid.UUID{tenant, quiet} {
		collection := c.start(t.Context(), id)
		defer collection.stop()
	}
	l.awaitEmpty(t, tenant)
	l.awaitEmpty(t, quiet)
	requireLetters(t, letters, l.recorded(t, tenant))

	more := l.bury(t, tenant, 1)
	require.Eventually(t, func() bool { return len(l.recorded(t, tenant)) == len(letters)+1 }, 10*time.Second, 10*time.Millisecond)
	requireLetters(t, append(letters, more...), l.recorded(t, tenant))
	require.Empty(t, l.recorded(t, quiet))
}

// flakyStore fails after it has recorded, as a lost reply to COMMIT does, or
// before.
type flakyStore struct {
	DeadLetterStore
	calls atomic.Int32
}

func (s *flakyStore) RecordDeadLetters(ctx context.Context, letters []domain.DeadLetter) error {
	away := domain.New(domain.ErrUnavailable, "database_unavailable", "It is away.")
	switch s.calls.Add(1) {
	case 1:
		return away
	case 2:
		if err := s.DeadLetterStore.RecordDeadLetters(ctx, letters); err != nil {
			return err
		}
		return away
	}
	return s.DeadLetterStore.RecordDeadLetters(ctx, letters)
}

func TestLettersDeliveredAgainAreRecordedOnce(t *testing.T) {
	t.Parallel()
	l := newLanes(t)
	tenant := l.tenant(t).ID
	letters := l.bury(t, tenant, 40)
	collection := l.collector(&flakyStore{DeadLetterStore: l.store}).start(t.Context(), tenant)
	defer collection.stop()
	collection.kick()
	require.Eventually(t, func() bool { return len(l.recorded(t, tenant)) == len(letters) }, 30*time.Second, 20*time.Millisecond)
	l.awaitEmpty(t, tenant)
	requireLetters(t, letters, l.recorded(t, tenant))
}

// Backends are killed and connections dropped while letters are collected:
// none is lost, none is there twice.
func TestLettersSurviveOutages(t *testing.T) {
	t.Parallel()
	l := newLanes(t)
	tenant := l.tenant(t).ID
	letters := l.bury(t, tenant, 400)
	admin, err := pgx.Connect(t.Context(), l.postgres)
	require.NoError(t, err)
	defer func() { require.NoError(t, admin.Close(context.WithoutCancel(t.Context()))) }()
	collection := l.collector(l.store).start(t.Context(), tenant)
	defer collection.stop()
	const kill = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%dead_letters%'`
	killed, n := 0, 0
	require.Eventually(t, func() bool {
		require.NoError(t, admin.QueryRow(t.Context(), kill).Scan(&n))
		killed += n
		require.NoError(t, admin.QueryRow(t.Context(), `SELECT count(*) FROM dead_letters`).Scan(&n))
		return killed >= 5 || n == len(letters)
	}, 60*time.Second, time.Millisecond)
	require.Positive(t, killed)
	l.awaitEmpty(t, tenant)
	requireLetters(t, letters, l.recorded(t, tenant))
}

// fussyStore refuses letters for what is in them.
type fussyStore struct{ DeadLetterStore }

func (s fussyStore) RecordDeadLetters(ctx context.Context, letters []domain.DeadLetter) error {
	for _, letter := range letters {
		if strings.HasSuffix(string(letter.Body), " 3") {
			return errors.New("cannot be stored")
		}
	}
	return s.DeadLetterStore.RecordDeadLetters(ctx, letters)
}

// A letter that the store refuses keeps no other from being recorded, and
// stays in its queue.
func TestRefusedLetterStaysInItsQueue(t *testing.T) {
	t.Parallel()
	l := newLanes(t)
	tenant := l.tenant(t).ID
	letters := l.bury(t, tenant, 30)
	collection := l.collector(fussyStore{l.store}).start(t.Context(), tenant)
	collection.kick()
	require.Eventually(t, func() bool { return len(l.recorded(t, tenant)) == len(letters)-1 }, 10*time.Second, 10*time.Millisecond)
	collection.stop()
	require.Eventually(t, func() bool {
		depth, err := l.broker.DeadLetterDepth(t.Context(), tenant)
		return err == nil && depth == 1
	}, 10*time.Second, 10*time.Millisecond)

	collection = l.collector(l.store).start(t.Context(), tenant)
	defer collection.stop()
	l.awaitEmpty(t, tenant)
	requireLetters(t, letters, l.recorded(t, tenant))
}

// Messages that only came back too often are not buried, but tried again.
func TestExhaustedMessagesAreTriedAgain(t *testing.T) {
	t.Parallel()
	l := newLanes(t)
	tenant := uuid.New()
	conn, err := amqp.Dial(l.amqp)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	ch, err := conn.Channel()
	require.NoError(t, err)
	// The same queue with a lower limit.
	_, err = ch.QueueDeclare(broker.QueueName(tenant), true, false, false, false, amqp.Table{
		"x-queue-type": "quorum", "x-delivery-limit": 1,
		"x-dead-letter-exchange": broker.DeadExchange, "x-dead-letter-routing-key": broker.DeadLetterQueueName(tenant),
	})
	require.NoError(t, err)
	require.NoError(t, l.broker.DeclareQueues(t.Context(), tenant))
	message := amqp.Publishing{
		MessageId: "order-1", Body: []byte(`{"n":1}`), DeliveryMode: amqp.Persistent,
		Headers: amqp.Table{"x-reason": "invalid_payload", "x-dead-letter-id": uuid.NewString(), "x-attempt": int64(3)},
	}
	require.NoError(t, ch.PublishWithContext(t.Context(), "", broker.QueueName(tenant), false, false, message))
	for range 2 {
		sub, err := l.broker.Subscribe(t.Context(), tenant, "test", 1)
		require.NoError(t, err)
		<-sub.Deliveries()
		require.NoError(t, sub.Close())
	}
	require.Eventually(t, func() bool {
		depth, err := l.broker.DeadLetterDepth(t.Context(), tenant)
		return err == nil && depth == 1
	}, 10*time.Second, 10*time.Millisecond)

	collection := l.collector(l.store).start(t.Context(), tenant)
	defer collection.stop()
	l.awaitEmpty(t, tenant)
	sub, err := l.broker.Subscribe(t.Context(), tenant, "test", 1)
	require.NoError(t, err)
	d := <-sub.Deliveries()
	require.Equal(t, "order-1", d.MessageID)
	require.Equal(t, message.Body, d.Body)
	require.Equal(t, 3, d.Attempt)
	require.NoError(t, sub.Ack(d.Tag, false))
	require.NoError(t, sub.Close())
	require.Empty(t, l.recorded(t, tenant))
}

// While the broker has no such queue, whoever can repair it is told.
func TestMissingDeadLetterQueueIsReported(t *testing.T) {
	t.Parallel()
	l := newLanes(t)
	missing := make(chan uuid.UUID, 100)
	c := l.collector(l.store)
	c.options.QueueMissing = func(id uuid.UUID) {
		select {
		case missing <- id:
		default:
		}
	}
	tenant := uuid.New()
	collection := c.start(t.Context(), tenant)
	require.Equal(t, tenant, <-missing)
	for len(missing) > 0 {
		<-missing
	}
	collection.kick()
	require.Equal(t, tenant, <-missing)
	collection.stop()
	collection.stop()
	collection.kick()
}

// What a consumer buries is collected at once, not when the queue is looked at.
func TestBuriedMessagesAreCollectedAtOnce(t *testing.T) {
	t.Parallel()
	l := newLanes(t)
	tenant := l.tenant(t)
	c := l.collector(l.store)
	c.every = 24 * time.Hour
	m := NewTenantManager(Options{
		Subscriber: l.broker, Publisher: l.broker, Queues: l.broker, Collector: c,
		Writer:  startWriter(t, WriterOptions{Repository: l.store}),
		Metrics: noMetrics{}, Log: slog.New(slog.DiscardHandler), Replica: "test",
	})
	require.NoError(t, m.Start(t.Context(), tenant))
	for _, err := range l.broker.Publish(t.Context(), tenant.ID, []domain.Outgoing{
		{ID: uuid.New(), Body: []byte("not json \xff")},
		{ID: uuid.New(), Body: []byte(`{"n":1}`)},
		{MessageID: "order-1", Body: []byte(`"\u0000"`)},
	}) {
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return len(l.recorded(t, tenant.ID)) == 2 }, 10*time.Second, 10*time.Millisecond)
	l.awaitEmpty(t, tenant.ID)
	letters := make(map[string]string)
	for _, letter := range l.recorded(t, tenant.ID) {
		letters[string(letter.Body)] = letter.MessageID
	}
	// Two workers may each bury one, so which of them is recorded first is not promised.
	require.Len(t, letters, 2)
	require.Contains(t, letters, "not json \xff")
	require.Equal(t, "order-1", letters[`"\u0000"`])
	require.NoError(t, m.Close(context.Background()))
}

type noMetrics struct{}

func (noMetrics) AddMessages(uuid.UUID, string, int)      {}
func (noMetrics) ObserveEndToEnd(float64)                 {}
func (noMetrics) AddTransmissions(uuid.UUID, string, int) {}

func TestWithoutACollectorNothingIsCollected(t *testing.T) {
	t.Parallel()
	var none *Collector
	collection := none.start(t.Context(), uuid.New())
	collection.kick()
	collection.stop()
}
