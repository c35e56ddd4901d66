package repository

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

// tenantTablesSQL finds every table whose rows belong to tenants: by the column
// tenant_id, and the two that call it otherwise. Partitions have the policies of
// the whole.
const tenantTablesSQL = `
SELECT c.relname, a.attname
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
  AND (a.attname = 'tenant_id' OR (c.relname, a.attname) IN (('tenants', 'id'), ('idempotency', 'scope')))
ORDER BY 1`

func (d *database) tenantTables(t testing.TB) map[string]string {
	t.Helper()
	rows, err := d.owner.Query(t.Context(), tenantTablesSQL)
	require.NoError(t, err)
	tables := make(map[string]string)
	var table, column string
	_, err = pgx.ForEachRow(rows, []any{&table, &column}, func() error { tables[table] = column; return nil })
	require.NoError(t, err)
	require.Greater(t, len(tables), 15)
	return tables
}

// Whoever adds a table has to say who may use it: securedTables has them all.
func TestEveryTableIsSecured(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	known := make(map[string]securedTable)
	var names []string
	for _, table := range securedTables() {
		known[table.name] = table
		names = append(names, table.name)
	}
	require.ElementsMatch(t, names, ask[[]string](t, d, `
		SELECT array_agg(relname::text) FROM pg_class
		WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace AND relname <> 'goose_db_version'`),
		"securedTables does not name the tables that there are")
	for table, column := range d.tenantTables(t) {
		require.Equal(t, column, known[table].tenant, "%s has a tenant's id: securedTables has to name the column, or there is no policy", table)
	}
	require.ElementsMatch(t, partitionedTables(), ask[[]string](t, d, `
		SELECT array_agg(relname::text) FROM pg_class WHERE relkind = 'p' AND relnamespace = 'public'::regnamespace`))
	require.ElementsMatch(t, securedSequences(), ask[[]string](t, d, `
		SELECT array_agg(relname::text) FROM pg_class
		WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace AND relname NOT LIKE 'goose%'`))
	require.Empty(t, ask[[]string](t, d, `
		SELECT coalesce(array_agg(c.relname::text), '{}') FROM pg_class c
		WHERE c.relname = ANY($1) AND c.relowner IN (SELECT oid FROM pg_roles WHERE rolname = ANY($2))`, names, d.roles.names()), "a role owns a table")
}

// columnValues are values for columns whose type alone does not say which will do.
func columnValues() map[string]string {
	return map[string]string{
		"tenants.status": `'active'`, "tenants.workers": `1`, "endpoints.timeout_ms": `100`, "replays.state": `'done'`, "dead_letter_jobs.action": `'replay'`,
		"attempts.at": `now()`, "amqp_credentials.state": `'ready'`,
	}
}

// insertRow inserts a row of the tenant as the owner, whatever columns there are.
func (d *database) insertRow(t testing.TB, table, tenantColumn string, tenantID uuid.UUID) {
	t.Helper()
	columns, values := d.rowOf(t, table, tenantColumn, tenantID)
	d.exec(t, `INSERT INTO `+table+` (`+columns+`) VALUES (`+values+`)`)
}

// rowOf returns the columns of a row that have no default, and values for them.
func (d *database) rowOf(t testing.TB, table, tenantColumn string, tenantID uuid.UUID) (columns, values string) {
	t.Helper()
	rows, err := d.owner.Query(t.Context(), `
		SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
		WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped AND (a.attname = $2 OR a.attnotnull AND NOT a.atthasdef)`, table, tenantColumn)
	require.NoError(t, err)
	var column, kind string
	var names, texts []string
	_, err = pgx.ForEachRow(rows, []any{&column, &kind}, func() error {
		value, ok := map[string]string{
			"uuid": `gen_random_uuid()`, "text": `gen_random_uuid()::text`, "bytea": `uuid_send(gen_random_uuid())`, "jsonb": `'{}'`, "boolean": `false`,
			"integer": `1`, "bigint": `(random() * 1e15)::bigint`, "timestamp with time zone": `now()`, "date": `now()`, "text[]": `'{}'`,
		}[kind]
		if own, has := columnValues()[table+"."+column]; has {
			value, ok = own, true
		}
		if column == tenantColumn {
			value, ok = `'`+tenantID.String()+`'`, true
		}
		if !ok {
			return fmt.Errorf("no value for %s.%s of type %s", table, column, kind)
		}
		names, texts = append(names, column), append(texts, value)
		return nil
	})
	require.NoError(t, err)
	return strings.Join(names, ", "), strings.Join(texts, ", ")
}

