package repository

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

const tenantColumns = `
    id, name, description, status, target, workers, paused, user_id, retention_days, external_id, metadata, discarded,
    portal_version, created_at, updated_at, deleted_at`

const insertTenantSQL = `
INSERT INTO tenants (id, name, description, status, target, workers, paused, user_id, retention_days, created_at, updated_at, external_id, metadata)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10, now()), coalesce($11, now()), $12, $13)
ON CONFLICT (id) DO NOTHING`

// InsertTenant implements domain.TenantRepository.
func (s *Store) InsertTenant(ctx context.Context, t domain.Tenant, admit func(domain.OwnerUse) error) error {
	var refused error
	limited := admit != nil && t.OwnerID != uuid.Nil
	err := s.ownersTransaction(ctx, uuid.Nil, t.ID, limited, func(tx pgx.Tx) error {
		if limited {
			use, err := lockOwner(ctx, tx, t.OwnerID, t.ID)
			if err != nil {
				return err
			}
			if refused = admit(use); refused != nil {
				known := false
				if err := tx.QueryRow(ctx, tenantExistsSQL, t.ID).Scan(&known); err != nil {
					return fmt.Errorf("look for tenant: %w", err)
				}
				if !known {
					return refused
				}
				refused = nil
			}
		}
		tag, err := tx.Exec(ctx, insertTenantSQL, t.ID, t.Name, t.Description, string(t.Status), string(t.Target),
			t.Workers, t.Stopped, nullID(t.OwnerID), t.RetentionDays, nullTime(t.CreatedAt), nullTime(t.UpdatedAt),
			nullText(t.ExternalID), metadataOf(&t))
		if err != nil || tag.RowsAffected() == 0 {
			return err //nolint:wrapcheck // translated below
		}
		return record(ctx, tx, domain.AuditEntry{Action: domain.AuditTenantCreate, TenantID: t.ID, After: domain.FactsOfTenant(&t)})
	})
	if refused != nil {
		return refused
	}
	return translateTenant(err, "insert tenant")
}

const tenantExternalIDConstraint = "tenants_external_id_key"

// translateTenant is translate for what writes a tenant.
func translateTenant(err error, verb string) error {
	if constraint, taken := postgres.UniqueViolation(err); taken && constraint == tenantExternalIDConstraint {
		return domain.ExternalIDTaken(err)
	}
	return translate(err, verb)
}

const findTenantSQL = `SELECT ` + tenantColumns + ` FROM tenants WHERE id = $1`

// FindTenant implements domain.TenantRepository.
func (s *Store) FindTenant(ctx context.Context, id uuid.UUID) (domain.Tenant, error) {
	t, err := scanTenant(s.lookUp(s.callers, id).QueryRow(ctx, findTenantSQL, id))
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.Tenant{}, domain.TenantNotFound()
	}
	return t, translate(err, "find tenant")
}

// ownerSQL is the owner of a tenant as it is indexed, in which nobody is the zero id.
const ownerSQL = `coalesce(user_id, '00000000-0000-0000-0000-000000000000')`

const findTenantByExternalIDSQL = `
SELECT ` + tenantColumns + ` FROM tenants
WHERE external_id = $1 AND ` + ownerSQL + ` = $2 AND status NOT IN ('deleting', 'deleted')`

// FindTenantByExternalID implements domain.TenantRepository. It sees all rows, because
// which tenant it is about is the question.
func (s *Store) FindTenantByExternalID(ctx context.Context, owner uuid.UUID, externalID string) (domain.Tenant, error) {
	t, err := scanTenant(s.asSystem(s.callers).QueryRow(ctx, findTenantByExternalIDSQL, externalID, owner))
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.Tenant{}, domain.TenantNotFound()
	}
	return t, translate(err, "find tenant by its external id")
}

// resolveTenantSQL finds what a caller may access, its own tenant first. Two rows are
// enough to know that there are several.
const resolveTenantSQL = `
SELECT id, ` + ownerSQL + ` = coalesce($2::uuid, '00000000-0000-0000-0000-000000000000') AS own
FROM tenants
WHERE external_id = $1 AND status NOT IN ('deleting', 'deleted')
  AND ($3::boolean OR user_id = $2 OR id = $4 OR $5::boolean AND user_id IS NULL) AND ($6::uuid IS NULL OR id = $6)
ORDER BY own DESC
LIMIT 2`

// ResolveTenant implements domain.TenantResolver. It sees all rows, because which
// tenant it is about is the question.
func (s *Store) ResolveTenant(ctx context.Context, p domain.Principal, externalID string) (uuid.UUID, error) {
	see := sightOf(&p)
	rows, err := s.asSystem(s.callers).Query(ctx, resolveTenantSQL, externalID, see.owner, see.all, see.own, see.ownerless, see.only)
	if err != nil {
		return uuid.Nil, translate(err, "resolve external id")
	}
	var id, found uuid.UUID
	var own, foundOwn bool
	count := 0
	_, err = pgx.ForEachRow(rows, []any{&id, &own}, func() error {
		if count++; count == 1 {
			found, foundOwn = id, own
		}
		return nil
	})
	switch {
	case err != nil:
		return uuid.Nil, translate(err, "resolve external id")
	case count == 0:
		return uuid.Nil, domain.TenantNotFound()
	case count > 1 && !foundOwn:
		return uuid.Nil, domain.ExternalIDAmbiguous()
	}
	return found, nil
}

