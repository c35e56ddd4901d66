package repository

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
)

// watch listens for changes until the test ends or stop is called, and
// returns once it hears them.
func watch(t *testing.T, s *Store) (changes <-chan domain.Change, stop func()) {
	t.Helper()
	heard := make(chan domain.Change, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.WatchChanges(ctx, func(c domain.Change) { heard <- c }) })
	stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(stop)
	requireChanges(t, heard, domain.Change{Kind: domain.AnythingChanged})
	return heard, stop
}

// requireChanges waits until these changes and no others were heard, in any
// order.
func requireChanges(t testing.TB, heard <-chan domain.Change, want ...domain.Change) {
	t.Helper()
	var got []domain.Change
	for len(got) < len(want) {
		select {
		case c := <-heard:
			got = append(got, c)
		case <-time.After(patience):
			require.FailNow(t, "a change was not heard", "%v of %v", got, want)
		}
	}
	require.ElementsMatch(t, want, got)
}

// Whoever changes rows, by whatever statement, tells of it.
func TestChangesAreHeard(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	heard, _ := watch(t, d.store)
	conn := d.connect(t)
	marker := newID(t)
	_, err := conn.Exec(t.Context(), insertTenant(marker))
	require.NoError(t, err)
	requireChanges(t, heard, domain.Change{Kind: domain.TenantChanged, ID: marker})

	one, two := newID(t), newID(t)
	tenant := func(id uuid.UUID) domain.Change { return domain.Change{Kind: domain.TenantChanged, ID: id} }
	user := func(id uuid.UUID) domain.Change { return domain.Change{Kind: domain.UserChanged, ID: id} }
	many := domain.Change{Kind: domain.TenantsChanged}
	anything := domain.Change{Kind: domain.AnythingChanged}
	replicas := domain.Change{Kind: domain.ReplicasChanged}
	q := func(id uuid.UUID) string { return "'" + id.String() + "'" }
	const fifty = `(SELECT gen_random_uuid() AS id FROM generate_series(1, 50)) x`
	for _, tt := range []struct {
		sql  string
		want []domain.Change
	}{
		{insertTenant(one), []domain.Change{tenant(one)}},
		{insertTenant(two) + ` ON CONFLICT DO NOTHING`, []domain.Change{tenant(two)}},
		{insertTenant(two) + ` ON CONFLICT DO NOTHING`, nil},
		{`UPDATE tenants SET workers = 7 WHERE id = ` + q(one), []domain.Change{tenant(one)}},
		{`UPDATE tenants SET workers = 7 WHERE false`, nil},
		{`UPDATE tenants SET paused = true WHERE id IN (SELECT id FROM tenants WHERE id IN (` + q(one) + `,` + q(two) + `) ORDER BY id)`, []domain.Change{tenant(one), tenant(two)}},

		{`INSERT INTO endpoints (tenant_id, id, url, timeout_ms, secret) VALUES (` + q(one) + `, ` + q(two) + `, 'u', 100, 's')`, []domain.Change{tenant(one)}},
		{
			`INSERT INTO endpoints (tenant_id, id, url, timeout_ms, secret) VALUES (` + q(one) + `, ` + q(two) + `, 'u', 100, 's') ON CONFLICT (tenant_id, id) DO UPDATE SET url = 'v'`,
			[]domain.Change{tenant(one)},
		},
		{`UPDATE endpoints SET status_reason = 'gone'`, []domain.Change{tenant(one)}},
		{`DELETE FROM endpoints WHERE tenant_id = ` + q(two), nil},
		{`DELETE FROM endpoints`, []domain.Change{tenant(one)}},

		{`INSERT INTO users (user_id, name, email) VALUES (` + q(one) + `, 'n', 'e')`, []domain.Change{user(one)}},
		{`UPDATE users SET password = 'x'`, []domain.Change{user(one)}},
		{`DELETE FROM users`, []domain.Change{user(one)}},
		{`INSERT INTO users (name, email) SELECT 'n', id FROM (SELECT id::text FROM generate_series(1, 51) AS id) x`, []domain.Change{anything}},
		{`TRUNCATE users`, []domain.Change{anything}},

		{`INSERT INTO replicas (name, address, generation) VALUES ('a', 'a', 1), ('b', 'b', 1)`, []domain.Change{replicas}},
		{`INSERT INTO replicas (name, address, generation) VALUES ('a', 'a', 1) ON CONFLICT (name) DO UPDATE SET seen_at = now()`, nil},
		{`UPDATE replicas SET seen_at = now()`, nil},
		{`DELETE FROM replicas WHERE name = 'none'`, nil},
		{`DELETE FROM replicas WHERE name = 'a'`, []domain.Change{replicas}},
		{`TRUNCATE replicas`, []domain.Change{replicas}},

		// Messages and what belongs to them must never notify.
		{`INSERT INTO tenant_streams (tenant_id) VALUES (` + q(one) + `)`, nil},
		{`UPDATE tenant_streams SET last_seq = 1`, nil},
		{`INSERT INTO transmissions (tenant_id, message_id, state, attempts) VALUES (` + q(one) + `, ` + q(one) + `, 'failed', 1)`, nil},
		{`INSERT INTO endpoint_cursors (tenant_id, endpoint_id, settled_seq, version) VALUES (` + q(one) + `, ` + q(two) + `, 0, 1)`, nil},
		{`UPDATE endpoint_cursors SET settled_seq = 1`, nil},
		{`INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id) VALUES (` + q(one) + `, ` + q(two) + `, 1, ` + q(one) + `)`, nil},
		{`INSERT INTO deliverers (name) VALUES ('a')`, nil},
		{`INSERT INTO delivery_claims (tenant_id, owner, epoch) VALUES (` + q(one) + `, 'a', 1)`, nil},
		{`INSERT INTO consumer_reports (tenant_id, replica, state, workers, busy, depth, tag, last_error) VALUES (` + q(one) + `, 'a', 's', 1, 1, 1, 't', '')`, nil},

		{`SELECT pg_notify('lanekeeper_changes', 'deliveries:' || ` + q(one) + `)`, []domain.Change{{Kind: domain.DeliveriesChanged, ID: one}}},
		{`NOTIFY lanekeeper_changes, 'deliveries'`, nil},
		{`NOTIFY lanekeeper_changes, 'tenant:'`, nil},
		{`NOTIFY lanekeeper_changes, 'tenant:00000000-0000-0000-0000-000000000000'`, nil},
		{`NOTIFY lanekeeper_changes, 'anything:else'`, nil},
		{`NOTIFY lanekeeper_changes, 'nonsense'`, nil},
		{`NOTIFY lanekeeper_changes`, nil},
		{`NOTIFY other, 'tenants'`, nil},

		{`DELETE FROM tenants WHERE id = ` + q(one), []domain.Change{tenant(one)}},
		{`INSERT INTO tenants (id, name, status, workers) SELECT id, '', 'active', 1 FROM ` + fifty + ` UNION ALL SELECT gen_random_uuid(), '', 'active', 1`, []domain.Change{many}},
		{`UPDATE tenants SET workers = 2`, []domain.Change{many}},
		{`INSERT INTO endpoints (tenant_id, url, timeout_ms, secret) SELECT id, 'u', 100, 's' FROM tenants`, []domain.Change{many}},
		{`TRUNCATE endpoints`, []domain.Change{many}},
		{`DELETE FROM tenants WHERE id <> ` + q(marker), []domain.Change{many}},
		{`TRUNCATE tenants`, []domain.Change{many}},
	} {
		_, err := conn.Exec(t.Context(), tt.sql)
		require.NoError(t, err, tt.sql)
		requireChanges(t, heard, tt.want...)
		_, err = conn.Exec(t.Context(), `SELECT pg_notify('lanekeeper_changes', 'tenant:' || $1::text)`, marker)
		require.NoError(t, err)
		select {
		case got := <-heard:
			require.Equal(t, tenant(marker), got, "after %s", tt.sql)
		case <-time.After(patience):
			require.FailNow(t, "nothing is heard any more", "after %s", tt.sql)
		}
	}
}

