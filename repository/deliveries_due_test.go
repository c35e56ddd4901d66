package repository

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/sealing"
)

func TestStartDelivery(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.newEndpoints(t, 1, 2)
	one, other := s[0], s[1]
	conn := d.connect(t)
	run := func(sql string, args ...any) {
		_, err := conn.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	start := func(s domain.Settlement) domain.DeliveryStart {
		got, err := d.store.StartDelivery(t.Context(), s.TenantID, s.EndpointID)
		require.NoError(t, err)
		return got
	}
	require.Equal(t, domain.DeliveryStart{Version: 1, Keys: map[string]int{}}, start(one))
	_, err := d.store.StartDelivery(t.Context(), one.TenantID, uuid.New())
	require.ErrorIs(t, err, domain.ErrNotFound)

	run(`UPDATE endpoint_cursors SET settled_seq = 7, version = 9, breaker_opened_at = '2026-01-02', failing_since = '2026-01-01', reading_stopped = true WHERE endpoint_id = $1`, one.EndpointID)
	run(`UPDATE endpoints SET ordering = 'key' WHERE id = $1`, one.EndpointID)
	run(`INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id, ordering_key, next_at)
		SELECT $1, $2, seq, $2, key, now() + wait FROM (VALUES (1, 'a', interval '1 h'), (2, 'a', NULL), (3, 'b', NULL), (4, 'b', NULL), (5, NULL, NULL), (6, NULL, interval '2 h')) AS r (seq, key, wait)`,
		one.TenantID, one.EndpointID)
	run(`INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id, ordering_key) VALUES ($1, $2, 1, $2, 'a'), ($1, $2, 2, $2, 'a')`, other.TenantID, other.EndpointID)
	run(`UPDATE endpoint_cursors SET settled_seq = 2 WHERE endpoint_id = $1`, other.EndpointID)
	replayID := newID(t)
	run(`INSERT INTO replays (id, tenant_id, endpoint_id, from_seq, to_seq, only_failed, last_letter, types, rate, state, cursor_seq, total, done)
		VALUES ($1, $2, $3, 1, 100, true, 5, '{order.*}', 100, 'running', 4, 50, 3), (gen_random_uuid(), $2, $3, 1, 100, true, 5, '{}', 100, 'done', 4, 50, 3)`,
		replayID, one.TenantID, one.EndpointID)
	got := start(one)
	require.Equal(t, "1+ 2- 3 4- 5 6+", d.rowsOf(t, one), "what waits for nothing is due")
	require.EqualValues(t, 7, got.Settled)
	require.EqualValues(t, 9, got.Version)
	require.Equal(t, 6, got.Rows)
	require.Equal(t, map[string]int{"a": 2, "b": 2}, got.Keys)
	require.True(t, got.Due)
	require.LessOrEqual(t, got.NextIn, time.Duration(0))
	require.Equal(t, domain.EndpointHealth{
		BreakerOpenedAt: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), FailingSince: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), ReadingStopped: true,
	}, got.Health)
	require.NotNil(t, got.Replay)
	require.Equal(t, replayID, got.Replay.ID)
	require.Equal(t, []domain.TypePattern{"order.*"}, got.Replay.Types)
	require.EqualValues(t, 4, got.Replay.Cursor)
	require.EqualValues(t, 5, got.Replay.LastLetter)

	// The other one is not ordered by key any more.
	require.Equal(t, map[string]int{"a": 2}, start(other).Keys)
	require.Equal(t, "1 2", d.rowsOf(t, other))
	run(`UPDATE deliveries SET next_at = now() + interval '1 h'`)
	got = start(one)
	require.InDelta(t, time.Hour.Seconds(), got.NextIn.Seconds(), 60)
	require.Empty(t, got.Beyond)

	// What is beyond the cursor may wait for a message without a row.
	run(`UPDATE endpoint_cursors SET settled_seq = 3 WHERE endpoint_id = $1`, one.EndpointID)
	run(`UPDATE deliveries SET next_at = NULL WHERE endpoint_id = $1 AND ordering_key = 'b'`, one.EndpointID)
	got = start(one)
	require.Equal(t, "1+ 2+ 3 4- 5+ 6+", d.rowsOf(t, one))
	require.Equal(t, 6, got.Rows)
	require.Equal(t, map[string]int{"a": 2, "b": 1}, got.Keys)
	require.ElementsMatch(t, []int64{4, 5, 6}, got.Beyond)
}

