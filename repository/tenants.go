package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"lanekeeper/domain"
)

const tenantColumns = `
    id, name, description, status, target, workers, paused, user_id, retention_days, discarded,
    created_at, updated_at, deleted_at`

const insertTenantSQL = `
INSERT INTO tenants (id, name, description, status, target, workers, paused, user_id, retention_days, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10, now()), coalesce($11, now()))
ON CONFLICT (id) DO NOTHING`

// InsertTenant implements domain.TenantRepository.
func (s *Store) InsertTenant(ctx context.Context, t domain.Tenant) error {
	err := s.shared(ctx, uuid.Nil, func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, insertTenantSQL, t.ID, t.Name, t.Description, string(t.Status), string(t.Target),
			t.Workers, t.Stopped, nullID(t.OwnerID), t.RetentionDays, nullTime(t.CreatedAt), nullTime(t.UpdatedAt))
		return err //nolint:wrapcheck // translated below
	})
	return translate(err, "insert tenant")
}

const findTenantSQL = `SELECT ` + tenantColumns + ` FROM tenants WHERE id = $1`

// FindTenant implements domain.TenantRepository.
func (s *Store) FindTenant(ctx context.Context, id uuid.UUID) (domain.Tenant, error) {
	t, err := scanTenant(s.callers.QueryRow(ctx, findTenantSQL, id))
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.Tenant{}, domain.TenantNotFound()
	}
	return t, translate(err, "find tenant")
}

const listTenantsSQL = `
SELECT ` + tenantColumns + `
FROM tenants
WHERE id > $1 AND status = ANY($2::text[]) AND ($3::boolean OR user_id = $4 OR id = $5)
ORDER BY id
LIMIT $6`

// ListTenants implements domain.TenantRepository.
func (s *Store) ListTenants(ctx context.Context, q domain.TenantQuery) ([]domain.Tenant, error) {
	if q.Limit <= 0 {
		return nil, nil
	}
	statuses := q.Statuses
	if len(statuses) == 0 {
		statuses = []domain.TenantStatus{domain.TenantProvisioning, domain.TenantActive, domain.TenantInactive, domain.TenantDeleting}
	}
	names := make([]string, len(statuses))
	for i, status := range statuses {
		names[i] = string(status)
	}
	all := q.VisibleTo == nil || q.VisibleTo.Role == domain.RoleAdmin
	var owner, own uuid.NullUUID
	if !all {
		owner, own = nullID(q.VisibleTo.UserID), nullID(q.VisibleTo.TenantID)
	}
	var tenants []domain.Tenant
	err := s.shared(ctx, uuid.Nil, func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, listTenantsSQL, q.After, names, all, owner, own, q.Limit)
		if err != nil {
			return fmt.Errorf("query tenants: %w", err)
		}
		tenants, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (domain.Tenant, error) { return scanTenant(row) })
		return err //nolint:wrapcheck // translated below
	})
	if err != nil {
		return nil, translate(err, "list tenants")
	}
	return tenants, nil
}

const lockTenantRowSQL = `
SELECT ` + tenantColumns + ` FROM tenants WHERE id = $1 AND status <> 'deleted' FOR UPDATE`

const updateTenantSQL = `
UPDATE tenants
SET name = $2, description = $3, status = $4, target = $5, workers = $6, paused = $7, retention_days = $8, discarded = $9,
    updated_at = statement_timestamp(),
    deleted_at = CASE WHEN $4 = 'deleted' THEN coalesce(deleted_at, statement_timestamp()) END
WHERE id = $1
RETURNING ` + tenantColumns

// ChangeTenant implements domain.TenantRepository.
func (s *Store) ChangeTenant(ctx context.Context, id uuid.UUID, change func(*domain.Tenant) error) (domain.Tenant, error) {
	var t domain.Tenant
	var refused error
	err := s.sharedTransaction(ctx, id, func(tx pgx.Tx) error {
		var err error
		if t, err = scanTenant(tx.QueryRow(ctx, lockTenantRowSQL, id)); err != nil {
			return err
		}
		if refused = change(&t); refused != nil {
			return refused
		}
		t, err = scanTenant(tx.QueryRow(ctx, updateTenantSQL, id, t.Name, t.Description, string(t.Status), string(t.Target),
			t.Workers, t.Stopped, t.RetentionDays, t.Discarded))
		return err
	})
	switch {
	case refused != nil:
		return domain.Tenant{}, refused
	case errors.Is(err, pgx.ErrNoRows):
		return domain.Tenant{}, domain.TenantNotFound()
	case err != nil:
		return domain.Tenant{}, translate(err, "change tenant")
	}
	return t, nil
}

// Whoever sets many rows locks them in the order of their ids.
const setAllStoppedSQL = `
WITH chosen AS MATERIALIZED (
    SELECT id FROM tenants WHERE paused <> $1 AND status IN ('provisioning', 'active', 'inactive') ORDER BY id FOR UPDATE
)
UPDATE tenants t SET paused = $1, updated_at = statement_timestamp()
FROM chosen WHERE t.id = chosen.id AND t.paused <> $1
RETURNING t.id`

// SetAllStopped implements domain.TenantRepository.
func (s *Store) SetAllStopped(ctx context.Context, stopped bool) ([]uuid.UUID, error) {
	rows, err := s.general.Query(ctx, setAllStoppedSQL, stopped)
	if err != nil {
		return nil, translate(err, "stop or start all consumers")
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, translate(err, "stop or start all consumers")
	}
	return ids, nil
}

func scanTenant(row pgx.Row) (domain.Tenant, error) {
	var t domain.Tenant
	var status, target string
	var owner uuid.NullUUID
	var deletedAt *time.Time
	err := row.Scan(
		&t.ID, &t.Name, &t.Description, &status, &target, &t.Workers, &t.Stopped, &owner, &t.RetentionDays, &t.Discarded,
		&t.CreatedAt, &t.UpdatedAt, &deletedAt,
	)
	if err != nil {
		return domain.Tenant{}, err
	}
	t.Status, t.Target = domain.TenantStatus(status), domain.TenantStatus(target)
	t.OwnerID = owner.UUID
	t.CreatedAt, t.UpdatedAt = t.CreatedAt.UTC(), t.UpdatedAt.UTC()
	if deletedAt != nil {
		t.DeletedAt = deletedAt.UTC()
	}
	return t, nil
}

// nullID and nullTime turn zero values into NULL.
func nullID(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: id != uuid.Nil} }

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func nullText(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
