package repository

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// The plans of a settlement are made once and look rows up by their keys, however
// large the tables are or were when that was, with statistics and without.
func TestPlansOfSettlements(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.newEndpoints(t, 1, 1)[0]
	check := func(stage string) {
		conn, err := d.store.settlers.Acquire(t.Context())
		require.NoError(t, err)
		defer conn.Release()
		for name, tt := range map[string]struct {
			sql   string
			args  int
			scans []string // all index scans
			conds []string // some of their conditions
		}{
			"lock":     {lockCursorsSQL, 2, []string{"endpoint_cursors_pkey"}, []string{"(tenant_id = s.tenant_id) AND (endpoint_id = s.endpoint_id)"}},
			"attempts": {insertAttemptsSQL, 15, []string{"endpoint_cursors_pkey"}, []string{"(tenant_id = u.tenant_id) AND (endpoint_id = u.endpoint_id)"}},
			"move":     {moveCursorsSQL, 10, []string{"endpoint_cursors_pkey", "delivery_claims_pkey", "endpoint_cursors_pkey"}, nil},
			"done":     {deleteDoneSQL, 4, []string{"endpoint_cursors_pkey", "deliveries_pkey"}, []string{"(tenant_id = s.tenant_id) AND (endpoint_id = s.endpoint_id) AND (seq = o.seq)", "Tid Scan"}},
			"update":   {updateOpenSQL, 13, []string{"endpoint_cursors_pkey", "deliveries_pkey"}, []string{"(tenant_id = r.tenant_id) AND (endpoint_id = r.endpoint_id) AND (seq = r.seq)"}},
			"add":      {addOpenSQL, 13, []string{"endpoint_cursors_pkey"}, nil},
			"keys": {
				startNextSQL, 4,
				[]string{"endpoint_cursors_pkey", "deliveries_ordering_key_idx"},
				[]string{"(tenant_id = s.tenant_id) AND (endpoint_id = s.endpoint_id) AND (ordering_key = k.ordering_key)", "Tid Scan"},
			},
			"letters": {insertLettersSQL, 13, []string{"endpoint_cursors_pkey", "tenants_pkey"}, nil},
			"replays": {moveReplaysSQL, 7, []string{"endpoint_cursors_pkey", "replays_pkey"}, nil},
			"disable": {disableSQL, 4, []string{"endpoint_cursors_pkey", "endpoints_pkey"}, nil},
		} {
			_, err := conn.Exec(t.Context(), `PREPARE plan AS `+tt.sql)
			require.NoError(t, err, name)
			rows, err := conn.Query(t.Context(), fmt.Sprintf(`EXPLAIN EXECUTE plan(%s)`, strings.Repeat("NULL, ", tt.args-1)+"NULL"))
			require.NoError(t, err, name)
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err, name)
			plan := strings.Join(lines, "\n")
			var scans []string
			for _, line := range lines {
				require.NotContains(t, line, "Seq Scan", "%s, %s: %s", name, stage, plan)
				if _, scan, ok := strings.Cut(line, "Scan using "); ok {
					scans = append(scans, strings.Fields(scan)[0])
				}
			}
			require.Equal(t, tt.scans, scans, "%s, %s: %s", name, stage, plan)
			require.Equal(t, len(scans), strings.Count(plan, "Index Cond: "), "%s, %s: %s", name, stage, plan)
			for _, cond := range tt.conds {
				require.Contains(t, plan, cond, "%s, %s: %s", name, stage, plan)
			}
			_, err = conn.Exec(t.Context(), `DEALLOCATE plan`)
			require.NoError(t, err)
		}
	}
	check("empty")
	_, err := d.connect(t).Exec(t.Context(), `ANALYZE deliveries`)
	require.NoError(t, err)
	check("analyzed while it was empty")
	d.fillDeliveries(t, s, 100_000)
	_, err = d.connect(t).Exec(t.Context(), `
		INSERT INTO replays (id, tenant_id, endpoint_id, from_seq, to_seq, only_failed, last_letter, types, rate, state, cursor_seq, total)
		SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, 100, false, 0, '{}', 100, 'running', 0, 100 FROM generate_series(1, 5000)`)
	require.NoError(t, err)
	_, err = d.connect(t).Exec(t.Context(), `
		INSERT INTO endpoints (tenant_id, url, timeout_ms, secret) SELECT gen_random_uuid(), '', 100, '' FROM generate_series(1, 5000)`)
	require.NoError(t, err)
	_, err = d.connect(t).Exec(t.Context(), `
		INSERT INTO endpoint_cursors (tenant_id, endpoint_id, settled_seq, version) SELECT gen_random_uuid(), gen_random_uuid(), 0, 1 FROM generate_series(1, 5000)`)
	require.NoError(t, err)
	check("filled")
	_, err = d.connect(t).Exec(t.Context(), `ANALYZE`)
	require.NoError(t, err)
	check("analyzed")
}