// A start waits for a settlement that is under way.
func TestStartDeliveryLocksTheCursor(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.newEndpoints(t, 1, 1)[0]
	store := d.open(t, Options{URL: d.withParams(t, "lock_timeout", "15s")})
	tx, err := d.connect(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `UPDATE endpoint_cursors SET settled_seq = 5`)
	require.NoError(t, err)
	started := make(chan int64, 1)
	go func() {
		got, err := store.StartDelivery(context.WithoutCancel(t.Context()), s.TenantID, s.EndpointID)
		if err != nil {
			started <- -1
			return
		}
		started <- got.Settled
	}()
	d.awaitWaiting(t, "lanekeeper-delivery")
	require.NoError(t, tx.Commit(t.Context()))
	require.EqualValues(t, 5, <-started)
}

func TestReadDeliveries(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ids := d.newTenants(t, 2)
	messages := messagesFor(t, ids, 40)
	_, err := d.store.AppendMessages(t.Context(), messages)
	require.NoError(t, err)
	read := func(cursor int64, limit, maxBytes int) (seqs []int64) {
		got, err := d.store.ReadDeliveries(t.Context(), ids[0], cursor, limit, maxBytes)
		require.NoError(t, err)
		for _, m := range got {
			require.Equal(t, messages[(m.Seq-1)*2].ID, m.ID)
			require.Equal(t, string(messages[(m.Seq-1)*2].Payload), string(m.Payload))
			seqs = append(seqs, m.Seq)
		}
		return seqs
	}
	require.Equal(t, []int64{1, 2, 3}, read(0, 3, testBytes))
	require.Equal(t, []int64{18, 19, 20}, read(17, 100, testBytes))
	require.Empty(t, read(20, 100, testBytes))
	require.Empty(t, read(25, 100, testBytes))
	require.Empty(t, read(0, 0, testBytes))
	require.Equal(t, []int64{1, 2}, read(0, 100, 2*(domain.RowOverhead+12)))
	require.Equal(t, []int64{1}, read(0, 100, 1), "none only when there are none")

	// What is not kept any longer is left out, whether it is deleted or not.
	_, err = d.connect(t).Exec(t.Context(), `UPDATE tenant_streams SET first_seq = 6 WHERE tenant_id = $1`, ids[0])
	require.NoError(t, err)
	require.Equal(t, []int64{6, 7}, read(2, 2, testBytes))
	got, err := d.store.ReadDeliveries(t.Context(), uuid.New(), 0, 10, testBytes)
	require.NoError(t, err, "a tenant that is gone")
	require.Empty(t, got)
}

// fillDeliveries gives an endpoint n rows that are due in the future, for messages
// that there are not.
func (d *database) fillDeliveries(t testing.TB, s domain.Settlement, n int) {
	t.Helper()
	conn := d.connect(t)
	_, err := conn.Exec(t.Context(), `
		INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id, next_at)
		SELECT $1, $2, seq, gen_random_uuid(), now() + interval '1 h' + seq * interval '1 s' FROM generate_series(1000, 999 + $3::int) AS seq`, s.TenantID, s.EndpointID, n)
	require.NoError(t, err)
}

