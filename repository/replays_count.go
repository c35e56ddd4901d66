package repository

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
)

const (
	// countChunk is how many messages are looked at at a time for their types, and
	// countTimeout for how long. What is left then is estimated.
	countChunk   = 50_000
	countTimeout = 4 * time.Second
)

// replayBoundsSQL finds what there is: all that the cursor has passed and that is
// kept. What it has not passed is delivered in its turn.
const replayBoundsSQL = `
SELECT s.first_seq, c.settled_seq, e.types, coalesce((SELECT max(id) FROM dead_letters WHERE tenant_id = $1), 0)
FROM endpoint_cursors c
JOIN endpoints e ON e.tenant_id = c.tenant_id AND e.id = c.endpoint_id
JOIN tenant_streams s ON s.tenant_id = c.tenant_id
WHERE c.tenant_id = $1 AND c.endpoint_id = $2`

const createdAtSQL = `SELECT created_at FROM messages WHERE tenant_id = $1 AND seq >= $2 ORDER BY seq LIMIT 1`

// CountReplay implements domain.ReplayRepository. Where types restrict a range of
// more messages than can be looked at in some seconds, the number is estimated.
func (s *Store) CountReplay(ctx context.Context, q domain.ReplayQuery) (domain.Replay, error) {
	r := domain.Replay{
		TenantID: q.TenantID, EndpointID: q.EndpointID, OnlyFailed: q.OnlyFailed, Types: q.Types, Rate: q.Rate, State: domain.ReplayRunning,
	}
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{q.TenantID}, func(on session) error {
		var first, last int64
		var wanted []string
		err := on.QueryRow(ctx, replayBoundsSQL, q.TenantID, q.EndpointID).Scan(&first, &last, &wanted, &r.LastLetter)
		if errors.Is(err, pgx.ErrNoRows) {
			return domain.EndpointNotFound()
		}
		if err != nil {
			return fmt.Errorf("read what there is: %w", err)
		}
		if r.From, r.To, err = replayRange(ctx, on, q, first, last); err != nil {
			return err
		}
		if r.From > r.To {
			return domain.ReplayEmpty()
		}
		r.Cursor = r.From - 1
		var types []domain.TypePattern
		for _, t := range wanted {
			types = append(types, domain.TypePattern(t))
		}
		r.Total, err = countMembers(ctx, on, &r, types)
		if err == nil && r.Total == 0 {
			return domain.ReplayEmpty()
		}
		return err
	})
	if err != nil {
		return domain.Replay{}, translate(err, "count a replay")
	}
	return r, nil
}

// replayRange returns the part of the range that there is. Times go with seq, or
// nearly so, so the ends of the range are found by halving.
func replayRange(ctx context.Context, on session, q domain.ReplayQuery, first, last int64) (from, to int64, err error) {
	from, to = max(first, q.FromSeq), last
	if q.ToSeq > 0 {
		to = min(to, q.ToSeq)
	}
	// search returns the first seq of the range that was stored at a time or later.
	search := func(at time.Time) int64 {
		n := sort.Search(int(max(0, to-from+1)), func(i int) bool {
			if err != nil {
				return true
			}
			var createdAt time.Time
			err = on.QueryRow(ctx, createdAtSQL, q.TenantID, from+int64(i)).Scan(&createdAt)
			if errors.Is(err, pgx.ErrNoRows) {
				err = nil
				return true
			}
			return !createdAt.Before(at)
		})
		return from + int64(n)
	}
	if !q.To.IsZero() {
		to = search(q.To.Add(time.Microsecond)) - 1
	}
	if !q.From.IsZero() {
		from = search(q.From)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("look for the time: %w", err)
	}
	return from, to, nil
}

const (
	countTypesSQL = `
SELECT count(*) FROM messages
WHERE tenant_id = $1 AND seq >= $2 AND seq < $3 AND type <> ''
  AND (cardinality($4::text[]) = 0 OR type LIKE ANY($4)) AND (cardinality($5::text[]) = 0 OR type LIKE ANY($5))`

	countFailedSQL = `
SELECT count(DISTINCT l.seq) FROM dead_letters l
WHERE l.tenant_id = $1 AND l.endpoint_id = $6 AND l.seq >= $2 AND l.seq < $3 AND l.id <= $7 AND l.replayed_at IS NULL
  AND (cardinality($4::text[]) + cardinality($5::text[]) = 0 OR EXISTS (
    SELECT FROM messages m WHERE m.tenant_id = $1 AND m.seq = l.seq AND m.type <> ''
      AND (cardinality($4::text[]) = 0 OR m.type LIKE ANY($4)) AND (cardinality($5::text[]) = 0 OR m.type LIKE ANY($5))))`
)

// countMembers counts the messages of a range that both the replay's types and those
// of the endpoint select. Where nothing selects, seq says how many there are.
func countMembers(ctx context.Context, on session, r *domain.Replay, types []domain.TypePattern) (int64, error) {
	all := r.To - r.From + 1
	args := []any{r.TenantID, r.From, r.To + 1, likePatterns(r.Types), likePatterns(types)}
	var total int64
	if r.OnlyFailed {
		if err := on.QueryRow(ctx, countFailedSQL, append(args, r.EndpointID, r.LastLetter)...).Scan(&total); err != nil {
			return 0, fmt.Errorf("count letters: %w", err)
		}
		return total, nil
	}
	if len(r.Types)+len(types) == 0 {
		return all, nil
	}
	began := time.Now()
	for from := r.From; from <= r.To; from += countChunk {
		if time.Since(began) > countTimeout {
			looked := from - r.From
			return int64(float64(total) / float64(looked) * float64(all)), nil
		}
		var n int64
		args[1], args[2] = from, min(from+countChunk, r.To+1)
		if err := on.QueryRow(ctx, countTypesSQL, args...).Scan(&n); err != nil {
			return 0, fmt.Errorf("count messages: %w", err)
		}
		total += n
	}
	return total, nil
}
