package consumer

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/service/deadletter"
	"lanekeeper/tests/servicetest"
)

// What a consumer dead-letters is collected at once, not when the queue is polled.
func TestDeadLettersAreCollectedAtOnce(t *testing.T) {
	t.Parallel()
	l := servicetest.New(t)
	tenant := l.NewTenant(t)
	c := deadletter.NewCollector(deadletter.CollectorOptions{
		Queues: l.Broker, Store: l.Store, Log: slog.New(slog.DiscardHandler), Replica: "test", PollEvery: 24 * time.Hour,
	})
	m := NewTenantManager(Options{
		Subscriber: l.Broker, Publisher: l.Broker, Queues: l.Broker, Collector: c,
		Writer:  startWriter(t, l.Store),
		Metrics: noMetrics{}, Log: slog.New(slog.DiscardHandler), Replica: "test",
	})
	require.NoError(t, m.Start(t.Context(), tenant))
	for _, err := range l.Broker.Publish(t.Context(), tenant.ID, []domain.Outgoing{
		{ID: uuid.New(), Body: []byte("not json \xff")},
		{ID: uuid.New(), Body: []byte(`{"n":1}`)},
		{MessageID: "order-1", Body: []byte(`"\u0000"`)},
	}) {
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return len(l.DeadLetters(t, tenant.ID)) == 2 }, 10*time.Second, 10*time.Millisecond)
	l.AwaitEmpty(t, tenant.ID)
	letters := make(map[string]string)
	for _, letter := range l.DeadLetters(t, tenant.ID) {
		letters[string(letter.Body)] = letter.MessageID
	}
	// Two workers may each publish one, so which of them is recorded first is not promised.
	require.Len(t, letters, 2)
	require.Contains(t, letters, "not json \xff")
	require.Equal(t, "order-1", letters[`"\u0000"`])
	require.NoError(t, m.Close(context.Background()))
}

func TestWithoutACollectorNothingIsCollected(t *testing.T) {
	t.Parallel()
	m := NewTenantManager(Options{})
	defer func() { require.NoError(t, m.Close(context.Background())) }()
	collection := m.shared.Collector.Collect(t.Context(), uuid.New(), nil)
	collection.Notify()
	collection.Stop()
}