func TestDueDeliveries(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.newEndpoints(t, 1, 2)[1]
	messages := messagesFor(t, []uuid.UUID{s.TenantID}, 9)
	messages[1].Type, messages[1].OrderingKey, messages[1].Headers = "order.done", "customer", map[string]string{"h": "v"}
	_, err := d.store.AppendMessages(t.Context(), messages)
	require.NoError(t, err)
	conn := d.connect(t)
	replayID := newID(t)
	_, err = conn.Exec(t.Context(), `
		INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id, ordering_key, attempts, round, replay_id, next_at, last_status, last_error)
		SELECT $1, $2, r.seq, coalesce(m.id, $3), 'k' || r.seq, 3, 2, $3, now() + wait, 500, 'e'
		FROM (VALUES (1, interval '-1 s'), (2, interval '-3 s'), (3, interval '1 h'), (4, NULL), (5, interval '-2 s'), (77, interval '-5 s')) AS r (seq, wait)
		LEFT JOIN messages m ON m.tenant_id = $1 AND m.seq = r.seq`, s.TenantID, s.EndpointID, replayID)
	require.NoError(t, err)
	query := func(change func(*domain.DueQuery)) domain.DueDeliveries {
		q := domain.DueQuery{TenantID: s.TenantID, EndpointID: s.EndpointID, Limit: 10, MaxBytes: testBytes}
		change(&q)
		got, err := d.store.DueDeliveries(t.Context(), q)
		require.NoError(t, err)
		return got
	}
	seqs := func(due domain.DueDeliveries) (all []int64) {
		for _, o := range due.Deliveries {
			all = append(all, o.Seq)
		}
		return all
	}
	got := query(func(*domain.DueQuery) {})
	require.Equal(t, []int64{77, 2, 5, 1}, seqs(got), "by the time at which they are due")
	require.Equal(t, 6, got.Rows)
	require.True(t, got.Due)
	require.InDelta(t, time.Hour.Seconds(), got.NextIn.Seconds(), 60)
	require.Nil(t, got.Deliveries[0].Message, "not kept any longer")
	o := got.Deliveries[1]
	require.NotNil(t, o.Message)
	require.Equal(t, messages[1].ID, o.Message.ID)
	require.EqualValues(t, 2, o.Message.Seq)
	require.Equal(t, s.TenantID, o.Message.TenantID)
	require.Equal(t, string(messages[1].Payload), string(o.Message.Payload))
	require.False(t, o.Message.CreatedAt.IsZero())
	require.Equal(t, messages[1].Type, o.Message.Type)
	require.Equal(t, messages[1].OrderingKey, o.Message.OrderingKey)
	require.Equal(t, messages[1].Headers, o.Message.Headers)
	require.Equal(t, len(o.Message.Payload), o.Message.Bytes)
	require.Nil(t, got.Deliveries[2].Message.Headers)
	require.Empty(t, got.Deliveries[2].Message.Type)
	require.InDelta(t, -3, o.NextIn.Seconds(), 60)
	o.Message, o.NextIn = nil, 0
	require.Equal(t, domain.OpenDelivery{
		Seq: 2, MessageID: messages[1].ID, OrderingKey: "k2", Attempts: 3, Round: 2, ReplayID: replayID, LastStatus: 500, LastError: "e", Known: true,
	}, o)

	got = query(func(q *domain.DueQuery) { q.Limit = 2 })
	require.Equal(t, []int64{77, 2}, seqs(got))
	require.True(t, got.Due)
	require.LessOrEqual(t, got.NextIn, time.Duration(0), "another one is due already")
	got = query(func(q *domain.DueQuery) { q.Except = []int64{77, 2, 5} })
	require.Equal(t, []int64{1}, seqs(got))
	require.InDelta(t, time.Hour.Seconds(), got.NextIn.Seconds(), 60)
	got = query(func(q *domain.DueQuery) { q.Except = []int64{77, 2, 5, 1, 3} })
	require.Empty(t, got.Deliveries)
	require.False(t, got.Due, "what waits for its key is never due")
	require.Equal(t, []int64{2}, seqs(query(func(q *domain.DueQuery) { q.Except, q.MaxBytes = []int64{77}, 1 })), "none only when there are none")
	require.Equal(t, []int64{77, 2}, seqs(query(func(q *domain.DueQuery) { q.MaxBytes = 3 * domain.RowOverhead })))
	require.Empty(t, query(func(q *domain.DueQuery) { q.Limit = 0 }).Deliveries)

	got = query(func(q *domain.DueQuery) { q.Any, q.Limit = true, 3 })
	require.Equal(t, []int64{1, 2, 3}, seqs(got), "the oldest, due or not, and not what waits")
	require.True(t, got.Due, "whether those are or not")
	require.LessOrEqual(t, got.NextIn, time.Duration(0))
	got = query(func(q *domain.DueQuery) { q.Any, q.Except = true, []int64{1, 2, 5, 77} })
	require.Equal(t, []int64{3}, seqs(got))
	require.False(t, got.Due)
	require.InDelta(t, time.Hour.Seconds(), got.Deliveries[0].NextIn.Seconds(), 60)

	other := query(func(q *domain.DueQuery) { q.EndpointID = uuid.New() })
	require.Equal(t, domain.DueDeliveries{}, other)
}

