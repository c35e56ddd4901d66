package repository

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

const deliveryTargetsSQL = `
SELECT ` + endpointColumns + `, t.workers, t.user_id
FROM tenants t JOIN endpoints e ON e.tenant_id = t.id
WHERE t.id = ANY($1::uuid[]) AND t.status NOT IN ('deleting', 'deleted')
ORDER BY e.tenant_id, e.created_at, e.id`

// DeliveryTargets implements domain.DeliveryRepository.
func (s *Store) DeliveryTargets(ctx context.Context, tenantIDs []uuid.UUID) ([]domain.DeliveryTarget, error) {
	var targets []domain.DeliveryTarget
	err := s.WithTenant(ctx, deliveryAccess, tenantIDs, func(on session) error {
		rows, err := on.Query(ctx, deliveryTargetsSQL, postgres.UUIDs(tenantIDs))
		if err != nil {
			return fmt.Errorf("query endpoints: %w", err)
		}
		targets, err = pgx.CollectRows(rows, s.scanTarget)
		return err //nolint:wrapcheck // translated below
	})
	if err != nil {
		return nil, translate(err, "read the endpoints of tenants")
	}
	return targets, nil
}

func (s *Store) scanTarget(row pgx.CollectableRow) (domain.DeliveryTarget, error) {
	var r endpointRow
	var workers int
	var ownerID *uuid.UUID
	if err := row.Scan(append(r.targets(), &workers, &ownerID)...); err != nil {
		return domain.DeliveryTarget{}, err //nolint:wrapcheck // the caller says what was read
	}
	target := domain.DeliveryTarget{Endpoint: s.readEndpoint(&r), Workers: workers}
	if ownerID != nil {
		target.OwnerID = *ownerID
	}
	if target.Unreadable && target.Status == domain.EndpointActive {
		target.Status, target.StatusReason = domain.EndpointDisabled, domain.StatusUnreadable
	}
	return target, nil
}