// tenantsWithRows returns two tenants with a row of each in every table.
func (d *database) tenantsWithRows(t testing.TB) (mine, other uuid.UUID) {
	t.Helper()
	tenants := d.newTenants(t, 2)
	_, err := d.store.KeepAttemptDays(t.Context(), 1)
	require.NoError(t, err)
	for table, column := range d.tenantTables(t) {
		for _, id := range tenants {
			d.exec(t, `DELETE FROM `+table+` WHERE `+column+` = $1`, id)
			d.insertRow(t, table, column, id)
		}
	}
	return tenants[0], tenants[1]
}

// as runs a statement in a transaction of its own, as a role and for a tenant, which is
// rolled back. It returns how many rows it was about.
func (d *database) as(t testing.TB, role string, setting *string, sql string) (int64, error) {
	t.Helper()
	conn := d.connect(t)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	_, err := conn.Exec(t.Context(), `SET ROLE `+role)
	require.NoError(t, err)
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	if setting != nil {
		_, err = tx.Exec(t.Context(), `SELECT set_config('lanekeeper.tenants', $1, true)`, *setting)
		require.NoError(t, err)
	}
	tag, err := tx.Exec(t.Context(), sql)
	return tag.RowsAffected(), err
}

// requireNothing requires that a statement is refused or about no row.
func requireNothing(t testing.TB, n int64, err error, what string) {
	t.Helper()
	if err != nil {
		require.True(t, postgres.IsForbidden(err), "%s: %v", what, err)
		return
	}
	require.Zero(t, n, what)
}

// Without the setting, and with another tenant's, no role but that of the system reads
// or changes anything of a tenant; the writer reads nothing but the ends of histories.
func TestRolesSeeNothingOfOthers(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	mine, other := d.tenantsWithRows(t)
	rights := make(map[string]securedTable)
	for _, table := range securedTables() {
		rights[table.name] = table
	}
	list := func(ids ...uuid.UUID) *string { return new(scopeOf(ids...).tenants) }
	for table, column := range d.tenantTables(t) {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			// The statements are meant for mine. A row that would become another's is
			// refused, too.
			of := ` WHERE ` + column + ` = '` + mine.String() + `'`
			columns, values := d.rowOf(t, table, column, mine)
			statements := map[string]string{
				"read":   `SELECT FROM ` + table + of,
				"lock":   `SELECT FROM ` + table + of + ` FOR UPDATE`,
				"update": `UPDATE ` + table + ` SET ` + column + ` = ` + column + of,
				"give":   `UPDATE ` + table + ` SET ` + column + ` = '` + mine.String() + `' WHERE ` + column + ` = '` + other.String() + `'`,
				"delete": `DELETE FROM ` + table + of,
				"insert": `INSERT INTO ` + table + ` (` + columns + `) VALUES (` + values + `)`,
				"empty":  `TRUNCATE ` + table,
			}
			for name, setting := range map[string]*string{
				"without the setting": nil, "after a transaction with it": new(""), "with nobody": list(), "with another": list(other), "with some others": list(other, uuid.New()),
			} {
				for what, sql := range statements {
					n, err := d.as(t, d.roles.App, setting, sql)
					requireNothing(t, n, err, fmt.Sprintf("%s %s %s", d.roles.App, what, name))
				}
				n, err := d.as(t, d.roles.App, setting, `SELECT FROM `+table)
				if err == nil && setting != nil && strings.Contains(*setting, other.String()) {
					require.EqualValues(t, 1, n, "its own")
				} else {
					requireNothing(t, n, err, name)
				}
			}
			// So that the above can fail: who names the tenant sees its row.
			n, err := d.as(t, d.roles.App, list(mine), statements["read"])
			reads := strings.Contains(rights[table].app, "SELECT")
			require.True(t, !reads && postgres.IsForbidden(err) || err == nil && n == 1, "%d, %v", n, err)
			n, err = d.as(t, d.roles.App, list(mine, other), `SELECT FROM `+table)
			require.True(t, !reads || err == nil && n == 2, "%d, %v", n, err)
			if rights[table].app == "INSERT" {
				n, err = d.as(t, d.roles.App, list(mine), statements["insert"])
				require.NoError(t, err)
				require.EqualValues(t, 1, n)
			}

			for what, sql := range statements {
				for _, setting := range []*string{nil, list(mine)} {
					n, err := d.as(t, d.roles.Writer, setting, sql)
					may := table == "tenant_streams" && slices.Contains([]string{"read", "lock", "update"}, what) || table == "messages" && what == "insert"
					if may {
						require.NoError(t, err, what)
						require.EqualValues(t, 1, n, what)
						continue
					}
					if table == "tenant_streams" && what == "give" {
						continue // it may change the row, and does not
					}
					requireNothing(t, n, err, d.roles.Writer+" "+what)
				}
			}

			n, err = d.as(t, d.roles.System, nil, `SELECT FROM `+table)
			require.NoError(t, err)
			require.EqualValues(t, 2, n, "the system sees all")
			_, err = d.as(t, d.roles.System, nil, statements["empty"])
			require.True(t, postgres.IsForbidden(err), "%v", err)
		})
	}
}

