package repository

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

// No statement may touch partitions of tenants it is not about: with thousands
// of them, a lock for each would be ruinous. The statements run often enough
// for the server to prefer a generic plan if it were allowed to.
func TestStatementsLockOnlyTheirPartitions(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants := d.newTenants(t, 40)
	mine := tenants[10:12]
	known := messagesFor(t, mine, 6)
	_, err := d.store.AppendMessages(t.Context(), known)
	require.NoError(t, err)

	for name, run := range map[string]func(tx pgx.Tx) error{
		"insert": func(tx pgx.Tx) error {
			rows, err := newAppendRows(messagesFor(t, mine, 4), make([]domain.AppendResult, 4))
			require.NoError(t, err)
			var batch pgx.Batch
			batch.Queue(lockStreamsSQL, rows.tenants)
			rows.queueInsert(&batch)
			return tx.SendBatch(t.Context(), &batch).Close()
		},
		"find stored": func(tx pgx.Tx) error {
			outcomes := make([]domain.AppendResult, len(known))
			rows, err := newAppendRows(known, outcomes)
			require.NoError(t, err)
			err = rows.findStored(t.Context(), tx, d.roles, known, outcomes)
			require.NotContains(t, outcomesOf(outcomes), domain.AppendOutcome(0))
			return err
		},
		"history": func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), historyAscendingSQL, mine[0], 0, 10, maxPageBytes)
			return err
		},
		"history, descending": func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), historyDescendingSQL, mine[0], 100, 10, maxPageBytes)
			return err
		},
		"find message": func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), findMessageSQL, mine[0], known[0].ID, maxPageBytes)
			return err
		},
		"start stream": func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), startStreamSQL, mine[0])
			return err
		},
	} {
		pool, within := d.store.general, scopeOf(mine...)
		switch name {
		case "insert", "find stored":
			pool, within = d.store.writers, scope{}
		case "start stream":
			pool, within = d.owner, scope{}
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := pool.Acquire(t.Context())
			require.NoError(t, err)
			defer conn.Release()
			for range 12 {
				requireLocksOnly(t, conn, within, run, mine)
			}
		})
	}
}

func requireLocksOnly(t *testing.T, conn *pgxpool.Conn, within scope, run func(pgx.Tx) error, tenants []uuid.UUID) {
	t.Helper()
	tx, err := conn.BeginTx(t.Context(), pgx.TxOptions{BeginQuery: within.begin()})
	require.NoError(t, err)
	require.NoError(t, run(tx))
	rows, err := tx.Query(t.Context(), `SELECT DISTINCT c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
		WHERE l.pid = pg_backend_pid() AND c.relkind = 'r' AND c.relname LIKE 'messages\_%'`)
	require.NoError(t, err)
	locked, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.NotEmpty(t, locked)
	for _, table := range locked {
		require.Contains(t, []string{partitionName(tenants[0]), partitionName(tenants[1])}, table)
	}
	require.NoError(t, tx.Rollback(t.Context()))
}

// The planner knows nothing of a new partition, then something, and something
// else when that has become old. It must never read a partition by anything
// but the index that is meant for the purpose.
func TestStatementsUseTheirIndex(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants := d.newTenants(t, 12)
	grow := func(n int) {
		for range n {
			_, err := d.store.AppendMessages(t.Context(), messagesFor(t, tenants[:2], 500))
			require.NoError(t, err)
		}
	}
	known := messagesFor(t, tenants, 500)
	rows, err := newAppendRows(known, make([]domain.AppendResult, len(known)))
	require.NoError(t, err)
	check := func(stage string) {
		for name, tt := range map[string]struct {
			index string
			sql   string
			args  []any
		}{
			"history":             {"_seq_tenant_id_key", historyAscendingSQL, []any{tenants[0], 100, 51, maxPageBytes}},
			"history, descending": {"_seq_tenant_id_key", historyDescendingSQL, []any{tenants[0], 100, 51, maxPageBytes}},
			"find message":        {"_pkey", findMessageSQL, []any{tenants[0], known[0].ID, maxPageBytes}},
			"start stream":        {"_seq_tenant_id_key", startStreamSQL, []any{tenants[0]}},
			"find first":          {"_seq_tenant_id_key", findFirstSQL, []any{tenants[0], 1, int64(100)}},
			"find expired":        {"_seq_tenant_id_key", findExpiredSQL, []any{tenants[0]}},
			"delete expired":      {"_seq_tenant_id_key", deleteExpiredSQL, []any{tenants[0], 1, 100}},
			"find stored": {"_pkey", findStoredSQL, []any{
				postgres.UUIDs(rows.tenantIDs), postgres.UUIDs(rows.ids), rows.payloads, postgres.UUIDs(rows.tenants),
				rows.types, rows.orderingKeys, rows.headers,
			}},
		} {
			on := d.app(tenants...)
			if name == "start stream" {
				on = d.owner
			}
			lines, err := on.Query(t.Context(), `EXPLAIN `+tt.sql, tt.args...)
			require.NoError(t, err, name)
			plan, err := pgx.CollectRows(lines, pgx.RowTo[string])
			require.NoError(t, err, name)
			scans := 0
			for _, line := range plan {
				require.NotContains(t, line, "Sort", "%s, %s", name, stage)
				if strings.Contains(line, "Delete on ") {
					continue // how the rows are found is said below
				}
				// For an empty partition either index will do.
				if strings.Contains(line, " on "+partitionName(tenants[0])) || strings.Contains(line, " on "+partitionName(tenants[1])) {
					scans++
					require.Contains(t, line, "Index ", "%s, %s", name, stage)
					require.Contains(t, line, tt.index+" on ", "%s, %s", name, stage)
				}
			}
			require.Positive(t, scans, "%s, %s", name, stage)
		}
	}
	check("empty")
	grow(1)
	check("small, never analyzed")
	grow(10)
	check("larger, never analyzed")
	_, err = d.owner.Exec(t.Context(), `ANALYZE messages`)
	require.NoError(t, err)
	check("analyzed")
	grow(10)
	check("grown since")
}
