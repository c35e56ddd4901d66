package deadletter

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
	"lanekeeper/repository"
	"lanekeeper/service/broker"
	"lanekeeper/tests/servicetest"
)

// servers are what a collector works with.
type servers struct{ *servicetest.Servers }

func newServers(t *testing.T) *servers {
	t.Helper()
	return &servers{servicetest.New(t)}
}

// collector returns one that polls queues often.
func (l *servers) collector(store Store) *Collector {
	return NewCollector(CollectorOptions{
		Queues: l.Broker, Store: store, Log: slog.New(slog.DiscardHandler), Replica: "test", PollEvery: 50 * time.Millisecond,
	})
}

// still is that nothing is taken from the main queue.
func still() int64 { return 0 }

func (l *servers) publish(t *testing.T, tenant uuid.UUID, n int) []domain.DeadLetter {
	t.Helper()
	letters := make([]domain.DeadLetter, n)
	for i := range letters {
		letters[i] = domain.DeadLetter{
			ID: uuid.New(), TenantID: tenant, MessageID: fmt.Sprint(i), Body: fmt.Appendf(nil, "not json \xff %d", i),
			Reason: domain.ReasonInvalidPayload, Error: "it is not JSON", Attempts: 1, Headers: map[string]any{},
		}
		require.NoError(t, l.Broker.DeadLetter(t.Context(), letters[i]))
	}
	return letters
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
	l := newServers(t)
	tenant, quiet := l.NewTenant(t).ID, l.NewTenant(t).ID
	letters := l.publish(t, tenant, 50)
	require.NoError(t, l.Broker.DeadLetter(t.Context(), letters[7]), "the confirm was lost, so it was published again")
	c := l.collector(l.Store)
	for _, id := range []uuid.UUID{tenant, quiet} {
		collection := c.Collect(t.Context(), id, still)
		defer collection.Stop()
	}
	l.AwaitEmpty(t, tenant)
	l.AwaitEmpty(t, quiet)
	requireLetters(t, letters, l.DeadLetters(t, tenant))

	more := l.publish(t, tenant, 1)
	require.Eventually(t, func() bool { return len(l.DeadLetters(t, tenant)) == len(letters)+1 }, 10*time.Second, 10*time.Millisecond)
	requireLetters(t, append(letters, more...), l.DeadLetters(t, tenant))
	require.Empty(t, l.DeadLetters(t, quiet))
}

// flakyStore fails after it has recorded, as a lost reply to COMMIT does, or
// before.
type flakyStore struct {
	Store
	calls atomic.Int32
}

func (s *flakyStore) RecordDeadLetters(ctx context.Context, letters []domain.DeadLetter) error {
	away := domain.New(domain.ErrUnavailable, "database_unavailable", "It is away.")
	switch s.calls.Add(1) {
	case 1:
		return away
	case 2:
		if err := s.Store.RecordDeadLetters(ctx, letters); err != nil {
			return err
		}
		return away
	}
	return s.Store.RecordDeadLetters(ctx, letters)
}

func TestLettersDeliveredAgainAreRecordedOnce(t *testing.T) {
	t.Parallel()
	l := newServers(t)
	tenant := l.NewTenant(t).ID
	letters := l.publish(t, tenant, 40)
	collection := l.collector(&flakyStore{Store: l.Store}).Collect(t.Context(), tenant, still)
	defer collection.Stop()
	collection.Notify()
	require.Eventually(t, func() bool { return len(l.DeadLetters(t, tenant)) == len(letters) }, 30*time.Second, 20*time.Millisecond)
	l.AwaitEmpty(t, tenant)
	requireLetters(t, letters, l.DeadLetters(t, tenant))
}

// Backends are killed and connections dropped while letters are collected:
// none is lost, none is there twice.
func TestLettersSurviveOutages(t *testing.T) {
	t.Parallel()
	l := newServers(t)
	tenant := l.NewTenant(t).ID
	letters := l.publish(t, tenant, 400)
	admin, err := pgx.Connect(t.Context(), l.Postgres)
	require.NoError(t, err)
	defer func() { require.NoError(t, admin.Close(context.WithoutCancel(t.Context()))) }()
	collection := l.collector(l.Store).Collect(t.Context(), tenant, still)
	defer collection.Stop()
	const kill = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%dead_letters%'`
	killed, n := 0, 0
	require.Eventually(t, func() bool {
		require.NoError(t, admin.QueryRow(t.Context(), kill).Scan(&n))
		killed += n
		require.NoError(t, admin.QueryRow(t.Context(), `SELECT count(*) FROM dead_letters`).Scan(&n))
		return killed >= 5 || n == len(letters)
	}, 60*time.Second, time.Millisecond)
	require.Positive(t, killed)
	l.AwaitEmpty(t, tenant)
	// The pool may still have connections that it does not know to be killed.
	fresh, err := repository.Open(t.Context(), repository.Options{URL: l.Postgres})
	require.NoError(t, err)
	defer fresh.Close()
	requireLetters(t, letters, (&servicetest.Servers{Store: fresh}).DeadLetters(t, tenant))
}

// fussyStore refuses letters for what is in them.
type fussyStore struct{ Store }

func (s fussyStore) RecordDeadLetters(ctx context.Context, letters []domain.DeadLetter) error {
	for _, letter := range letters {
		if strings.HasSuffix(string(letter.Body), " 3") {
			return errors.New("cannot be stored")
		}
	}
	return s.Store.RecordDeadLetters(ctx, letters)
}

