package repository

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/pkg/postgres"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should happen at once.
const patience = 15 * time.Second

// database is a migrated database of the test's own.
type database struct {
	url   string
	store *Store
	// roles are those of the database.
	roles Roles
	// owner passes by the policies. What it plans is planned as in the general pool.
	owner *pgxpool.Pool
}

func newDatabase(t testing.TB) *database {
	t.Helper()
	d := &database{url: devtest.Postgres(t)}
	require.NoError(t, Migrate(t.Context(), d.url))
	d.secureRows(t)
	d.store = d.open(t, Options{})
	var err error
	d.owner, err = postgres.NewPool(t.Context(), d.url, postgres.PoolOptions{
		Name: "owner", MaxConns: 4, StatementTimeout: queryTimeout, LockTimeout: queryLockTimeout, Plans: postgres.CustomPlans, PreferIndexes: true,
	})
	require.NoError(t, err)
	t.Cleanup(d.owner.Close)
	return d
}

// secureRows makes the roles and policies that there are in every database.
func (d *database) secureRows(t testing.TB) {
	t.Helper()
	d.roles = testRoles()
	secured, err := EnsureRowSecurity(t.Context(), RowSecurityOptions{URL: d.url, Roles: d.roles})
	require.NoError(t, err)
	require.Equal(t, RowSecurity{Roles: d.roles}, secured)
}

// testRoles are those of all databases of the tests, which are in one cluster.
func testRoles() Roles {
	return Roles{App: "lanekeeper_app", Writer: "lanekeeper_writer", System: "lanekeeper_system"}
}

// allTenants returns those with a stream.
func (d *database) allTenants(t testing.TB) []uuid.UUID {
	t.Helper()
	return ask[[]uuid.UUID](t, d, `SELECT array_agg(tenant_id) FROM tenant_streams`)
}

// app returns what the service has for the named tenants.
func (d *database) app(tenantIDs ...uuid.UUID) session {
	return d.store.ofTenants(d.store.general, tenantIDs...)
}

// open returns another store, as a second replica would have.
func (d *database) open(t testing.TB, o Options) *Store {
	t.Helper()
	if o.URL == "" {
		o.URL = d.url
	}
	if o.Roles == (Roles{}) && !o.AwaitRoles {
		o.Roles = d.roles
	}
	s, err := Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// connect returns a connection that has nothing to do with a store.
func (d *database) connect(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// withParams returns the database's URL with more settings.
func (d *database) withParams(t testing.TB, pairs ...string) string {
	t.Helper()
	u, err := url.Parse(d.url)
	require.NoError(t, err)
	values := u.Query()
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	u.RawQuery = values.Encode()
	return u.String()
}

// newTenants makes n partitions and returns their tenants.
func (d *database) newTenants(t testing.TB, n int) []uuid.UUID {
	t.Helper()
	ids := make([]uuid.UUID, n)
	for i := range ids {
		ids[i] = newID(t)
		require.NoError(t, d.store.CreatePartition(t.Context(), ids[i]))
	}
	return ids
}

// history reads all of a tenant's messages.
func (d *database) history(t testing.TB, tenantID uuid.UUID) []domain.Message {
	t.Helper()
	var all []domain.Message
	q := domain.HistoryQuery{TenantID: tenantID, HasCursor: true, Limit: 500}
	for {
		page, err := d.store.History(t.Context(), q)
		require.NoError(t, err)
		all = append(all, page.Messages...)
		if !page.More {
			return all
		}
		q.Cursor = all[len(all)-1].Seq
	}
}

// holdSelect begins a transaction that has read all of messages and stays
// open, the way a forgotten psql does. With a snapshot it is a REPEATABLE READ
// one. The returned function ends it.
func (d *database) holdSelect(t testing.TB, snapshot bool) (release func()) {
	t.Helper()
	conn := d.connect(t)
	level := pgx.ReadCommitted
	if snapshot {
		level = pgx.RepeatableRead
	}
	tx, err := conn.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level})
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT count(*) FROM messages`)
	require.NoError(t, err)
	return func() { require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context()))) }
}

func newID(t testing.TB) uuid.UUID {
	t.Helper()
	id, err := uuid.NewV7()
	require.NoError(t, err)
	return id
}

func message(t testing.TB, tenantID uuid.UUID, payload string) domain.Message {
	t.Helper()
	return domain.Message{ID: newID(t), TenantID: tenantID, Payload: []byte(payload)}
}

// messagesFor returns n fresh messages that go round the tenants.
func messagesFor(t testing.TB, tenants []uuid.UUID, n int) []domain.Message {
	t.Helper()
	all := make([]domain.Message, n)
	for i := range all {
		all[i] = message(t, tenants[i%len(tenants)], fmt.Sprintf(`{"n": %d}`, i))
	}
	return all
}

// requireDense fails unless seq is 1, 2, 3, ... and no id occurs twice.
func requireDense(t testing.TB, history []domain.Message) {
	t.Helper()
	seen := make(map[uuid.UUID]bool, len(history))
	for i, m := range history {
		require.EqualValues(t, i+1, m.Seq)
		require.False(t, seen[m.ID], "message %s occurs twice", m.ID)
		seen[m.ID] = true
	}
}

// outcomesOf returns the outcomes of an append.
func outcomesOf(appended []domain.AppendResult) []domain.AppendOutcome {
	var outcomes []domain.AppendOutcome
	for _, r := range appended {
		outcomes = append(outcomes, r.Outcome)
	}
	return outcomes
}

// requireAppended requires the results of an append to say of every message that
// was stored what its row says, and nothing of the others.
func (d *database) requireAppended(t require.TestingT, batch []domain.Message, appended []domain.AppendResult) {
	require.Len(t, appended, len(batch))
	for i, m := range batch {
		if appended[i].Outcome != domain.AppendStored {
			require.Equal(t, domain.AppendResult{Outcome: appended[i].Outcome}, appended[i])
			continue
		}
		found, _, err := d.store.FindMessage(context.Background(), m.TenantID, m.ID, maxPageBytes)
		require.NoError(t, err)
		require.Equal(t, domain.AppendResult{Outcome: domain.AppendStored, Seq: found.Seq, CreatedAt: found.CreatedAt}, appended[i])
	}
}

// appendPatiently tries again while others hold the streams, as the writer
// does, until ctx ends.
func appendPatiently(ctx context.Context, s *Store, batch []domain.Message) ([]domain.AppendResult, error) {
	for {
		appended, err := s.AppendMessages(ctx, batch)
		if !errors.Is(err, domain.ErrContended) || ctx.Err() != nil {
			return appended, err
		}
	}
}