const listTenantsSQL = `
SELECT ` + tenantColumns + `
FROM tenants
WHERE id > $1 AND status = ANY($2::text[]) AND ($3::boolean OR user_id = $4 OR id = $5 OR $6::boolean AND user_id IS NULL)
  AND ($7::uuid IS NULL OR id = $7)`

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
	see := sightOf(q.VisibleTo)
	query, args := listTenantsSQL, []any{q.After, names, see.all, see.owner, see.own, see.ownerless, see.only, q.Limit}
	// What is not asked for is no condition: one that is always there cannot be looked
	// up in an index.
	if q.ExternalID != "" {
		args = append(args, q.ExternalID)
		query += ` AND external_id = $` + strconv.Itoa(len(args))
	}
	if len(q.Metadata) > 0 {
		args = append(args, q.Metadata)
		query += ` AND metadata @> $` + strconv.Itoa(len(args))
	}
	query += ` ORDER BY id LIMIT $8`
	var tenants []domain.Tenant
	err := s.shared(ctx, uuid.Nil, func(conn *pgxpool.Conn) error {
		rows, err := s.asSystem(conn).Query(ctx, query, args...)
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
    external_id = $10, metadata = $11, portal_version = $12, updated_at = statement_timestamp(),
    deleted_at = CASE WHEN $4 = 'deleted' THEN coalesce(deleted_at, statement_timestamp()) END
WHERE id = $1
RETURNING ` + tenantColumns

// ChangeTenant implements domain.TenantRepository.
func (s *Store) ChangeTenant(ctx context.Context, id uuid.UUID, change func(*domain.Tenant) error) (domain.Tenant, error) {
	return s.GrowTenant(ctx, id, change, nil)
}

// GrowTenant implements domain.TenantRepository. The owner is locked after the
// tenant, and nobody waits for a tenant who has locked an owner.
func (s *Store) GrowTenant(
	ctx context.Context, id uuid.UUID, change func(*domain.Tenant) error, admit func(domain.Tenant, domain.OwnerUse) error,
) (domain.Tenant, error) {
	var t domain.Tenant
	var refused error
	err := s.ownersTransaction(ctx, id, id, admit != nil, func(tx pgx.Tx) error {
		var err error
		if t, err = scanTenant(tx.QueryRow(ctx, lockTenantRowSQL, id)); err != nil {
			return err
		}
		before := t
		if refused = change(&t); refused != nil {
			return refused
		}
		if admit != nil && t.Workers > before.Workers && t.OwnerID != uuid.Nil {
			use, err := lockOwner(ctx, tx, t.OwnerID, id)
			if err != nil {
				return err
			}
			if refused = admit(t, use); refused != nil {
				return refused
			}
		}
		t, err = scanTenant(tx.QueryRow(ctx, updateTenantSQL, id, t.Name, t.Description, string(t.Status), string(t.Target),
			t.Workers, t.Stopped, t.RetentionDays, t.Discarded, nullText(t.ExternalID), metadataOf(&t), t.PortalVersion))
		if action := domain.AuditOf(&before, &t); err == nil && action != "" {
			was, is := domain.Changes(domain.FactsOfTenant(&before), domain.FactsOfTenant(&t))
			err = record(ctx, tx, domain.AuditEntry{Action: action, TenantID: id, Before: was, After: is})
		}
		return err
	})
	switch {
	case refused != nil:
		return domain.Tenant{}, refused
	case errors.Is(err, pgx.ErrNoRows):
		return domain.Tenant{}, domain.TenantNotFound()
	case err != nil:
		return domain.Tenant{}, translateTenant(err, "change tenant")
	}
	return t, nil
}

// Whoever sets many rows locks them in the order of their ids.
const setAllStoppedSQL = `
WITH chosen AS MATERIALIZED (
    SELECT id FROM tenants WHERE paused <> $1 AND status IN ('provisioning', 'active', 'inactive') ORDER BY id FOR UPDATE
), changed AS (
    UPDATE tenants t SET paused = $1, updated_at = statement_timestamp()
    FROM chosen WHERE t.id = chosen.id AND t.paused <> $1
    RETURNING t.id
), recorded AS (
    ` + intoAudit + `    SELECT $2::text, $3::uuid, $4::uuid, $5::text, $6::text, $7::uuid, $8::text, $9::text, $10::jsonb,
           jsonb_build_object('tenants', (SELECT count(*) FROM changed))
    WHERE $2 IS NOT NULL
)
SELECT id FROM changed`

// SetAllStopped implements domain.TenantRepository.
func (s *Store) SetAllStopped(ctx context.Context, stopped bool) ([]uuid.UUID, error) {
	action := domain.AuditAllStart
	if stopped {
		action = domain.AuditAllStop
	}
	values := auditOrNone(ctx, domain.AuditEntry{Action: action})[:auditColumns-1] // the number of tenants comes last
	rows, err := s.asSystem(s.general).Query(ctx, setAllStoppedSQL, append([]any{stopped}, values...)...)
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
	var externalID *string
	err := row.Scan(
		&t.ID, &t.Name, &t.Description, &status, &target, &t.Workers, &t.Stopped, &owner, &t.RetentionDays, &externalID, &t.Metadata, &t.Discarded,
		&t.PortalVersion, &t.CreatedAt, &t.UpdatedAt, &deletedAt,
	)
	if err != nil {
		return domain.Tenant{}, err
	}
	t.Status, t.Target = domain.TenantStatus(status), domain.TenantStatus(target)
	t.OwnerID = owner.UUID
	if externalID != nil {
		t.ExternalID = *externalID
	}
	if len(t.Metadata) == 0 {
		t.Metadata = nil
	}
	t.CreatedAt, t.UpdatedAt = t.CreatedAt.UTC(), t.UpdatedAt.UTC()
	if deletedAt != nil {
		t.DeletedAt = deletedAt.UTC()
	}
	return t, nil
}

// metadataOf returns the metadata as it is stored.
func metadataOf(t *domain.Tenant) map[string]string {
	if t.Metadata == nil {
		return map[string]string{}
	}
	return t.Metadata
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
