package repository

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

var _ domain.ReturnedMessages = (*Store)(nil)

const upgradedTenantsSQL = `SELECT tenant_id FROM upgraded_endpoints`

// lockUpgradedSQL locks the cursor of the endpoint that a tenant had, if it still has
// it, as everybody does who opens deliveries.
const lockUpgradedSQL = `
SELECT FROM endpoint_cursors c
WHERE (c.tenant_id, c.endpoint_id) IN (SELECT u.tenant_id, u.endpoint_id FROM upgraded_endpoints u WHERE u.tenant_id = $1)
FOR UPDATE`

// openReturnedSQL opens deliveries of messages that came back. What was recorded as
// failed was given up only if there is the dead letter, and that was not replayed:
// the letter was published afterwards, and a replay was a message in the queue. Of
// another round of a message that has a letter of its own the round is the next, so
// that its letter is another one, too.
const openReturnedSQL = `
WITH returned AS MATERIALIZED (
    SELECT m.id, m.seq, u.endpoint_id
    FROM messages m JOIN upgraded_endpoints u ON u.tenant_id = m.tenant_id AND m.seq <= u.up_to
    WHERE m.tenant_id = $1 AND m.id = ANY($2::uuid[])
), given_up AS MATERIALIZED (
    SELECT t.message_id FROM transmissions t
    WHERE t.tenant_id = $1 AND t.message_id = ANY($2::uuid[]) AND t.state = 'failed' AND t.message_id::text IN (
        SELECT l.message_id FROM dead_letters l
        WHERE l.tenant_id = $1 AND l.replayed_at IS NULL AND l.endpoint_id IS NULL AND l.reason IN ('transmit_failed', 'endpoint_paused'))
), moved AS (
    INSERT INTO transmissions AS t (tenant_id, message_id, state, attempts)
    SELECT $1, r.id, 'moved', 0
    FROM returned r
    JOIN endpoint_cursors c ON c.tenant_id = $1 AND c.endpoint_id = r.endpoint_id
    WHERE r.id NOT IN (SELECT message_id FROM given_up)
    ORDER BY r.id
    ON CONFLICT (tenant_id, message_id) DO UPDATE SET
        state = excluded.state, attempts = CASE t.state WHEN 'failed' THEN 0 ELSE t.attempts END, updated_at = statement_timestamp()
    WHERE t.state NOT IN ('succeeded', 'moved')
    RETURNING message_id, attempts, last_status
), opened AS (
    INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id, attempts, round, last_status, next_at)
    SELECT $1, r.endpoint_id, r.seq, r.id, m.attempts,
           coalesce((SELECT max(l.round) + 1 FROM dead_letters l WHERE l.tenant_id = $1 AND l.endpoint_id = r.endpoint_id AND l.seq = r.seq), 0),
           m.last_status, statement_timestamp()
    FROM moved m JOIN returned r ON r.id = m.message_id
    ON CONFLICT (tenant_id, endpoint_id, seq) DO NOTHING
    RETURNING seq
), announced AS MATERIALIZED (
    SELECT pg_notify('lanekeeper_changes', 'deliveries:' || $1::uuid)::text AS done WHERE EXISTS (SELECT FROM opened)
)
SELECT r.id, (SELECT count(done) FROM announced) FROM returned r`

// Returned implements domain.ReturnedMessages. Which tenants were upgraded is read
// once: nobody adds to them after the migration. Whether a message was stored before
// it is asked of the database.
func (s *Store) Returned(ctx context.Context, tenantID uuid.UUID, ids []uuid.UUID) ([]uuid.UUID, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	upgraded, err := s.upgradedTenants(ctx)
	if err != nil {
		return nil, translate(err, "read which tenants were upgraded")
	}
	if _, ok := upgraded[tenantID]; !ok {
		return nil, nil
	}
	var earlier []uuid.UUID
	err = s.WithTenant(ctx, deliveryAccess, []uuid.UUID{tenantID}, func(tx session) error {
		var batch pgx.Batch
		batch.Queue(beginSQL)
		batch.Queue(lockUpgradedSQL, tenantID)
		batch.Queue(openReturnedSQL, tenantID, postgres.UUIDs(ids)).Query(func(rows pgx.Rows) error {
			var id uuid.UUID
			var announced int64
			_, err := pgx.ForEachRow(rows, []any{&id, &announced}, func() error { earlier = append(earlier, id); return nil })
			return err //nolint:wrapcheck // wrapped below
		})
		batch.Queue(commitSQL)
		if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
			return fmt.Errorf("open deliveries: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, translate(err, "take back messages of an earlier version")
	}
	return earlier, nil
}

// upgradedTenants returns the tenants that had an endpoint before the upgrade.
func (s *Store) upgradedTenants(ctx context.Context) (map[uuid.UUID]struct{}, error) {
	if known := s.upgraded.Load(); known != nil {
		return *known, nil
	}
	rows, err := s.asSystem(s.deliveries).Query(ctx, upgradedTenantsSQL)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	upgraded := make(map[uuid.UUID]struct{})
	var id uuid.UUID
	if _, err := pgx.ForEachRow(rows, []any{&id}, func() error { upgraded[id] = struct{}{}; return nil }); err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	s.upgraded.Store(&upgraded)
	return upgraded, nil
}
