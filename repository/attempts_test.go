package repository

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// days returns the partitions of attempts, as days from today.
func (d *database) days(t testing.TB) (all []int32) {
	t.Helper()
	rows, err := d.owner.Query(t.Context(), `
		SELECT to_date(substr(c.relname, 10), 'YYYYMMDD') - (now() AT TIME ZONE 'UTC')::date
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'attempts'::regclass ORDER BY 1`)
	require.NoError(t, err)
	all, err = pgx.CollectRows(rows, pgx.RowTo[int32])
	require.NoError(t, err)
	return all
}

// makeDay makes the partition of a day, so many days from today.
func (d *database) makeDay(t testing.TB, ahead int) {
	t.Helper()
	require.NoError(t, d.store.withAttemptDays(t.Context(), func(conn *pgxpool.Conn, today time.Time) error {
		return d.store.makeAttemptDay(t.Context(), conn, attemptDay{today.AddDate(0, 0, ahead)})
	}))
}

func TestKeepAttemptDays(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	keep := func(days int) int {
		dropped, err := d.store.KeepAttemptDays(t.Context(), days)
		require.NoError(t, err)
		return dropped
	}
	require.Zero(t, keep(7))
	require.Equal(t, []int32{-1, 0, 1, 2, 3}, d.days(t))
	require.Zero(t, keep(7))
	require.Equal(t, "attempts_"+time.Now().UTC().Format("20060102"), ask[string](t, d, `SELECT max(tableoid::regclass::text) FROM (
		SELECT (SELECT c.oid FROM pg_class c WHERE c.relname = 'attempts_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')) AS tableoid) AS t`))
	for _, ahead := range []int{-9, -8, -7, -6} {
		d.makeDay(t, ahead)
	}
	require.Equal(t, 2, keep(7))
	require.Equal(t, []int32{-7, -6, -1, 0, 1, 2, 3}, d.days(t))
	require.Equal(t, 3, keep(0))
	require.Equal(t, []int32{0, 1, 2, 3}, d.days(t))

	// The indexes are those of the table, so that pages use them.
	require.Equal(t, ask[int](t, d, `SELECT count(*) FROM pg_index WHERE indrelid = 'attempts'::regclass`)*4,
		ask[int](t, d, `SELECT count(*) FROM pg_inherits i JOIN pg_index x ON x.indexrelid = i.inhrelid JOIN pg_inherits p ON p.inhrelid = x.indrelid WHERE p.inhparent = 'attempts'::regclass`))
}

// Any number of replicas may do it at the same time, beside those who settle.
func TestAttemptDaysAreMadeTogether(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	store := d.open(t, Options{})
	for _, ahead := range []int{-9, -8} {
		d.makeDay(t, ahead)
	}
	type result struct {
		dropped int
		err     error
	}
	const replicas = 8
	results := make(chan result, replicas)
	for i := range replicas {
		go func() {
			dropped, err := []*Store{d.store, store}[i%2].KeepAttemptDays(context.WithoutCancel(t.Context()), 7)
			results <- result{dropped, err}
		}()
	}
	total := 0
	for range replicas {
		r := <-results
		require.NoError(t, r.err)
		total += r.dropped
	}
	require.Equal(t, 2, total)
	require.Equal(t, []int32{-1, 0, 1, 2, 3}, d.days(t))
}

