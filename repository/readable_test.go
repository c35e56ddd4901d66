package repository

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

// Whoever looks at the schema finds what everything in it is. What comes to it says so
// in its migration.
func TestEverythingIsCommented(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenant := d.newTenants(t, 1)[0]
	rows, err := d.connect(t).Query(t.Context(), `
SELECT c.relname || coalesce('.' || a.attname, '')
FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind <> 'v'
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition AND c.relname <> 'goose_db_version'
  AND (obj_description(c.oid, 'pg_class') IS NULL OR a.attname IS NOT NULL AND col_description(c.oid, a.attnum) IS NULL)
ORDER BY 1`)
	require.NoError(t, err)
	bare, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Empty(t, bare, "say what it is with COMMENT ON")
	require.Zero(t, ask[int](t, d, `SELECT count(*) FROM pg_description WHERE objoid = $1::regclass`, partitionOf(tenant).table), "partitions have none of their own")
}

// A row that is inserted by hand says as little as it has to.
func TestRowsByHand(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	conn := d.connect(t)
	var before, id uuid.UUID
	require.NoError(t, conn.QueryRow(t.Context(), `INSERT INTO tenants (name) VALUES ('first') RETURNING id`).Scan(&before))
	for range 100 {
		require.NoError(t, conn.QueryRow(t.Context(), `INSERT INTO tenants (name) VALUES ('by hand') RETURNING id`).Scan(&id))
		require.Equal(t, []any{uuid.Version(7), uuid.RFC4122}, []any{id.Version(), id.Variant()})
		require.GreaterOrEqual(t, id.String()[:13], before.String()[:13], "they sort by time")
		before = id
	}
	require.WithinDuration(t, time.Now(), time.UnixMilli(int64(millisecondsOf(id))), time.Minute)
	found, err := d.store.FindTenant(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, []any{domain.TenantProvisioning, domain.TenantActive, 3, ""}, []any{found.Status, found.Target, found.Workers, found.ExternalID})
	require.NoError(t, conn.QueryRow(t.Context(), `INSERT INTO users (name, email) VALUES ('Ada', 'ada@example.com') RETURNING user_id`).Scan(&id))
	user, err := d.store.FindUser(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, domain.RoleMember, user.Role)
}

// millisecondsOf returns the time of a version 7 UUID.
func millisecondsOf(id uuid.UUID) (n uint64) {
	for _, b := range id[:6] {
		n = n<<8 | uint64(b)
	}
	return n
}

// The views show all tenants, so that nobody reads them who is held to some.
func TestWhoReadsTheViews(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	cluster := newCluster(t)
	stranger := cluster.name()
	cluster.exec(`CREATE ROLE ` + stranger + ` NOLOGIN`)
	conn := d.connect(t)
	may := func(role, view string) bool {
		t.Helper()
		var allowed bool
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT has_table_privilege($1, $2, 'SELECT')`, role, view).Scan(&allowed))
		tx, err := conn.Begin(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
		_, err = tx.Exec(t.Context(), `SET LOCAL ROLE `+postgres.QuoteName(role))
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), `SELECT * FROM `+view)
		require.Equal(t, allowed, err == nil, "%v", err)
		if err != nil {
			require.True(t, postgres.IsForbidden(err), "%v", err)
		}
		return allowed
	}
	check := func() {
		t.Helper()
		for _, view := range readableViews() {
			for role, want := range map[string]bool{d.roles.App: false, d.roles.Writer: false, d.roles.System: true, stranger: false} {
				require.Equal(t, want, may(role, view), "%s, %s", role, view)
			}
		}
	}
	check()
	require.Equal(t, int64(len(readableViews())), ask[int64](t, d, `SELECT count(*) FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace`), "name it in readableViews")

	// What was given by mistake is taken back at the next start.
	_, err := conn.Exec(t.Context(), `GRANT SELECT ON tenant_overview TO PUBLIC, `+d.roles.App+`; GRANT INSERT ON dead_letters_readable TO `+d.roles.System)
	require.NoError(t, err)
	require.True(t, may(stranger, "tenant_overview"), "so that the above can fail")
	lacks, err := EnsureRowSecurity(t.Context(), RowSecurityOptions{URL: d.url, Roles: d.roles, CheckOnly: true})
	require.NoError(t, err)
	require.Contains(t, lacks.SQL, "tenant_overview")
	d.secureRows(t)
	check()
	require.False(t, ask[bool](t, d, `SELECT has_table_privilege($1, 'dead_letters_readable', 'INSERT')`, d.roles.System))
}

func TestViews(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	conn := d.connect(t)
	owner := newID(t)
	_, err := conn.Exec(t.Context(), `INSERT INTO users (user_id, name, email) VALUES ($1, 'Ada', 'ada@example.com')`, owner)
	require.NoError(t, err)
	one := d.newNamed(t, owner, "acme", map[string]string{"plan": "pro"})
	require.NoError(t, d.store.CreatePartition(t.Context(), one.ID))
	_, err = d.store.AppendMessages(t.Context(), []domain.Message{{ID: newID(t), TenantID: one.ID, Payload: []byte(`1`)}})
	require.NoError(t, err)
	gone := d.newNamed(t, owner, "", nil)
	_, err = conn.Exec(t.Context(), `UPDATE tenants SET status = 'deleted' WHERE id = $1`, gone.ID)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `
INSERT INTO dead_letters (tenant_id, letter_id, message_id, body, headers, reason, error, attempts)
VALUES ($1, gen_random_uuid(), 'm', convert_to('größe', 'UTF8'), '{}', 'invalid_payload', '', 1),
       ($1, gen_random_uuid(), 'm', '\xff00', '{}', 'invalid_payload', '', 1), ($1, gen_random_uuid(), 'm', '\x6100', '{}', 'invalid_payload', '', 1)`, one.ID)
	require.NoError(t, err)
	require.Equal(t, "acme|ada@example.com|1|1|3|0|pro", ask[string](t, d, `
SELECT string_agg(concat_ws('|', external_id, owner, messages_stored, messages_kept, dead_letters, endpoints, metadata->>'plan'), ',') FROM tenant_overview`))
	require.Equal(t, `größe,\377\000,a\000`, ask[string](t, d, `SELECT string_agg(body, ',' ORDER BY id) FROM dead_letters_readable WHERE tenant_external_id = 'acme' AND waiting`))
}
