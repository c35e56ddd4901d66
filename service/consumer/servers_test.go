package consumer

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/repository"
	"lanekeeper/service/broker"
)

// servers is a broker and a store of the test's own.
type servers struct {
	amqp, postgres string
	broker         *broker.Broker
	store          *repository.Store
}

func newServers(t *testing.T) *servers {
	t.Helper()
	l := &servers{amqp: devtest.RabbitMQ(t), postgres: devtest.Postgres(t)}
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
func (l *servers) tenant(t *testing.T) domain.Tenant {
	t.Helper()
	tenant, err := domain.NewTenant{Name: "Acme"}.Build(uuid.Nil, 3, time.Now())
	require.NoError(t, err)
	tenant.Status = domain.TenantActive
	require.NoError(t, l.store.InsertTenant(t.Context(), tenant))
	require.NoError(t, l.store.CreatePartition(t.Context(), tenant.ID))
	require.NoError(t, l.broker.DeclareQueues(t.Context(), tenant.ID))
	return tenant
}

// recorded returns the tenant's letters.
func (l *servers) recorded(t *testing.T, tenant uuid.UUID) []domain.DeadLetter {
	t.Helper()
	letters, _, err := l.store.ListDeadLetters(t.Context(), domain.DeadLetterQuery{TenantID: tenant, Limit: 5000, Replayed: true})
	require.NoError(t, err)
	return letters
}

// awaitEmpty waits until the dead-letter queue is empty, with nothing
// unacknowledged and without a consumer.
func (l *servers) awaitEmpty(t *testing.T, tenant uuid.UUID) {
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

type noMetrics struct{}

func (noMetrics) AddMessages(uuid.UUID, string, int)      {}
func (noMetrics) ObserveEndToEnd(float64)                 {}
func (noMetrics) AddTransmissions(uuid.UUID, string, int) {}
