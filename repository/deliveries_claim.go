package repository

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

// A claim is one transaction. It locks the claims, then the cursors and then the
// tenants, each in the order of their keys. A settlement locks its cursors first
// and then looks at the claim, so either it is waited for, or it sees the new
// epoch and does nothing. Who has not committed its heartbeat when a claim is
// locked cannot have it: so the look at who is there comes after the lock.
const (
	// makeClaimsSQL makes claims of nobody for tenants that never had one.
	makeClaimsSQL = `
INSERT INTO delivery_claims (tenant_id, owner, epoch)
SELECT t.id, '', 0 FROM tenants t
WHERE t.id = ANY($1::uuid[]) AND t.status NOT IN ('deleting', 'deleted')
  AND NOT EXISTS (SELECT FROM delivery_claims c WHERE c.tenant_id = t.id)
ORDER BY t.id
ON CONFLICT (tenant_id) DO NOTHING`

	lockClaimsSQL = `SELECT FROM delivery_claims WHERE tenant_id = ANY($1::uuid[]) ORDER BY tenant_id FOR UPDATE`

	takeClaimsSQL = `
UPDATE delivery_claims c SET owner = $2, epoch = c.epoch + 1
WHERE c.tenant_id = ANY($1::uuid[])
  AND (c.owner IN ('', $2) OR NOT EXISTS (SELECT FROM deliverers d WHERE d.name = c.owner AND d.seen_at > statement_timestamp() - $3::interval))`

	lockClaimedCursorsSQL = `
SELECT FROM endpoint_cursors e
WHERE e.tenant_id = ANY(ARRAY(
    SELECT c.tenant_id FROM delivery_claims c WHERE c.tenant_id = ANY($1::uuid[]) AND c.owner = $2
))
ORDER BY e.tenant_id, e.endpoint_id
FOR UPDATE`

	// refuseClaimsSQL deletes the claims of tenants that are being deleted. Their
	// status cannot change any more before the claim is committed, so their
	// erasure finds all there are.
	refuseClaimsSQL = `
WITH alive AS MATERIALIZED (
    SELECT id FROM tenants WHERE id = ANY($1::uuid[]) AND status NOT IN ('deleting', 'deleted') ORDER BY id FOR SHARE
)
DELETE FROM delivery_claims c WHERE c.tenant_id = ANY($1::uuid[]) AND c.tenant_id NOT IN (SELECT id FROM alive)`

	findClaimsSQL = `SELECT tenant_id, epoch FROM delivery_claims WHERE tenant_id = ANY($1::uuid[]) AND owner = $2 ORDER BY tenant_id`
)

// ClaimDeliveries implements domain.DeliveryRepository. Tenants whose claim or
// cursors others keep locked are left out.
func (s *Store) ClaimDeliveries(ctx context.Context, name string, tenantIDs []uuid.UUID, ttl time.Duration) ([]domain.DeliveryClaim, error) {
	claims, err := s.claimDeliveries(ctx, name, tenantIDs, ttl)
	if err == nil || postgres.Classify(err) != postgres.ClassContended || ctx.Err() != nil {
		return claims, translate(err, "claim deliveries")
	}
	if len(tenantIDs) == 1 {
		return nil, nil
	}
	// Whoever is locked is found by halving.
	for _, part := range [][]uuid.UUID{tenantIDs[:len(tenantIDs)/2], tenantIDs[len(tenantIDs)/2:]} {
		some, err := s.ClaimDeliveries(ctx, name, part, ttl)
		claims = append(claims, some...)
		if err != nil {
			return claims, err
		}
	}
	return claims, nil
}

func (s *Store) claimDeliveries(ctx context.Context, name string, tenantIDs []uuid.UUID, ttl time.Duration) ([]domain.DeliveryClaim, error) {
	var claims []domain.DeliveryClaim
	err := s.WithTenant(ctx, deliveryAccess, tenantIDs, func(tx session) error {
		ids := postgres.UUIDs(tenantIDs)
		var batch pgx.Batch
		batch.Queue(beginSQL)
		batch.Queue(makeClaimsSQL, ids)
		batch.Queue(lockClaimsSQL, ids)
		batch.Queue(takeClaimsSQL, ids, name, ttl)
		batch.Queue(lockClaimedCursorsSQL, ids, name)
		batch.Queue(refuseClaimsSQL, ids)
		batch.Queue(findClaimsSQL, ids, name).Query(func(rows pgx.Rows) error {
			var err error
			claims, err = pgx.CollectRows(rows, pgx.RowToStructByPos[domain.DeliveryClaim])
			return err //nolint:wrapcheck // wrapped below
		})
		batch.Queue(commitSQL)
		if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
			return fmt.Errorf("claim: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return claims, nil
}

const ownClaimsSQL = `SELECT tenant_id, epoch FROM delivery_claims WHERE owner = $1 ORDER BY tenant_id`

// DeliveryClaims implements domain.DeliveryRepository. It reads the whole table,
// which has a row for each tenant with endpoints.
func (s *Store) DeliveryClaims(ctx context.Context, name string) ([]domain.DeliveryClaim, error) {
	rows, err := s.asSystem(s.deliveries).Query(ctx, ownClaimsSQL, name)
	if err != nil {
		return nil, translate(err, "list the claims of a replica")
	}
	claims, err := pgx.CollectRows(rows, pgx.RowToStructByPos[domain.DeliveryClaim])
	return claims, translate(err, "list the claims of a replica")
}

// releaseClaimsSQL locks the claims in the order in which they are given, which is
// that of their ids: claims are locked in the same.
const releaseClaimsSQL = `
WITH given AS MATERIALIZED (
    SELECT r.tenant_id
    FROM unnest($2::uuid[], $3::bigint[]) AS r (tenant_id, epoch)
    CROSS JOIN LATERAL (
        SELECT FROM delivery_claims c WHERE c.tenant_id = r.tenant_id AND c.owner = $1 AND c.epoch = r.epoch FOR UPDATE
    ) AS locked
), released AS (
    UPDATE delivery_claims SET owner = '' WHERE tenant_id = ANY (ARRAY(SELECT tenant_id FROM given)) RETURNING tenant_id
)
SELECT count(pg_notify('lanekeeper_changes', 'deliveries:' || tenant_id)::text) FROM released`

// ReleaseDeliveries implements domain.DeliveryRepository.
func (s *Store) ReleaseDeliveries(ctx context.Context, name string, claims []domain.DeliveryClaim) error {
	claims = slices.Clone(claims)
	slices.SortFunc(claims, func(a, b domain.DeliveryClaim) int { return bytes.Compare(a.TenantID[:], b.TenantID[:]) })
	ids, epochs := make([]uuid.UUID, len(claims)), make([]int64, len(claims))
	for i, c := range claims {
		ids[i], epochs[i] = c.TenantID, c.Epoch
	}
	err := s.WithTenant(ctx, deliveryAccess, ids, func(on session) error {
		_, err := on.Exec(ctx, releaseClaimsSQL, name, postgres.UUIDs(ids), epochs)
		return err
	})
	return translate(err, "release deliveries")
}
