package repository

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// fillLetters inserts n letters of a tenant, a second apart from each other, which
// end now. Change has the columns reason, endpoint_id, seq, replayed_at and error be
// something else than those of letters that wait, as expressions of n, from 1 on.
func (d *database) fillLetters(t testing.TB, tenantID uuid.UUID, n int, change map[string]string) {
	t.Helper()
	columns := map[string]string{
		"reason": `'invalid_payload'`, "endpoint_id": `NULL::uuid`, "seq": `NULL::bigint`, "replayed_at": `NULL::timestamptz`, "error": `'it is wrong'`,
		"message_id": `'order ' || n`,
	}
	maps.Copy(columns, change)
	_, err := d.connect(t).Exec(t.Context(), fmt.Sprintf(`
		INSERT INTO dead_letters (tenant_id, letter_id, message_id, body, headers, reason, error, attempts, created_at, replayed_at, bytes, endpoint_id, seq)
		SELECT $1, gen_random_uuid(), %s, convert_to(repeat('x', 100), 'UTF8'), '{}', %s, %s, 1, now() + (n - $2) * interval '1 s', %s, 102, %s, %s
		FROM generate_series(1, $2::int) AS n ORDER BY n`,
		columns["message_id"], columns["reason"], columns["error"], columns["replayed_at"], columns["endpoint_id"], columns["seq"]), tenantID, n)
	require.NoError(t, err)
}

// Pages have what the filter asks for, in the order of ids, whatever is combined.
func TestDeadLettersByFilter(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id, other := d.newLane(t), d.newLane(t)
	endpoints := []uuid.UUID{newID(t), newID(t)}
	for _, tenant := range []uuid.UUID{id, other} {
		d.fillLetters(t, tenant, 60, map[string]string{
			"reason":      `CASE n % 4 WHEN 0 THEN 'delivery_failed' WHEN 1 THEN 'delivery_failed' WHEN 2 THEN 'unknown' ELSE 'invalid_payload' END`,
			"endpoint_id": fmt.Sprintf(`CASE n %% 4 WHEN 0 THEN '%s'::uuid WHEN 1 THEN '%s' END`, endpoints[0], endpoints[1]),
			"seq":         `CASE WHEN n % 4 < 2 THEN n END`,
			"replayed_at": `CASE WHEN n % 5 < 2 THEN now() END`,
		})
	}
	all, _, err := d.store.ListDeadLetters(t.Context(), domain.DeadLetterQuery{TenantID: id, Limit: 100, Replayed: true})
	require.NoError(t, err)
	require.Len(t, all, 60)
	require.Equal(t, endpoints[0], all[3].EndpointID)
	require.EqualValues(t, 4, all[3].MessageSeq)
	require.Zero(t, all[5].EndpointID)
	require.Zero(t, all[5].MessageSeq)
	random := rand.New(rand.NewPCG(1, 2))
	reasons := []domain.DeadLetterReason{"", "", domain.ReasonDeliveryFailed, domain.ReasonInvalidPayload, domain.ReasonUnknown, domain.ReasonIDConflict}
	for range 300 {
		q := domain.DeadLetterQuery{
			TenantID: id, Limit: 1 + random.IntN(20), Replayed: random.IntN(2) == 0,
			Filter: domain.DeadLetterFilter{
				Reason:     reasons[random.IntN(len(reasons))],
				EndpointID: append(endpoints, uuid.Nil, uuid.Nil, newID(t))[random.IntN(5)],
			},
		}
		if random.IntN(2) == 0 {
			q.Filter.From = all[random.IntN(60)].CreatedAt.Add(time.Duration(random.IntN(3)-1) * time.Millisecond)
		}
		if random.IntN(2) == 0 {
			q.Filter.To = all[random.IntN(60)].CreatedAt.Add(time.Duration(random.IntN(3)-1) * time.Millisecond)
		}
		if random.IntN(4) == 0 {
			q.UpTo = all[random.IntN(60)].Seq
		}
		var want, got []int64
		for i := range all {
			if l := &all[i]; matches(&q, l) {
				want = append(want, l.Seq)
			}
		}
		for more := true; more; {
			var letters []domain.DeadLetter
			letters, more, err = d.store.ListDeadLetters(t.Context(), q)
			require.NoError(t, err)
			require.LessOrEqual(t, len(letters), q.Limit)
			for i := range letters {
				got = append(got, letters[i].Seq)
				q.After = letters[i].Seq
			}
		}
		require.Equal(t, want, got, "%+v", q)

		q.After = 0
		for _, limit := range []int{0, 1, 7} {
			counted := q
			counted.Limit = limit
			n, err := d.store.CountDeadLetters(t.Context(), counted)
			require.NoError(t, err)
			if limit == 0 {
				limit = 1000
			}
			require.Equal(t, min(len(want), limit), n, "%+v", q)
		}
		got = nil
		for {
			failures, err := d.store.ListDeadLetterFailures(t.Context(), q)
			require.NoError(t, err)
			for i := range failures {
				got = append(got, failures[i].Seq)
				q.UpTo = failures[i].Seq - 1
			}
			if len(failures) < q.Limit || q.UpTo == 0 { // 0 would be no bound
				break
			}
		}
		slices.Reverse(got)
		require.Equal(t, want, got, "%+v", q)
	}
	failures, err := d.store.ListDeadLetterFailures(t.Context(), domain.DeadLetterQuery{TenantID: id, Limit: 1, Replayed: true, Filter: domain.DeadLetterFilter{EndpointID: endpoints[0]}})
	require.NoError(t, err)
	last := all[59]
	require.Equal(t, []domain.DeadLetterFailure{{
		Seq: last.Seq, Reason: last.Reason, EndpointID: endpoints[0], Error: last.Error, CreatedAt: last.CreatedAt,
		MessageID: "order 60", ReplayedAt: last.ReplayedAt,
	}}, failures)
	require.NotZero(t, last.ReplayedAt)
}

