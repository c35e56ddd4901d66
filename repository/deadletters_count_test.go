package repository

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// Whatever happens to letters, and however much of it at the same time, the
// count that is kept is that of the letters there are, and nothing deadlocks.
func TestDeadLettersAreCountedAsTheyChange(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants := make([]uuid.UUID, 4)
	for i := range tenants {
		tenants[i] = d.newLane(t)
	}
	doomed := d.newLane(t)
	const day = 24 * time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	var workers sync.WaitGroup
	check := func(err error) {
		if err != nil && ctx.Err() == nil && !strings.Contains(err.Error(), "55P03") {
			t.Error(err)
		}
	}
	for i := range 6 {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for ctx.Err() == nil {
				tenant := tenants[random.IntN(len(tenants))]
				some := make([]int64, 5)
				page, _, err := d.store.ListDeadLetters(ctx, domain.DeadLetterQuery{TenantID: tenant, Limit: 50, Replayed: true})
				check(err)
				for j := range some {
					if len(page) > 0 {
						some[j] = page[random.IntN(len(page))].Seq
					}
				}
				switch random.IntN(7) {
				case 0, 1, 2:
					letters := make([]domain.DeadLetter, random.IntN(6))
					for j := range letters {
						letters[j] = letter(t, tenants[random.IntN(len(tenants))], fmt.Sprint(j))
					}
					if len(letters) > 1 {
						letters[1] = letters[0]
					}
					check(d.store.RecordDeadLetters(ctx, append(letters, letter(t, doomed, "x"))))
				case 3:
					check(d.store.MarkReplayed(ctx, tenant, some))
				case 4:
					_, err := d.store.DeleteDeadLetters(ctx, tenant, some, 0)
					check(err)
				case 5:
					_, err := d.store.DeleteDeadLetters(ctx, tenant, nil, some[0])
					check(err)
				case 6:
					_, _, err := d.store.DeleteOldDeadLetters(ctx, time.Millisecond, day, 3, nil)
					check(err)
				}
			}
		})
	}
	workers.Go(func() {
		for recorded := 0; recorded < 1 && ctx.Err() == nil; { // it has letters when it goes
			letters, _, err := d.store.ListDeadLetters(ctx, domain.DeadLetterQuery{TenantID: doomed, Limit: 1})
			check(err)
			recorded = len(letters)
		}
		_, err := d.store.ChangeTenant(ctx, doomed, func(c *domain.Tenant) error { return c.Transition(domain.TenantDeleting) })
		check(err)
		check(d.store.ErasePartition(ctx, doomed))
	})
	workers.Wait()
	requireCounted(t, d)
	_, err := d.connect(t).Exec(t.Context(), `UPDATE dead_letters SET replayed_at = NULL WHERE replayed_at IS NOT NULL; UPDATE dead_letters SET error = 'x'`)
	require.NoError(t, err)
	requireCounted(t, d)
	_, err = d.store.DeleteDeadLetters(t.Context(), tenants[0], nil, math.MaxInt64)
	require.NoError(t, err)
	requireCounted(t, d)
	_, err = d.connect(t).Exec(t.Context(), `TRUNCATE dead_letters`)
	require.NoError(t, err)
	requireCounted(t, d)
}

// requireCounted compares what is kept with what is there.
func requireCounted(t *testing.T, d *database) {
	t.Helper()
	got, err := d.store.WaitingDeadLetters(t.Context())
	require.NoError(t, err)
	want := make(map[uuid.UUID]int64)
	rows, err := d.connect(t).Query(t.Context(), `SELECT tenant_id, count(*) FROM dead_letters WHERE replayed_at IS NULL GROUP BY tenant_id`)
	require.NoError(t, err)
	for rows.Next() {
		var id uuid.UUID
		var n int64
		require.NoError(t, rows.Scan(&id, &n))
		want[id] = n
	}
	require.NoError(t, rows.Err())
	require.Equal(t, want, got)
	var kept int
	require.NoError(t, d.connect(t).QueryRow(t.Context(), `SELECT count(*) FROM dead_letter_counts`).Scan(&kept))
	require.Len(t, want, kept, "tenants without letters leave nothing")
}

// Counting reads as much with many letters as with few.
func TestCountingDeadLettersDoesNotReadThem(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newLane(t)
	d.record(t, letter(t, id, "1"))
	conn := d.connect(t)
	_, err := conn.Exec(t.Context(), `
		INSERT INTO dead_letters (tenant_id, letter_id, message_id, body, headers, reason, error, attempts)
		SELECT $1, gen_random_uuid(), '', '', '{}', '', '', 1 FROM generate_series(1, 20000)`, id)
	require.NoError(t, err)
	waiting, err := d.store.WaitingDeadLetters(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 20_001, waiting[id])
	rows, err := conn.Query(t.Context(), `EXPLAIN (ANALYZE, BUFFERS) `+waitingDeadLettersSQL)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		require.NotContains(t, line, "dead_letters")
	}
	require.NoError(t, rows.Err())
}

// A tenant whose letters cannot be deleted keeps those of nobody else.
func TestOldDeadLettersGoPastATenantInTrouble(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ids := make([]uuid.UUID, 5)
	for i := range ids {
		ids[i] = d.newLane(t)
		d.record(t, letter(t, ids[i], "1"), letter(t, ids[i], "2"))
	}
	conn := d.connect(t)
	_, err := conn.Exec(t.Context(), `UPDATE dead_letters SET created_at = now() - interval '10 days'`)
	require.NoError(t, err)
	// Whoever holds the counts holds up whoever changes letters.
	_, err = conn.Exec(t.Context(), `BEGIN`)
	require.NoError(t, err)
	for _, id := range ids[:3] {
		_, err = conn.Exec(t.Context(), `SELECT FROM dead_letter_counts WHERE tenant_id = $1 FOR UPDATE`, id)
		require.NoError(t, err)
	}
	n, blocked, err := d.store.DeleteOldDeadLetters(t.Context(), 0, 24*time.Hour, 100, nil)
	require.NoError(t, err)
	require.Equal(t, 4, n)
	require.ElementsMatch(t, ids[:3], blocked)
	_, err = conn.Exec(t.Context(), `ROLLBACK`)
	require.NoError(t, err)
	n, blocked, err = d.store.DeleteOldDeadLetters(t.Context(), 0, 24*time.Hour, 100, ids[:1])
	require.NoError(t, err)
	require.Equal(t, 4, n)
	require.Empty(t, blocked)
	requireCounted(t, d)
}

// Headers count as what they are as text, too.
func TestDeadLettersAreBoundedByTheirHeadersAsText(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newLane(t)
	letters := make([]domain.DeadLetter, 300)
	for i := range letters {
		letters[i] = letter(t, id, "x")
		letters[i].Headers = map[string]any{"h": strings.Repeat("a", 100_000)}
	}
	d.record(t, letters...)
	m, through := newMeter(t, d.url)
	store := d.open(t, Options{URL: through})
	for _, damage := range []string{`SELECT 1`, `UPDATE dead_letters SET bytes = NULL`} {
		_, err := d.connect(t).Exec(t.Context(), damage)
		require.NoError(t, err)
		before := m.received.Load()
		page, more, err := store.ListDeadLetters(t.Context(), domain.DeadLetterQuery{TenantID: id, Limit: 1000})
		require.NoError(t, err)
		require.True(t, more)
		require.NotEmpty(t, page)
		require.Less(t, m.received.Load()-before, int64(2*maxPageBytes))
	}
}