// explain returns the plan of a statement on a connection of the deliveries' pool.
func (d *database) explain(t testing.TB, sql string, args ...any) string {
	t.Helper()
	rows, err := d.store.ofTenants(d.store.deliveries, d.allTenants(t)...).Query(t.Context(), `EXPLAIN `+sql, args...)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return strings.Join(lines, "\n")
}

// With as many rows as there are after an outage due rows are found by the index of
// their times, and one partition of messages is touched of many, before the server
// has statistics and afterwards.
func TestDueDeliveriesUseTheirIndex(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.newEndpoints(t, 20, 1)[7]
	check := func(stage string) {
		except := []int64{1000, 1001, 1002}
		for name, tt := range map[string]struct {
			index string
			plan  string
		}{
			"due":    {"deliveries_next_at_idx", d.explain(t, readDueSQL, s.TenantID, s.EndpointID, except, 64, testBytes)},
			"next":   {"deliveries_next_at_idx", d.explain(t, nextDueSQL, s.TenantID, s.EndpointID, except, 65)},
			"first":  {"deliveries_next_at_idx", d.explain(t, firstDueSQL, s.TenantID, s.EndpointID)},
			"oldest": {"deliveries_pkey", d.explain(t, readOldestSQL, s.TenantID, s.EndpointID, except, 64, testBytes)},
		} {
			require.Contains(t, tt.plan, tt.index, "%s, %s: %s", name, stage, tt.plan)
			require.Equal(t, 1, strings.Count(tt.plan, "on deliveries"), "%s, %s: %s", name, stage, tt.plan)
			require.NotContains(t, tt.plan, "Seq Scan", "%s, %s: %s", name, stage, tt.plan)
			require.NotContains(t, strings.ReplaceAll(tt.plan, "Incremental Sort", ""), "Sort  (", "%s, %s: %s", name, stage, tt.plan)
			if name == "due" || name == "oldest" {
				require.Equal(t, 1, strings.Count(tt.plan, "on messages_"), "%s, %s: %s", name, stage, tt.plan)
				require.Contains(t, tt.plan, "_pkey on messages_", "%s, %s: %s", name, stage, tt.plan)
			}
		}
	}
	check("empty")
	d.fillDeliveries(t, s, 100_000)
	check("filled")
	_, err := d.connect(t).Exec(t.Context(), `ANALYZE deliveries`)
	require.NoError(t, err)
	check("analyzed")
	got, err := d.store.DueDeliveries(t.Context(), domain.DueQuery{TenantID: s.TenantID, EndpointID: s.EndpointID, Limit: 64, MaxBytes: testBytes})
	require.NoError(t, err)
	require.Equal(t, domain.MaxCountedDeliveries, got.Rows, "no further than anybody wants to know")
}