// A partition has no policies, so nobody may use it but by the table that has.
func TestPartitionsAreNotReachedAroundTheirTable(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	before := d.store
	// Partitions of the version before, in a database where everybody is given rights to
	// whatever is made.
	d.exec(t, `ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC`)
	d.exec(t, `ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO `+quoteNames(d.roles.names()))
	d.store = d.open(t, Options{AwaitRoles: true})
	d.store.ActAs(Roles{})
	old := d.newTenants(t, 1)[0]
	n, err := d.store.KeepAttemptDays(t.Context(), 1)
	require.NoError(t, err)
	require.Zero(t, n)
	oldDay := ask[string](t, d, `SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'attempts'::regclass`)
	_, err = d.as(t, d.roles.App, nil, `SELECT FROM `+partitionName(old))
	require.NoError(t, err, "it can be reached, so that the following can fail")
	_, err = d.as(t, d.roles.App, nil, `SELECT FROM `+oldDay)
	require.NoError(t, err)
	_, err = EnsureRowSecurity(t.Context(), RowSecurityOptions{URL: d.url, Roles: d.roles, CheckOnly: true})
	require.NoError(t, err)

	d.secureRows(t)
	d.store = before
	fresh := d.newTenants(t, 1)[0]
	d.makeDay(t, 20)
	tables := ask[[]string](t, d, `
		SELECT array_agg(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent IN ('messages'::regclass, 'attempts'::regclass)`)
	require.Subset(t, tables, []string{partitionName(old), partitionName(fresh), oldDay})
	require.Greater(t, len(tables), 6)
	all := scopeOf(old, fresh).tenants
	for _, table := range tables {
		for _, role := range d.roles.names() {
			for _, sql := range []string{
				`SELECT FROM ` + table, `DELETE FROM ` + table, `UPDATE ` + table + ` SET tenant_id = tenant_id`, `TRUNCATE ` + table,
				`INSERT INTO ` + table + ` SELECT * FROM ` + table,
			} {
				_, err := d.as(t, role, &all, sql)
				require.True(t, postgres.IsForbidden(err), "%s: %s: %v", role, sql, err)
			}
		}
	}
}