func insertTenant(id uuid.UUID) string {
	return `INSERT INTO tenants (id, name, status, workers) VALUES ('` + id.String() + `', 'n', 'active', 1)`
}

// Fifty are named one by one.
func TestManyChangesAtOnce(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	heard, _ := watch(t, d.store)
	_, err := d.connect(t).Exec(t.Context(), `INSERT INTO tenants (id, name, status, workers) SELECT gen_random_uuid(), '', 'active', 1 FROM generate_series(1, 50)`)
	require.NoError(t, err)
	seen := make(map[uuid.UUID]bool)
	for range 50 {
		select {
		case c := <-heard:
			require.Equal(t, domain.TenantChanged, c.Kind)
			seen[c.ID] = true
		case <-time.After(patience):
			require.FailNow(t, "too few changes")
		}
	}
	require.Len(t, seen, 50)
}

// What the service itself changes is heard by every replica once, and not
// when it is rolled back.
func TestChangesOfTheService(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other, _ := watch(t, d.open(t, Options{}))
	own, _ := watch(t, d.store)
	id := newID(t)
	require.NoError(t, d.store.InsertTenant(t.Context(), domain.Tenant{ID: id, Status: domain.TenantActive, Target: domain.TenantActive, Workers: 1}, nil))
	_, err := d.store.ChangeTenant(t.Context(), id, func(*domain.Tenant) error { return domain.New(domain.ErrConflict, "no", "no") })
	require.Error(t, err)
	_, err = d.store.ChangeTenant(t.Context(), id, func(c *domain.Tenant) error { c.Workers = 9; return nil })
	require.NoError(t, err)
	for range 5 {
		_, err = d.store.Heartbeat(t.Context(), replica("a"), ttl)
		require.NoError(t, err)
	}
	require.NoError(t, d.store.RemoveReplica(t.Context(), "a"))
	require.NoError(t, d.store.RemoveReplica(t.Context(), "a"))
	_, err = d.store.SetAllStopped(t.Context(), true)
	require.NoError(t, err)
	tenant, replicas := domain.Change{Kind: domain.TenantChanged, ID: id}, domain.Change{Kind: domain.ReplicasChanged}
	for _, heard := range []<-chan domain.Change{own, other} {
		requireChanges(t, heard, tenant, tenant, replicas, replicas, tenant)
	}
}