// Reading for a tenant touches its partition only, among a thousand.
func TestDeliveriesPrune(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("makes a thousand partitions")
	}
	d := newDatabase(t)
	s := d.newEndpoints(t, 1, 1)[0]
	d.manyPartitions(t, 1000)
	for name, plan := range map[string]string{
		"read": d.explain(t, historyAscendingSQL, s.TenantID, 1, 65, testBytes),
		"due":  d.explain(t, readDueSQL, s.TenantID, s.EndpointID, []int64{}, 64, testBytes),
	} {
		require.Equal(t, 1, strings.Count(plan, " on messages_"), "%s: %s", name, plan)
	}
	// Nor are the others locked, as a generic plan would do.
	err := d.store.WithTenant(t.Context(), deliveryAccess, []uuid.UUID{s.TenantID}, func(on session) error {
		for range 10 {
			if _, err := on.Exec(t.Context(), beginSQL); err != nil {
				return err
			}
			if _, err := on.Exec(t.Context(), readDueSQL, s.TenantID, s.EndpointID, []int64{}, 64, testBytes); err != nil {
				return err
			}
			var locked int
			if err := on.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation::regclass::text LIKE 'messages%'`).Scan(&locked); err != nil {
				return err
			}
			require.Less(t, locked, 10)
			if _, err := on.Exec(t.Context(), commitSQL); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, err)
}

// manyPartitions makes partitions of tenants that nobody knows, quickly.
func (d *database) manyPartitions(t testing.TB, n int) {
	t.Helper()
	var sql strings.Builder
	for range n {
		p := partitionOf(newID(t))
		sql.WriteString(`CREATE TABLE ` + p.table + ` PARTITION OF messages FOR VALUES IN (` + p.bound + `);`)
	}
	_, err := d.connect(t).PgConn().Exec(t.Context(), sql.String()).ReadAll()
	require.NoError(t, err)
}

func TestDeliveryTargets(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	sealer, err := sealing.New(bytes.Repeat([]byte{1}, 32))
	require.NoError(t, err)
	sealed := d.open(t, Options{Sealer: sealer})
	s := d.newEndpoints(t, 3, 1)
	one, two, gone := s[0].TenantID, s[1].TenantID, s[2].TenantID
	owner := newID(t)
	d.exec(t, `UPDATE tenants SET workers = 9, user_id = $2 WHERE id = $1`, one, owner)
	d.exec(t, `UPDATE tenants SET status = 'deleting' WHERE id = $1`, gone)
	held, hidden := endpointOf(t, one), plainEndpoint(t, one)
	held.Version = d.insertEndpoint(t, held).Version
	_, err = sealed.InsertEndpoint(t.Context(), hidden, domain.NewCursor{})
	require.NoError(t, err)

	targets, err := sealed.DeliveryTargets(t.Context(), []uuid.UUID{two, gone, one, uuid.New()})
	require.NoError(t, err)
	require.Len(t, targets, 4)
	for i, id := range []uuid.UUID{s[0].EndpointID, held.ID, hidden.ID, s[1].EndpointID} {
		require.Equal(t, id, targets[i].ID)
		if i == 3 {
			require.Equal(t, 3, targets[i].Workers)
			require.Zero(t, targets[i].OwnerID)
			continue
		}
		require.Equal(t, 9, targets[i].Workers)
		require.Equal(t, owner, targets[i].OwnerID)
	}
	got := targets[1].Endpoint
	held.CreatedAt, held.UpdatedAt = got.CreatedAt, got.UpdatedAt
	require.Equal(t, held, got)
	require.Equal(t, hidden.Secret, targets[2].Secret)
	require.Equal(t, domain.EndpointActive, targets[2].Status)

	// Without the key an endpoint is disabled, for as long as that is not there.
	targets, err = d.store.DeliveryTargets(t.Context(), []uuid.UUID{one})
	require.NoError(t, err)
	require.Equal(t, domain.EndpointActive, targets[0].Status)
	require.Equal(t, domain.EndpointHeld, targets[1].Status)
	require.Equal(t, domain.EndpointDisabled, targets[2].Status)
	require.Equal(t, domain.StatusUnreadable, targets[2].StatusReason)
	require.Nil(t, targets[2].Secret)
	require.Equal(t, "active", ask[string](t, d, `SELECT status FROM endpoints WHERE id = $1`, hidden.ID))
	targets, err = d.store.DeliveryTargets(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, targets)
}