// What an access sees is over with it, and the connection goes back as it was.
func TestScopesEndWithTheirAccess(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	store := d.open(t, Options{MaxConns: 1, StreamConns: 1, DeliveryConns: 1})
	id := d.newTenants(t, 1)[0]
	now := func(on session) string {
		var text string
		require.NoError(t, on.QueryRow(t.Context(), `
			SELECT current_user || ' ' || coalesce(nullif(current_setting('lanekeeper.tenants', true), ''), '-')
				|| (SELECT ' ' || count(*) FROM tenant_streams)`).Scan(&text))
		return text
	}
	nobody := d.roles.App + " - 0"
	require.Equal(t, nobody, now(store.general))
	require.Equal(t, d.roles.App+" {"+id.String()+"} 1", now(store.ofTenants(store.general, id)))
	require.Equal(t, nobody, now(store.general))
	require.Equal(t, d.roles.System+" - 1", now(store.asSystem(store.general)))
	require.Equal(t, nobody, now(store.general))
	require.Equal(t, d.roles.System+" - 1", now(store.callers))
	require.Equal(t, d.roles.App+" {"+id.String()+"} 1", now(store.lookUp(store.callers, id)))
	require.Equal(t, d.roles.System+" - 1", now(store.callers))
	require.NoError(t, store.sharedTransaction(t.Context(), id, func(tx pgx.Tx) error {
		require.Equal(t, d.roles.App+" {"+id.String()+"} 1", now(tx))
		return nil
	}))
	require.Equal(t, nobody, now(store.general))
	require.Equal(t, d.roles.Writer+" - 1", now(store.writers))
	require.Equal(t, d.roles.System+" - 1", now(store.settlers))
	require.Equal(t, d.roles.System+" - 1", now(store.fleet))
	require.Equal(t, nobody, now(store.streams))
	require.Equal(t, nobody, now(store.deliveries))

	// Also after an error, in the middle of rows, and after a batch with a transaction.
	_, err := store.ofTenants(store.general, id).Exec(t.Context(), `SELECT 1 / 0`)
	require.Equal(t, postgres.ClassData, postgres.Classify(err))
	require.ErrorIs(t, store.ofTenants(store.general, id).QueryRow(t.Context(), `SELECT 1 WHERE false`).Scan(new(int)), pgx.ErrNoRows)
	rows, err := store.ofTenants(store.general, id).Query(t.Context(), `SELECT generate_series(1, 100)`)
	require.NoError(t, err)
	require.True(t, rows.Next())
	rows.Close()
	require.NoError(t, rows.Err())
	_, err = store.ofTenants(store.general, id).Query(t.Context(), `SELECT nonsense`)
	require.Error(t, err)
	rows, err = store.ofTenants(store.general, id).Query(t.Context(), `SELECT 1 / (2 - n) FROM generate_series(1, 2) AS n`)
	require.NoError(t, err)
	_, err = pgx.CollectRows(rows, pgx.RowTo[int])
	require.Equal(t, postgres.ClassData, postgres.Classify(err), "%v", err)
	var in string
	var batch pgx.Batch
	batch.Queue(beginSQL)
	batch.Queue(`SELECT current_setting('lanekeeper.tenants') || (SELECT count(*) FROM tenant_streams)`).QueryRow(func(row pgx.Row) error { return row.Scan(&in) })
	batch.Queue(commitSQL)
	require.NoError(t, store.ofTenants(store.general, id).SendBatch(t.Context(), &batch).Close())
	require.Equal(t, "{"+id.String()+"}1", in)
	require.Equal(t, nobody, now(store.general))
}

// Connections wait until it is known as whom the service acts, and calls no longer than
// they may.
func TestNothingIsReadBeforeTheRolesAreKnown(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newTenants(t, 1)[0]
	store := d.open(t, Options{AwaitRoles: true})
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := store.StreamBounds(short, id)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, err = store.CountTenants(short)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, err = store.CountTenants(t.Context())
	require.ErrorIs(t, err, domain.ErrUnavailable, "also a call without a limit")

	counted := make(chan error, 2)
	go func() {
		_, err := store.CountTenants(t.Context())
		counted <- err
	}()
	go func() {
		_, err := store.FindTenant(t.Context(), id)
		counted <- err
	}()
	store.ActAs(d.roles)
	for range 2 {
		if err := <-counted; err != nil {
			require.ErrorIs(t, err, domain.ErrNotFound)
		}
	}
	_, err = store.StreamBounds(t.Context(), id)
	require.NoError(t, err)
}

// What is hidden is not taken for gone: neither streams, nor messages that are stored.
func TestWhatIsHiddenIsNotGone(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id, gone := d.newTenants(t, 1)[0], newID(t)
	stored := messagesFor(t, []uuid.UUID{id}, 2)
	appended, err := d.store.AppendMessages(t.Context(), append(stored, message(t, gone, `1`)))
	require.NoError(t, err)
	require.Equal(t, []domain.AppendOutcome{domain.AppendStored, domain.AppendStored, domain.AppendNoTenant}, outcomesOf(appended))

	again := append(slices.Clone(stored), messagesFor(t, []uuid.UUID{id}, 1)...)
	for name, tt := range map[string]struct{ role, table string }{
		"from the writer": {d.roles.Writer, "tenant_streams"}, "from who looks for what is stored": {d.roles.App, "tenant_streams"},
	} {
		policy := postgres.QuoteName(tt.role + " v1")
		d.exec(t, `DROP POLICY `+policy+` ON `+tt.table)
		_, err = d.store.AppendMessages(t.Context(), again)
		require.ErrorIs(t, err, domain.ErrUnavailable, name)
		require.NotErrorIs(t, err, domain.ErrRejected, name)
		d.secureRows(t)
	}
	appended, err = d.store.AppendMessages(t.Context(), again)
	require.NoError(t, err)
	require.Equal(t, []domain.AppendOutcome{domain.AppendDuplicate, domain.AppendDuplicate, domain.AppendStored}, outcomesOf(appended))
}