// Whatever happens to the connection, it is made again, and everybody is told
// to look at everything.
func TestTheListenerReconnects(t *testing.T) {
	t.Parallel()
	server := devtest.PrivatePostgres(t)
	d := &database{url: server.URL()}
	require.NoError(t, Migrate(t.Context(), d.url))
	d.store = d.open(t, Options{})
	heard, _ := watch(t, d.store)
	anything := domain.Change{Kind: domain.AnythingChanged}
	works := func() {
		t.Helper()
		id := newID(t)
		_, err := d.connect(t).Exec(t.Context(), insertTenant(id))
		require.NoError(t, err)
		requireChanges(t, heard, domain.Change{Kind: domain.TenantChanged, ID: id})
	}
	works()

	tag, err := d.connect(t).Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lanekeeper-listen'`)
	require.NoError(t, err)
	require.EqualValues(t, 1, tag.RowsAffected())
	requireChanges(t, heard, anything)
	works()

	server.Kill()
	server.Start()
	requireChanges(t, heard, anything)
	works()

	server.Stop()
	server.Start()
	requireChanges(t, heard, anything)
	works()
}

// A frozen server closes nothing. That it is not there any more is noticed
// all the same.
func TestTheListenerNoticesAFrozenServer(t *testing.T) {
	t.Parallel()
	server := devtest.PrivatePostgres(t)
	require.NoError(t, Migrate(t.Context(), server.URL()))
	d := &database{url: server.URL()}
	d.store = d.open(t, Options{})
	heard, _ := watch(t, d.store)
	server.Pause()
	select {
	case c := <-heard:
		require.FailNow(t, "a frozen server says nothing", "%v", c)
	case <-time.After(listenQuiet + listenAnswer + 2*time.Second):
	}
	server.Resume()
	requireChanges(t, heard, domain.Change{Kind: domain.AnythingChanged})
}

// Nobody has to wait for a frozen server at the end, although the driver takes
// 15 s to close a connection to it.
func TestTheListenerEndsWithAFrozenServer(t *testing.T) {
	t.Parallel()
	server := devtest.PrivatePostgres(t)
	config, err := pgx.ParseConfig(server.URL())
	require.NoError(t, err)
	dials := make(chan struct{}, 100)
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		dials <- struct{}{}
		return dial(ctx, network, address)
	}
	listening := make(chan domain.Change, 10)
	l := &listener{config: config, handle: func(c domain.Change) { listening <- c }, quiet: 50 * time.Millisecond, answer: 5 * time.Second}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { l.run(ctx) })
	requireChanges(t, listening, domain.Change{Kind: domain.AnythingChanged})
	server.Pause()
	for range 3 { // to listen, to close the connection, and to listen again
		select {
		case <-dials:
		case <-time.After(patience):
			require.FailNow(t, "the frozen server is not noticed")
		}
	}
	begin := time.Now()
	cancel()
	wg.Wait()
	require.Less(t, time.Since(begin), 8*time.Second)
	server.Resume()
}

