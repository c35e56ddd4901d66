package repository

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

// endpointChunk is how many rows of an endpoint that is gone one statement deletes.
const endpointChunk = 5000

// Cursors are locked before endpoints, as by those who settle: what they began under
// the old version is over when a change begins.
const (
	lockCursorSQL   = `SELECT settled_seq FROM endpoint_cursors WHERE tenant_id = $1 AND endpoint_id = $2 FOR UPDATE`
	lockEndpointSQL = findEndpointSQL + ` FOR UPDATE`
)

// updateEndpointSQL leaves what is encrypted as it is where $21 says so, because
// nobody can read it, and with $22 forgets how the endpoint failed before.
const updateEndpointSQL = `
WITH changed AS (
    UPDATE endpoints
    SET external_id = $3, url = $4, description = $5, types = $6, timeout_ms = $7, concurrency = $8, rate = $9, ordering = $10,
        on_failure = $11, retry_schedule_ms = $12, retry_final = $13,
        headers = CASE WHEN $21::boolean THEN headers ELSE $14 END,
        secret = CASE WHEN $21 THEN secret ELSE $15 END,
        old_secret = CASE WHEN $21 THEN old_secret ELSE $16 END,
        old_secret_until = CASE WHEN $21 THEN old_secret_until ELSE $17 END,
        sealed_with = CASE WHEN $21 THEN sealed_with ELSE $18 END,
        status = $19, status_reason = $20, version = nextval('endpoint_versions'), updated_at = statement_timestamp()
    WHERE tenant_id = $1 AND id = $2
    RETURNING *
), noticed AS (
    UPDATE endpoint_cursors c
    SET version = e.version,
        breaker_opened_at = CASE WHEN $22::boolean THEN NULL ELSE c.breaker_opened_at END,
        failing_since = CASE WHEN $22 THEN NULL ELSE c.failing_since END
    FROM changed e WHERE c.tenant_id = e.tenant_id AND c.endpoint_id = e.id
)
SELECT ` + endpointColumns + ` FROM changed e`

// ChangeEndpoint implements domain.EndpointRepository.
func (s *Store) ChangeEndpoint(ctx context.Context, tenantID, id uuid.UUID, change func(*domain.Endpoint) error) (domain.Endpoint, error) {
	var changed endpointRow
	var refused error
	err := s.sharedTransaction(ctx, tenantID, func(tx pgx.Tx) error {
		before, err := s.lockEndpoint(ctx, tx, tenantID, id)
		if err != nil {
			return err
		}
		after := before
		if refused = change(&after); refused != nil {
			return refused
		}
		values, err := s.endpointValues(&after)
		if err != nil {
			return err
		}
		values = append(values, after.StatusReason, after.Unreadable, after.StartsAfresh(&before))
		if err := tx.QueryRow(ctx, updateEndpointSQL, values...).Scan(changed.targets()...); err != nil {
			return fmt.Errorf("update: %w", err)
		}
		was, is := domain.Changes(domain.FactsOfEndpoint(&before), domain.FactsOfEndpoint(&after))
		return record(ctx, tx, domain.AuditEntry{
			Action: domain.AuditOfEndpoint(&before, &after), TenantID: tenantID, Target: id.String(), Before: was, After: is,
		})
	})
	constraint, taken := postgres.UniqueViolation(err)
	switch {
	case refused != nil:
		return domain.Endpoint{}, refused
	case taken && constraint == externalIDConstraint:
		return domain.Endpoint{}, externalIDTaken(err)
	case err != nil:
		return domain.Endpoint{}, translate(err, "change endpoint")
	}
	return s.readEndpoint(&changed), nil
}