// A partition that somebody uses is dropped later, and nobody who settles waits for it
// any longer than a moment.
func TestUsedDaysAreDroppedLater(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	_, err := d.store.KeepAttemptDays(t.Context(), 7)
	require.NoError(t, err)
	d.makeDay(t, -8)
	s := d.newEndpoints(t, 1, 1)
	d.claimAll(t, s)
	tx, err := d.connect(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT count(*) FROM attempts`)
	require.NoError(t, err)
	kept := make(chan int, 1)
	go func() {
		dropped, err := d.store.KeepAttemptDays(context.WithoutCancel(t.Context()), 7)
		if err != nil {
			dropped = -1
		}
		kept <- dropped
	}()
	d.awaitWaiting(t, "lanekeeper-ddl")
	for range 20 {
		s[0].Attempts = []domain.Attempt{attempt(t, 1)}
		require.Equal(t, domain.SettleDone, d.settle(t, s[0]))
	}
	require.Zero(t, <-kept)
	require.NoError(t, tx.Rollback(t.Context()))
	require.Equal(t, 20, ask[int](t, d, `SELECT count(*) FROM attempts`))
	dropped, err := d.store.KeepAttemptDays(t.Context(), 7)
	require.NoError(t, err)
	require.Equal(t, 1, dropped)
}

// A day that is missing costs its attempts, and the next ones have a place.
func TestMissingDayCostsItsAttemptsOnly(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.newEndpoints(t, 1, 1)
	d.claimAll(t, s)
	s[0].Settled, s[0].Attempts = 3, []domain.Attempt{attempt(t, 3)}
	s[0].Open = []domain.OpenDelivery{{Seq: 1, MessageID: newID(t)}}
	require.Equal(t, domain.SettleDone, d.settle(t, s[0]))
	require.EqualValues(t, 3, d.settled(t, s[0]))
	require.Equal(t, "1", d.rowsOf(t, s[0]))
	require.Zero(t, ask[int](t, d, `SELECT count(*) FROM attempts`))
	require.Equal(t, domain.SettleDone, d.settle(t, s[0]))
	require.Equal(t, 1, ask[int](t, d, `SELECT count(*) FROM attempts`))
	require.Equal(t, []int32{-1, 0, 1, 2, 3}, d.days(t))
}

func TestListAttempts(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for ahead := -4; ahead <= 1; ahead++ {
		d.makeDay(t, ahead)
	}
	s := d.newEndpoints(t, 2, 2)
	d.claimAll(t, s)
	one, two := &s[0], &s[1]
	// Ten of each endpoint, over four days; every third failed, and one message is at
	// both.
	shared := newID(t)
	for i := range s {
		for n := range 10 {
			a := attempt(t, int64(n))
			a.Ago, a.Number = time.Duration(n)*9*time.Hour+time.Duration(i)*time.Minute, n+1
			if n%3 == 0 {
				a.Error, a.Status, a.NextIn = "500", 500, time.Hour
			}
			if n == 4 && i < 2 {
				a.MessageID = shared
			}
			s[i].Attempts = append(s[i].Attempts, a)
		}
	}
	outcomes, err := d.store.Settle(t.Context(), deliverer, s)
	require.NoError(t, err)
	require.NotContains(t, outcomes, domain.SettleGone)

	list := func(q domain.AttemptQuery) (numbers []int) {
		q.TenantID = one.TenantID
		seen := make(map[uuid.UUID]bool)
		for last := time.Now().Add(time.Hour); ; {
			attempts, more, err := d.store.ListAttempts(t.Context(), q)
			require.NoError(t, err)
			require.LessOrEqual(t, len(attempts), q.Limit)
			require.Equal(t, more, len(attempts) == q.Limit && more)
			for _, a := range attempts {
				require.False(t, a.At.After(last), "newest first")
				require.False(t, seen[a.ID], "none twice")
				seen[a.ID], last = true, a.At
				numbers = append(numbers, a.Number)
			}
			if !more {
				return numbers
			}
			q.BeforeAt, q.BeforeID = attempts[len(attempts)-1].At, attempts[len(attempts)-1].ID
		}
	}
	all := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for limit := 1; limit < 12; limit++ {
		require.Equal(t, all, list(domain.AttemptQuery{EndpointID: one.EndpointID, Limit: limit}))
		require.Equal(t, []int{1, 4, 7, 10}, list(domain.AttemptQuery{EndpointID: one.EndpointID, Failed: true, Limit: limit}))
		require.Equal(t, []int{2, 3, 5, 6, 8, 9}, list(domain.AttemptQuery{EndpointID: two.EndpointID, Succeeded: true, Limit: limit}))
		require.Equal(t, all, list(domain.AttemptQuery{EndpointID: one.EndpointID, Failed: true, Succeeded: true, Limit: limit}))
		require.Equal(t, []int{5, 5}, list(domain.AttemptQuery{MessageID: shared, Limit: limit}))
		require.Len(t, list(domain.AttemptQuery{Limit: limit}), 20, "of all endpoints of the tenant")
	}
	require.Equal(t, []int{5}, list(domain.AttemptQuery{MessageID: shared, EndpointID: two.EndpointID, Limit: 5}))
	require.Empty(t, list(domain.AttemptQuery{EndpointID: s[2].EndpointID, Limit: 5}), "another tenant's")
	require.Empty(t, list(domain.AttemptQuery{EndpointID: one.EndpointID}))

	attempts, _, err := d.store.ListAttempts(t.Context(), domain.AttemptQuery{TenantID: one.TenantID, EndpointID: one.EndpointID, Limit: 1})
	require.NoError(t, err)
	got, sent := attempts[0], one.Attempts[0]
	require.WithinDuration(t, time.Now(), got.At, time.Minute)
	require.WithinDuration(t, got.At.Add(time.Hour), got.NextAt, time.Second)
	got.At, got.NextAt, sent.Ago, sent.NextIn, sent.TenantID, sent.EndpointID = time.Time{}, time.Time{}, 0, 0, one.TenantID, one.EndpointID
	require.Equal(t, sent, got)
}

// A page reads no more partitions than it needs, and by the index.
func TestListAttemptsReadsFewPartitions(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for ahead := -6; ahead <= 1; ahead++ {
		d.makeDay(t, ahead)
	}
	tenantID, endpointID, other := uuid.New(), uuid.New(), uuid.New()
	_, err := d.connect(t).Exec(t.Context(), `
		INSERT INTO attempts (id, tenant_id, endpoint_id, message_id, seq, number, probe, at, duration_ms, status, error)
		SELECT gen_random_uuid(), $1, CASE WHEN n % 2 = 0 THEN $2::uuid ELSE $3::uuid END, gen_random_uuid(), n, 1, false, now() - n * interval '40 s', 1, 200,
			CASE WHEN n % 500 = 0 THEN 'e' ELSE '' END
		FROM generate_series(1, 12000) AS n`, tenantID, endpointID, other)
	require.NoError(t, err)
	messageID := ask[uuid.UUID](t, d, `SELECT message_id FROM attempts WHERE seq = 6000`)
	now := time.Now()
	check := func(stage string) {
		for name, tt := range map[string]struct {
			index string
			most  int // partitions that may be read
			sql   string
			args  []any
		}{
			"endpoint": {"_tenant_id_endpoint_id_at_idx", 2, listEndpointAttemptsSQL, []any{tenantID, "", now, uuid.Max, 50, endpointID}},
			"days ago": {"_tenant_id_endpoint_id_at_idx", 2, listEndpointAttemptsSQL, []any{tenantID, "", now.AddDate(0, 0, -3), uuid.Max, 50, endpointID}},
			"failed":   {"_tenant_id_endpoint_id_at_idx1", 8, listFailedAttemptsSQL, []any{tenantID, "failed", now, uuid.Max, 10, endpointID}},
			"message":  {"_tenant_id_message_id_idx", 8, listMessageAttemptsSQL, []any{tenantID, "", now, uuid.Max, 50, uuid.Nil, messageID}},
		} {
			rows, err := d.app(tenantID).Query(t.Context(), `EXPLAIN (ANALYZE, TIMING OFF) `+tt.sql, tt.args...)
			require.NoError(t, err, name)
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err, name)
			plan := strings.Join(lines, "\n")
			read := 0
			for _, line := range lines {
				if strings.Contains(line, " on attempts_") {
					require.Contains(t, line, tt.index+" on", "%s, %s: %s", name, stage, plan)
					if !strings.Contains(line, "never executed") {
						read++
					}
				}
			}
			require.LessOrEqual(t, read, tt.most, "%s, %s: %s", name, stage, plan)
			require.Positive(t, read, name)
			require.NotContains(t, plan, "Rows Removed by Filter: 1000", name)
		}
	}
	check("filled")
	_, err = d.connect(t).Exec(t.Context(), `ANALYZE attempts`)
	require.NoError(t, err)
	check("analyzed")
}

func TestSummarizeAttempts(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.makeDays(t)
	s := d.newEndpoints(t, 1, 2)
	d.claimAll(t, s)
	one := &s[0]
	summary := func(within time.Duration) domain.AttemptSummary {
		sum, err := d.store.SummarizeAttempts(t.Context(), one.TenantID, one.EndpointID, within)
		require.NoError(t, err)
		require.WithinDuration(t, time.Now().Add(-within), sum.Since, time.Minute)
		sum.Since = time.Time{}
		return sum
	}
	require.Equal(t, domain.AttemptSummary{}, summary(time.Hour))

	// One every 10 minutes, of which the first of each delivery and its retry take turns.
	for i := range s {
		for n := range 12 {
			a := attempt(t, int64(n))
			a.Ago, a.Number, a.Duration = time.Duration(n)*10*time.Minute+time.Minute, 1+n%2, time.Duration(n+1)*time.Millisecond
			if n%4 == 0 {
				a.Error, a.Status = "status 500", 500
			}
			s[i].Attempts = append(s[i].Attempts, a)
		}
	}
	_, err := d.store.Settle(t.Context(), deliverer, s)
	require.NoError(t, err)
	require.Equal(t, domain.AttemptSummary{Counted: 6, Succeeded: 4, First: 3, FirstSucceeded: 1, Median: 3 * time.Millisecond, P99: 6 * time.Millisecond}, summary(time.Hour))
	require.Equal(t, domain.AttemptSummary{Counted: 12, Succeeded: 9, First: 6, FirstSucceeded: 3, Median: 6 * time.Millisecond, P99: 12 * time.Millisecond}, summary(3*time.Hour))

	// Beyond a number it is about the newest, and says since when.
	_, err = d.connect(t).Exec(t.Context(), `
		INSERT INTO attempts (id, tenant_id, endpoint_id, message_id, seq, number, probe, at, duration_ms, status, error)
		SELECT gen_random_uuid(), $1, $2, gen_random_uuid(), n, 1, false, now() - n * interval '1 ms', 5, 200, '' FROM generate_series(1, $3::int) AS n`,
		one.TenantID, one.EndpointID, domain.MaxSummarizedAttempts+5)
	require.NoError(t, err)
	sum, err := d.store.SummarizeAttempts(t.Context(), one.TenantID, one.EndpointID, time.Hour)
	require.NoError(t, err)
	require.True(t, sum.Truncated)
	require.Equal(t, domain.MaxSummarizedAttempts, sum.Counted)
	require.Equal(t, domain.MaxSummarizedAttempts, sum.FirstSucceeded)
	require.WithinDuration(t, time.Now().Add(-10*time.Second), sum.Since, 9*time.Second)
}
