package repository

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
)

// Alone implements domain.RetentionRepository. When the connection that holds
// the lock breaks, fn is not told: what runs under this lock must be safe to
// run twice.
func (s *Store) Alone(ctx context.Context, purpose string, fn func(context.Context) error) (bool, error) {
	key := lockKey(purpose, uuid.Nil)
	conn, err := tryLock(ctx, s.locks, key)
	if err != nil {
		return false, translate(err, "lock "+purpose)
	}
	if conn == nil {
		return false, nil
	}
	defer releaseLock(ctx, conn, key)
	return true, fn(ctx)
}

const listRetentionsSQL = `
SELECT id, retention_days FROM tenants WHERE retention_days > 0 AND status IN ('active', 'inactive') ORDER BY id`

// ListRetentions implements domain.RetentionRepository.
func (s *Store) ListRetentions(ctx context.Context) ([]domain.Retention, error) {
	rows, err := s.general.Query(ctx, listRetentionsSQL)
	if err != nil {
		return nil, translate(err, "list retentions")
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[domain.Retention])
	if err != nil {
		return nil, translate(err, "list retentions")
	}
	return all, nil
}

// raiseFirstSQL moves the beginning of the history to the first message that
// is young enough, but no further than a number of messages. The clock gives
// created_at in the order of seq, or nearly so: where it was set back, old
// messages stay until those before them are old too. The stream, which every
// append of the tenant locks, is locked for no longer than the update.
const raiseFirstSQL = `
WITH kept AS (
    SELECT coalesce(min(m.seq) FILTER (WHERE m.created_at >= now() - make_interval(days => $2)), max(m.seq) + 1) AS first
    FROM tenant_streams s
    JOIN messages m ON m.seq >= s.first_seq AND m.seq < s.first_seq + $3
    WHERE s.tenant_id = $1 AND m.tenant_id = $1
)
UPDATE tenant_streams s SET first_seq = kept.first
FROM kept WHERE s.tenant_id = $1 AND s.first_seq < kept.first`

const findExpiredSQL = `
SELECT s.first_seq, (SELECT m.seq FROM messages m WHERE m.tenant_id = $1 AND m.seq < s.first_seq ORDER BY m.seq LIMIT 1)
FROM tenant_streams s
WHERE s.tenant_id = $1`

const deleteExpiredSQL = `
WITH expired AS (
    DELETE FROM messages WHERE tenant_id = $1 AND seq >= $2 AND seq < $3 RETURNING id
), forgotten AS (
    DELETE FROM transmissions WHERE tenant_id = $1 AND message_id = ANY (ARRAY(SELECT id FROM expired))
)
SELECT count(*) FROM expired`

// ExpireMessages implements domain.RetentionRepository. Each of its statements
// is a transaction of its own, and readers know of the new beginning before
// anything is deleted; what a crash leaves undeleted the next call deletes.
func (s *Store) ExpireMessages(ctx context.Context, r domain.Retention, limit int) (deleted int, more bool, err error) {
	err = s.WithTenant(ctx, queryAccess, []uuid.UUID{r.TenantID}, func(on session) error {
		if _, err := on.Exec(ctx, raiseFirstSQL, r.TenantID, r.Days, int64(limit)); err != nil {
			return fmt.Errorf("raise the beginning: %w", err)
		}
		var first int64
		var lowest *int64
		err := on.QueryRow(ctx, findExpiredSQL, r.TenantID).Scan(&first, &lowest)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && lowest == nil {
			return nil // the tenant is gone, or nothing of it is old
		}
		if err != nil {
			return fmt.Errorf("look for expired messages: %w", err)
		}
		end := min(first, *lowest+int64(limit))
		if err := on.QueryRow(ctx, deleteExpiredSQL, r.TenantID, *lowest, end).Scan(&deleted); err != nil {
			return fmt.Errorf("delete messages: %w", err)
		}
		more = end < first || deleted >= limit
		return nil
	})
	return deleted, more, translate(err, "expire messages")
}