// lockEndpoint locks the endpoint and its cursor, and returns it as it is. The error
// is an ErrNotFound when it is gone.
func (s *Store) lockEndpoint(ctx context.Context, on session, tenantID, id uuid.UUID) (domain.Endpoint, error) {
	var batch pgx.Batch
	batch.Queue(lockCursorSQL, tenantID, id)
	batch.Queue(lockEndpointSQL, tenantID, id)
	results := on.SendBatch(ctx, &batch)
	defer results.Close()
	if _, err := results.Exec(); err != nil {
		return domain.Endpoint{}, fmt.Errorf("lock cursor: %w", err)
	}
	var row endpointRow
	err := results.QueryRow().Scan(row.targets()...)
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.Endpoint{}, domain.EndpointNotFound()
	}
	if err != nil {
		return domain.Endpoint{}, fmt.Errorf("lock endpoint: %w", err)
	}
	return s.readEndpoint(&row), nil
}

// Without its cursor nothing can be settled for an endpoint: no row is added after
// this.
const (
	deleteCursorSQL   = `DELETE FROM endpoint_cursors WHERE tenant_id = $1 AND endpoint_id = $2`
	deleteEndpointSQL = `DELETE FROM endpoints WHERE tenant_id = $1 AND id = $2`
	endpointLagSQL    = `
SELECT s.last_seq - c.settled_seq + (SELECT count(*) FROM deliveries WHERE tenant_id = $1 AND endpoint_id = $2 AND seq <= c.settled_seq)
FROM endpoint_cursors c JOIN tenant_streams s ON s.tenant_id = c.tenant_id
WHERE c.tenant_id = $1 AND c.endpoint_id = $2`
	deleteReplaysSQL    = `DELETE FROM replays WHERE tenant_id = $1 AND endpoint_id = $2`
	deleteDeliveriesSQL = `
DELETE FROM deliveries
WHERE ctid = ANY (ARRAY(SELECT ctid FROM deliveries WHERE tenant_id = $1 AND endpoint_id = $2 LIMIT $3))`
)

// DeleteEndpoint implements domain.EndpointRepository. Open deliveries are deleted in
// chunks, the first of them together with the endpoint: those of others wait for
// whoever holds its cursor. What a failure leaves of them nobody reads, and it goes
// with the tenant.
func (s *Store) DeleteEndpoint(ctx context.Context, tenantID, id uuid.UUID) (open int64, err error) {
	var gone bool
	var left int64
	err = s.sharedTransaction(ctx, tenantID, func(tx pgx.Tx) error {
		var batch pgx.Batch
		batch.Queue(lockCursorSQL, tenantID, id)
		batch.Queue(endpointLagSQL, tenantID, id)
		batch.Queue(deleteCursorSQL, tenantID, id)
		batch.Queue(deleteEndpointSQL, tenantID, id)
		batch.Queue(deleteReplaysSQL, tenantID, id)
		batch.Queue(deleteDeliveriesSQL, tenantID, id, endpointChunk)
		results := tx.SendBatch(ctx, &batch)
		defer results.Close()
		if _, err := results.Exec(); err != nil {
			return fmt.Errorf("lock cursor: %w", err)
		}
		if err := results.QueryRow().Scan(&open); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("count what is open: %w", err)
		}
		for i := range 4 {
			tag, err := results.Exec()
			if err != nil {
				return fmt.Errorf("delete: %w", err)
			}
			left = tag.RowsAffected()
			gone = gone || i == 1 && left > 0
		}
		if err := results.Close(); err != nil || !gone {
			return err //nolint:wrapcheck // translated below
		}
		return record(ctx, tx, domain.AuditEntry{
			Action: domain.AuditEndpointDelete, TenantID: tenantID, Target: id.String(), Before: domain.Facts{"open": open},
		})
	})
	if err == nil && !gone {
		err = domain.EndpointNotFound()
	}
	for err == nil && left == endpointChunk {
		err = s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
			tag, err := on.Exec(ctx, deleteDeliveriesSQL, tenantID, id, endpointChunk)
			left = tag.RowsAffected()
			return err
		})
	}
	return open, translate(err, "delete endpoint")
}