// An answer to a ping keeps the connection.
func TestTheListenerKeepsAQuietConnection(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	heard := make(chan domain.Change, 10)
	config := d.store.locks.Config().ConnConfig
	config.RuntimeParams["application_name"] = "quiet"
	l := &listener{config: config, handle: func(c domain.Change) { heard <- c }, quiet: 10 * time.Millisecond, answer: patience}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { l.run(ctx) })
	requireChanges(t, heard, domain.Change{Kind: domain.AnythingChanged})
	conn := d.connect(t)
	require.Eventually(t, func() bool {
		var pings bool
		err := conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'quiet' AND query = '-- ping')`).Scan(&pings)
		return err == nil && pings
	}, patience, 5*time.Millisecond)
	id := newID(t)
	_, err := conn.Exec(t.Context(), insertTenant(id))
	require.NoError(t, err)
	requireChanges(t, heard, domain.Change{Kind: domain.TenantChanged, ID: id})
	cancel()
	wg.Wait()
	require.Empty(t, heard)
}

// Behind a pooler nobody can listen.
func TestTheListenerUsesTheAdminURL(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.open(t, Options{URL: "postgres://127.0.0.1:1/none", AdminURL: d.url})
	_, stop := watch(t, s)
	stop()
	require.Eventually(t, func() bool { // the server notices a moment later
		return d.count(t, `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lanekeeper-listen' AND datname = current_database()`) == 0
	}, 10*time.Second, 10*time.Millisecond)
}

// Detaching a partition waits for everybody who holds a snapshot.
func TestTheListenerHoldsNoSnapshot(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	watch(t, d.store)
	require.Equal(t, 1, d.count(t, `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lanekeeper-listen' AND datname = current_database() AND backend_xmin IS NULL AND backend_xid IS NULL AND state = 'idle'`))
	for _, id := range d.newTenants(t, 3) {
		begin := time.Now()
		require.NoError(t, d.store.ErasePartition(t.Context(), id))
		require.Less(t, time.Since(begin), defaultEraseWait)
	}
}

// A commit that notifies waits for all others that do. What every message
// touches must not.
func TestBusyTablesHaveNoTriggers(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.newTenants(t, 1) // with a partition, which could have some of its own
	triggers := func(condition string) string {
		rows, err := d.connect(t).Query(t.Context(), `SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger JOIN pg_proc p ON p.oid = tgfoid
			WHERE NOT tgisinternal AND `+condition+` ORDER BY 1`)
		require.NoError(t, err)
		tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return strings.Join(tables, " ")
	}
	// A use of an API key, once a minute, makes its trigger do nothing: TestUsesOfAPIKeys.
	require.Equal(t, "api_keys endpoints replicas tenants users", triggers(`p.prosrc ILIKE '%notify%'`))
	require.Equal(t, "api_keys dead_letters endpoints replicas tenants users", triggers("true"))
}

// BenchmarkChangeTenant is to be compared with triggers and without.
func BenchmarkChangeTenant(b *testing.B) {
	for _, triggers := range []string{"ENABLE", "DISABLE"} {
		b.Run("triggers="+triggers, func(b *testing.B) {
			d := newDatabase(b)
			_, err := d.owner.Exec(b.Context(), `ALTER TABLE tenants `+triggers+` TRIGGER USER`)
			require.NoError(b, err)
			id := newID(b)
			require.NoError(b, d.store.InsertTenant(b.Context(), domain.Tenant{ID: id, Status: domain.TenantActive, Target: domain.TenantActive, Workers: 1}, nil))
			for b.Loop() {
				_, err := d.store.ChangeTenant(b.Context(), id, func(t *domain.Tenant) error { t.Workers = t.Workers%100 + 1; return nil })
				require.NoError(b, err)
			}
		})
	}
}
