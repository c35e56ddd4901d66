package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/pkg/postgres"
)

// What is old is looked for over all tenants, in the order of its age, and
// deleted tenant by tenant: where that is not possible for one of them, the
// others' letters go all the same.
const (
	oldReplayedDeadLettersSQL = `
SELECT tenant_id, id FROM dead_letters
WHERE replayed_at < now() - $1::interval AND tenant_id <> ALL($3::uuid[])
ORDER BY replayed_at LIMIT $2`
	oldOtherDeadLettersSQL = `
SELECT tenant_id, id FROM dead_letters
WHERE replayed_at IS NULL AND created_at < now() - $1::interval AND tenant_id <> ALL($3::uuid[])
ORDER BY created_at LIMIT $2`
	// deleteOldDeadLettersSQL looks again: a letter may have been replayed since.
	deleteOldDeadLettersSQL = `
DELETE FROM dead_letters
WHERE tenant_id = $1 AND id = ANY($2::bigint[]) AND coalesce(replayed_at, created_at) < now() - $3::interval`
)

// DeleteOldDeadLetters implements domain.DeadLetterRepository.
func (s *Store) DeleteOldDeadLetters(ctx context.Context, replayed, others time.Duration, limit int, except []uuid.UUID) (deleted int, blocked []uuid.UUID, err error) {
	for _, kind := range []struct {
		query string
		age   time.Duration
	}{{oldReplayedDeadLettersSQL, replayed}, {oldOtherDeadLettersSQL, others}} {
		if kind.age <= 0 || limit <= deleted {
			continue
		}
		skipped := append(append(make([]uuid.UUID, 0, len(except)+len(blocked)), except...), blocked...)
		old, err := s.oldDeadLetters(ctx, kind.query, kind.age, limit-deleted, skipped)
		if err != nil {
			return deleted, blocked, translate(err, "look for old dead letters")
		}
		for tenantID, ids := range old {
			n, err := s.deleteOldDeadLetters(ctx, tenantID, ids, kind.age)
			deleted += n
			if err != nil {
				if ctx.Err() != nil {
					return deleted, blocked, translate(err, "delete old dead letters")
				}
				blocked = append(blocked, tenantID)
			}
		}
	}
	return deleted, blocked, nil
}

func (s *Store) oldDeadLetters(ctx context.Context, query string, age time.Duration, limit int, except []uuid.UUID) (map[uuid.UUID][]int64, error) {
	rows, err := s.asSystem(s.general).Query(ctx, query, age, limit, postgres.UUIDs(except))
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	old := make(map[uuid.UUID][]int64)
	var tenantID uuid.UUID
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&tenantID, &id}, func() error {
		old[tenantID] = append(old[tenantID], id)
		return nil
	})
	return old, err //nolint:wrapcheck // translated by the caller
}

func (s *Store) deleteOldDeadLetters(ctx context.Context, tenantID uuid.UUID, ids []int64, age time.Duration) (int, error) {
	deleted := 0
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		tag, err := on.Exec(ctx, deleteOldDeadLettersSQL, tenantID, ids, age)
		deleted = int(tag.RowsAffected())
		return err //nolint:wrapcheck // only that there is one counts
	})
	return deleted, err
}

const waitingDeadLettersSQL = `SELECT tenant_id, waiting FROM dead_letter_counts WHERE waiting > 0`

// WaitingDeadLetters implements domain.DeadLetterRepository. It reads a row for
// each tenant, which triggers keep.
func (s *Store) WaitingDeadLetters(ctx context.Context) (map[uuid.UUID]int64, error) {
	waiting := make(map[uuid.UUID]int64)
	rows, err := s.asSystem(s.general).Query(ctx, waitingDeadLettersSQL)
	if err != nil {
		return nil, translate(err, "count waiting dead letters")
	}
	var id uuid.UUID
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &n}, func() error { waiting[id] = n; return nil }); err != nil {
		return nil, translate(err, "count waiting dead letters")
	}
	return waiting, nil
}