func matches(q *domain.DeadLetterQuery, l *domain.DeadLetter) bool {
	f := &q.Filter
	return (q.Replayed || !l.Replayed()) && (q.UpTo == 0 || l.Seq <= q.UpTo) && l.Seq > q.After &&
		(f.Reason == "" || f.Reason == l.Reason) && (f.EndpointID == uuid.Nil || f.EndpointID == l.EndpointID) &&
		(f.From.IsZero() || !l.CreatedAt.Before(f.From)) && (f.To.IsZero() || l.CreatedAt.Before(f.To))
}

// manyLetters has a tenant with 40,000 letters, of which few wait, few are of the
// endpoint that it returns, and few have another reason.
func (d *database) manyLetters(t testing.TB) (tenantID, rare uuid.UUID, first time.Time) {
	t.Helper()
	tenantID, rare = d.newLane(t), newID(t)
	common := newID(t)
	d.fillLetters(t, d.newLane(t), 5000, nil)
	d.fillLetters(t, tenantID, 40_000, map[string]string{
		"reason":      `CASE WHEN n % 4000 = 7 THEN 'unknown' ELSE 'delivery_failed' END`,
		"endpoint_id": fmt.Sprintf(`CASE WHEN n %% 4000 = 9 THEN '%s'::uuid WHEN n %% 4000 <> 7 THEN '%s' END`, rare, common),
		"seq":         `CASE WHEN n % 4000 <> 7 THEN n END`,
		"replayed_at": `CASE WHEN n % 2000 > 20 THEN now() END`,
	})
	require.NoError(t, d.connect(t).QueryRow(t.Context(), `SELECT min(created_at) FROM dead_letters WHERE tenant_id = $1`, tenantID).Scan(&first))
	return tenantID, rare, first
}

// blocksRead runs a query as the store does and returns how many blocks it looked at,
// and its plan.
func (d *database) blocksRead(t testing.TB, sql string, args ...any) (int, string) {
	t.Helper()
	tenantID, ok := args[0].(uuid.UUID)
	require.True(t, ok)
	conn := d.app(tenantID)
	var text string
	require.NoError(t, conn.QueryRow(t.Context(), `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) `+sql, args...).Scan(&text))
	var plans []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(text), &plans))
	rows, err := conn.Query(t.Context(), `EXPLAIN (ANALYZE, BUFFERS) `+sql, args...)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return plans[0].Plan.Hit + plans[0].Plan.Read, strings.Join(lines, "\n")
}

// A page reads what it returns, however many letters there are that do not match.
func TestPagesOfDeadLettersReadLittle(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenantID, rare, first := d.manyLetters(t)
	const hour = time.Hour
	for _, stage := range []string{`SELECT`, `ANALYZE dead_letters`, `VACUUM ANALYZE dead_letters`} {
		_, err := d.connect(t).Exec(t.Context(), stage)
		require.NoError(t, err)
		for name, q := range map[string]domain.DeadLetterQuery{
			"those that wait":       {},
			"all":                   {Replayed: true},
			"endpoint":              {Filter: domain.DeadLetterFilter{EndpointID: rare}},
			"endpoint, all":         {Replayed: true, Filter: domain.DeadLetterFilter{EndpointID: rare}},
			"no such endpoint":      {Replayed: true, Filter: domain.DeadLetterFilter{EndpointID: uuid.New()}},
			"reason":                {Filter: domain.DeadLetterFilter{Reason: domain.ReasonUnknown}},
			"reason, all":           {Replayed: true, Filter: domain.DeadLetterFilter{Reason: domain.ReasonUnknown}},
			"most common reason":    {Filter: domain.DeadLetterFilter{Reason: domain.ReasonDeliveryFailed}},
			"no such reason":        {Replayed: true, Filter: domain.DeadLetterFilter{Reason: domain.ReasonIDConflict}},
			"both":                  {Replayed: true, Filter: domain.DeadLetterFilter{Reason: domain.ReasonDeliveryFailed, EndpointID: rare}},
			"both, which cannot be": {Replayed: true, Filter: domain.DeadLetterFilter{Reason: domain.ReasonUnknown, EndpointID: rare}},
			"late":                  {Replayed: true, Filter: domain.DeadLetterFilter{From: first.Add(10 * hour)}},
			"between":               {Replayed: true, Filter: domain.DeadLetterFilter{From: first.Add(10 * hour), To: first.Add(11 * hour)}},
			"before all":            {Replayed: true, Filter: domain.DeadLetterFilter{To: first}},
			"after all":             {Replayed: true, Filter: domain.DeadLetterFilter{From: first.Add(20 * hour)}},
			"late, endpoint":        {Replayed: true, Filter: domain.DeadLetterFilter{From: first.Add(5 * hour), EndpointID: rare}},
			"late, reason":          {Filter: domain.DeadLetterFilter{From: first.Add(5 * hour), Reason: domain.ReasonUnknown}},
		} {
			q.TenantID = tenantID
			blocks, plan := d.blocksRead(t, listDeadLettersSQL, append(letterArgs(&q, 51), maxPageBytes)...)
			require.Less(t, blocks, 400, "%s, %s: %s", name, stage, plan)
			newest, plan := d.blocksRead(t, listFailuresSQL, letterArgs(&q, 51)...)
			require.Less(t, newest, 400, "%s, the newest, %s: %s", name, stage, plan)
			t.Log(stage, name, blocks, newest)
		}
	}
}
