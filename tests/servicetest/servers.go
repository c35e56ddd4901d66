package servicetest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/repository"
	"lanekeeper/service/broker"
)

// Servers is a broker and a store of the test's own, and their URLs.
type Servers struct {
	AMQP, Postgres string
	Broker         *broker.Broker
	Store          *repository.Store
}

// New returns servers that are ready, and are left when the test ends.
func New(t *testing.T) *Servers {
	t.Helper()
	s := &Servers{AMQP: devtest.RabbitMQ(t), Postgres: devtest.Postgres(t)}
	s.Store = NewStore(t, repository.Options{URL: s.Postgres})
	s.Broker = broker.New(broker.Options{
		URLs: []string{s.AMQP}, Replica: "test", QueueType: broker.Quorum, DeadLetterQueueType: broker.Quorum,
		PublishChannels: 2, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Broker.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	require.Eventually(t, func() bool { return s.Broker.State() == broker.Ready }, 15*time.Second, 10*time.Millisecond)
	return s
}

// NewStore opens the database at o.URL as the service does, with the schema and
// row-level security, and closes it when the test ends.
func NewStore(t testing.TB, o repository.Options) *repository.Store {
	t.Helper()
	require.NoError(t, repository.Migrate(t.Context(), o.URL))
	roles := config.Default().Database.Roles
	o.Roles = repository.Roles{App: roles.App, Writer: roles.Writer, System: roles.System}
	secured, err := repository.EnsureRowSecurity(t.Context(), repository.RowSecurityOptions{URL: o.URL, Roles: o.Roles})
	require.NoError(t, err)
	require.Empty(t, secured.Problem)
	store, err := repository.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	return store
}

// NewTenant makes an active tenant, with everything it needs.
func (s *Servers) NewTenant(t *testing.T) domain.Tenant {
	t.Helper()
	tenant, err := domain.NewTenant{Name: "Acme"}.Build(uuid.Nil, 3, time.Now())
	require.NoError(t, err)
	tenant.Status = domain.TenantActive
	require.NoError(t, s.Store.InsertTenant(t.Context(), tenant, nil))
	require.NoError(t, s.Store.CreatePartition(t.Context(), tenant.ID))
	require.NoError(t, s.Broker.DeclareQueues(t.Context(), tenant.ID))
	return tenant
}

// DeadLetters returns the tenant's letters that are recorded, replayed ones
// included.
func (s *Servers) DeadLetters(t *testing.T, tenant uuid.UUID) []domain.DeadLetter {
	t.Helper()
	letters, _, err := s.Store.ListDeadLetters(t.Context(), domain.DeadLetterQuery{TenantID: tenant, Limit: 5000, Replayed: true})
	require.NoError(t, err)
	return letters
}

// AwaitEmpty waits until the tenant's dead-letter queue is empty, with nothing
// unacknowledged and without a consumer.
func (s *Servers) AwaitEmpty(t *testing.T, tenant uuid.UUID) {
	t.Helper()
	conn, err := amqp.Dial(s.AMQP)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	ch, err := conn.Channel()
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		q, err := ch.QueueDeclarePassive(broker.DeadLetterQueueName(tenant), true, false, false, false, nil)
		return err == nil && q.Messages == 0 && q.Consumers == 0
	}, 30*time.Second, 20*time.Millisecond)
}
