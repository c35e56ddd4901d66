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
	rows, err := s.asSystem(s.general).Query(ctx, listRetentionsSQL)
	if err != nil {
		return nil, translate(err, "list retentions")
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[domain.Retention])
	if err != nil {
		return nil, translate(err, "list retentions")
	}
	return all, nil
}

// findFirstSQL finds where the history is to begin: at the first message that
// is young enough, but no further than a number of messages from where it begins
// now. There is no row where that is right already. The clock gives created_at in
// the order of seq, or nearly so: where it was set back, old messages stay until
// those before them are old too. The order makes the planner take the index of seq
// where nothing is known of the partition yet: PostgreSQL 17 finds either as good.
const findFirstSQL = `
SELECT kept.first
FROM tenant_streams s
CROSS JOIN LATERAL (
    SELECT coalesce(min(m.seq) FILTER (WHERE m.created_at >= now() - make_interval(days => $2)), max(m.seq) + 1) AS first
    FROM (
        SELECT seq, created_at FROM messages
        WHERE tenant_id = $1 AND seq >= s.first_seq AND seq < s.first_seq + $3
        ORDER BY seq
        LIMIT $3
    ) AS m
) AS kept
WHERE s.tenant_id = $1 AND s.first_seq < kept.first`

// The beginning of the history is moved together with the cursors that it passes.
// They are locked first, as by those who settle; the stream, which every append of
// the tenant locks, is locked for no longer than that.
const (
	lockTenantCursorsSQL = `SELECT FROM endpoint_cursors WHERE tenant_id = $1 ORDER BY endpoint_id FOR UPDATE`

	raiseFirstSQL = `UPDATE tenant_streams SET first_seq = $2 WHERE tenant_id = $1 AND first_seq < $2`

	passCursorsSQL = `
UPDATE endpoint_cursors c SET settled_seq = $2 - 1
FROM endpoint_cursors b
WHERE c.tenant_id = $1 AND c.settled_seq < $2 - 1 AND b.tenant_id = $1 AND b.endpoint_id = c.endpoint_id
RETURNING c.endpoint_id, $2 - 1 - b.settled_seq`

	// deleteOpenSQL deletes the open deliveries of messages before the beginning.
	// Those that waited behind one of them become due where they are the first
	// now: the parts of the statement do not see each other's changes.
	deleteOpenSQL = `
WITH gone AS (
    DELETE FROM deliveries d USING endpoint_cursors c
    WHERE c.tenant_id = $1 AND d.tenant_id = $1 AND d.endpoint_id = c.endpoint_id AND d.seq < $2
    RETURNING d.endpoint_id, d.ordering_key
), started AS (
    UPDATE deliveries d SET next_at = statement_timestamp()
    FROM (SELECT DISTINCT endpoint_id, ordering_key FROM gone WHERE ordering_key IS NOT NULL) AS k
    CROSS JOIN LATERAL (
        SELECT f.seq FROM deliveries f
        WHERE f.tenant_id = $1 AND f.endpoint_id = k.endpoint_id AND f.ordering_key = k.ordering_key AND f.seq >= $2
        ORDER BY f.seq LIMIT 1
    ) AS first
    WHERE d.tenant_id = $1 AND d.endpoint_id = k.endpoint_id AND d.seq = first.seq AND d.next_at IS NULL
)
SELECT endpoint_id, count(*) FROM gone GROUP BY endpoint_id`
)

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

// ExpireMessages implements domain.RetentionRepository. Readers know of the new
// beginning before anything is deleted; what a crash leaves undeleted the next call
// deletes.
func (s *Store) ExpireMessages(ctx context.Context, r domain.Retention, limit int) (domain.Expiry, error) {
	var expiry domain.Expiry
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{r.TenantID}, func(on session) error {
		var first int64
		err := on.QueryRow(ctx, findFirstSQL, r.TenantID, r.Days, int64(limit)).Scan(&first)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("look for the beginning: %w", err)
		}
		if err == nil {
			if expiry.Lost, err = raiseFirst(ctx, on, r.TenantID, first); err != nil {
				return fmt.Errorf("raise the beginning: %w", err)
			}
		}
		return deleteExpired(ctx, on, r.TenantID, int64(limit), &expiry)
	})
	return expiry, translate(err, "expire messages")
}

// raiseFirst moves the beginning of the history in a transaction that is sent at
// once, and returns how many messages each endpoint loses by that.
func raiseFirst(ctx context.Context, on session, tenantID uuid.UUID, first int64) (map[uuid.UUID]int64, error) {
	var lost map[uuid.UUID]int64
	count := func(rows pgx.Rows) error {
		var id uuid.UUID
		var n int64
		_, err := pgx.ForEachRow(rows, []any{&id, &n}, func() error {
			if lost == nil {
				lost = make(map[uuid.UUID]int64)
			}
			lost[id] += n
			return nil
		})
		return err //nolint:wrapcheck // wrapped by the caller
	}
	var batch pgx.Batch
	batch.Queue(lockTenantCursorsSQL, tenantID)
	batch.Queue(raiseFirstSQL, tenantID, first)
	batch.Queue(passCursorsSQL, tenantID, first).Query(count)
	batch.Queue(deleteOpenSQL, tenantID, first).Query(count)
	if err := on.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, err //nolint:wrapcheck // wrapped by the caller
	}
	return lost, nil
}

// deleteExpired deletes messages before the beginning of the history.
func deleteExpired(ctx context.Context, on session, tenantID uuid.UUID, limit int64, expiry *domain.Expiry) error {
	var first int64
	var lowest *int64
	err := on.QueryRow(ctx, findExpiredSQL, tenantID).Scan(&first, &lowest)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && lowest == nil {
		return nil // the tenant is gone, or nothing of it is old
	}
	if err != nil {
		return fmt.Errorf("look for expired messages: %w", err)
	}
	end := min(first, *lowest+limit)
	if err := on.QueryRow(ctx, deleteExpiredSQL, tenantID, *lowest, end).Scan(&expiry.Deleted); err != nil {
		return fmt.Errorf("delete messages: %w", err)
	}
	expiry.More = end < first || int64(expiry.Deleted) >= limit
	return nil
}