// A letter that the store refuses keeps no other from being recorded, and
// stays in its queue.
func TestRefusedLetterStaysInItsQueue(t *testing.T) {
	t.Parallel()
	l := newServers(t)
	tenant := l.NewTenant(t).ID
	letters := l.publish(t, tenant, 30)
	collection := l.collector(fussyStore{l.Store}).Collect(t.Context(), tenant, still)
	collection.Notify()
	require.Eventually(t, func() bool { return len(l.DeadLetters(t, tenant)) == len(letters)-1 }, 10*time.Second, 10*time.Millisecond)
	collection.Stop()
	require.Eventually(t, func() bool {
		depth, err := l.Broker.DeadLetterDepth(t.Context(), tenant)
		return err == nil && depth == 1
	}, 10*time.Second, 10*time.Millisecond)

	collection = l.collector(l.Store).Collect(t.Context(), tenant, still)
	defer collection.Stop()
	l.AwaitEmpty(t, tenant)
	requireLetters(t, letters, l.DeadLetters(t, tenant))
}

// Messages that only came back too often are no dead letters, but tried again.
func TestExhaustedMessagesAreTriedAgain(t *testing.T) {
	t.Parallel()
	l := newServers(t)
	tenant := uuid.New()
	conn, err := amqp.Dial(l.AMQP)
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
	require.NoError(t, l.Broker.DeclareQueues(t.Context(), tenant))
	message := amqp.Publishing{
		MessageId: "order-1", Body: []byte(`{"n":1}`), DeliveryMode: amqp.Persistent,
		Headers: amqp.Table{"x-reason": "invalid_payload", "x-dead-letter-id": uuid.NewString(), "x-attempt": int64(3)},
	}
	require.NoError(t, ch.PublishWithContext(t.Context(), "", broker.QueueName(tenant), false, false, message))
	for range 2 {
		sub, err := l.Broker.Subscribe(t.Context(), tenant, "test", 1)
		require.NoError(t, err)
		<-domain.Deliveries(sub, 1)
		require.NoError(t, sub.Close())
	}
	require.Eventually(t, func() bool {
		depth, err := l.Broker.DeadLetterDepth(t.Context(), tenant)
		return err == nil && depth == 1
	}, 10*time.Second, 10*time.Millisecond)

	collection := l.collector(l.Store).Collect(t.Context(), tenant, still)
	defer collection.Stop()
	l.AwaitEmpty(t, tenant)
	sub, err := l.Broker.Subscribe(t.Context(), tenant, "test", 1)
	require.NoError(t, err)
	d := <-domain.Deliveries(sub, 1)
	require.Equal(t, "order-1", d.MessageID)
	require.Equal(t, message.Body, d.Body)
	require.EqualValues(t, 3, d.Headers["x-attempt"])
	require.NoError(t, sub.Ack(d.Tag, false))
	require.NoError(t, sub.Close())
	require.Empty(t, l.DeadLetters(t, tenant))
}

// While the broker has no such queue, that is reported.
func TestMissingDeadLetterQueueIsReported(t *testing.T) {
	t.Parallel()
	l := newServers(t)
	missing := make(chan uuid.UUID, 100)
	c := l.collector(l.Store)
	c.options.QueueMissing = func(id uuid.UUID) {
		select {
		case missing <- id:
		default:
		}
	}
	tenant := uuid.New()
	collection := c.Collect(t.Context(), tenant, still)
	require.Equal(t, tenant, <-missing)
	for len(missing) > 0 {
		<-missing
	}
	collection.Notify()
	require.Equal(t, tenant, <-missing)
	collection.Stop()
	collection.Stop()
	collection.Notify()
}

// Where nothing is taken from the main queue, letters are looked for less often.
func TestQuietTenantsAreAskedLessOften(t *testing.T) {
	t.Parallel()
	taken := int64(5)
	l := &collection{
		collector: NewCollector(CollectorOptions{PollEvery: time.Second}), taken: func() int64 { return taken },
	}
	for i, want := range []time.Duration{2, 2, 4, 8, 8} {
		require.Equal(t, want*time.Second, l.interval(), "look %d", i+1)
	}
	taken++
	require.Equal(t, 2*time.Second, l.interval())
}

// A collection that has nothing to do has no goroutine, and is woken by a word.
func TestIdleCollectionsHaveNoGoroutine(t *testing.T) {
	t.Parallel()
	l := newServers(t)
	tenant := l.NewTenant(t).ID
	collection, ok := NewCollector(CollectorOptions{
		Queues: l.Broker, Store: l.Store, Log: slog.New(slog.DiscardHandler), Replica: "test", PollEvery: time.Hour,
	}).Collect(t.Context(), tenant, still).(*collection)
	require.True(t, ok)
	defer collection.Stop()
	asleep := func() bool {
		collection.mu.Lock()
		defer collection.mu.Unlock()
		return !collection.atWork
	}
	require.True(t, asleep())
	for n := range 3 {
		l.publish(t, tenant, 1)
		collection.Notify()
		require.Eventually(t, func() bool { return len(l.DeadLetters(t, tenant)) == n+1 }, 10*time.Second, 10*time.Millisecond)
		require.Eventually(t, asleep, 10*time.Second, 10*time.Millisecond)
	}
	collection.Stop()
	collection.Notify()
	require.True(t, asleep())
}
