package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"lanekeeper/domain"
)

var _ domain.UsageRepository = (*Store)(nil)

// usageChunk is how many messages are counted in one statement before a tenant is
// erased.
const usageChunk = 10_000

const listUncountedSQL = `
SELECT s.tenant_id
FROM tenant_streams s
JOIN tenants t ON t.id = s.tenant_id
LEFT JOIN usage_cursors c ON c.tenant_id = s.tenant_id
WHERE s.tenant_id > $1 AND s.last_seq > coalesce(c.seq, 0) AND ($2::boolean OR t.user_id = $3 OR t.id = $4 OR $5::boolean AND t.user_id IS NULL)
  AND ($6::uuid IS NULL OR t.id = $6)
ORDER BY s.tenant_id
LIMIT $7`

// ListUncounted implements domain.UsageRepository.
func (s *Store) ListUncounted(ctx context.Context, visibleTo *domain.Principal, after uuid.UUID, limit int) ([]uuid.UUID, error) {
	see := sightOf(visibleTo)
	var ids []uuid.UUID
	err := s.shared(ctx, uuid.Nil, func(conn *pgxpool.Conn) error {
		rows, err := s.asSystem(conn).Query(ctx, listUncountedSQL, after, see.all, see.owner, see.own, see.ownerless, see.only, limit)
		if err != nil {
			return fmt.Errorf("query tenants: %w", err)
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		return err //nolint:wrapcheck // translated below
	})
	return ids, translate(err, "list tenants to count")
}

// sight is what queries compare with the owner and the id of a tenant.
type sight struct {
	// all, or those of owner, own, and with ownerless those that have no owner.
	all, ownerless bool
	owner, own     uuid.NullUUID
	// only is the one tenant that it is restricted to, if any.
	only uuid.NullUUID
}

// sightOf returns what a caller sees; nil sees everything.
func sightOf(p *domain.Principal) sight {
	if p == nil {
		return sight{all: true}
	}
	return sight{
		all: p.Role == domain.RoleAdmin, ownerless: p.Owns(&domain.Tenant{}),
		owner: nullID(p.UserID), own: nullID(p.TenantID), only: nullID(p.KeyTenant),
	}
}

const (
	beginUsageSQL = `INSERT INTO usage_cursors (tenant_id, seq) VALUES ($1, 0) ON CONFLICT (tenant_id) DO NOTHING`

	// countUsageSQL reads the cursor's row as it is once it is locked, so no message
	// is counted twice. Messages before version 13 of the schema have no bytes.
	countUsageSQL = `
WITH place AS MATERIALIZED (
    SELECT seq FROM usage_cursors WHERE tenant_id = $1 FOR UPDATE SKIP LOCKED
), fresh AS MATERIALIZED (
    SELECT m.seq, (m.created_at AT TIME ZONE 'UTC')::date AS day, coalesce(m.bytes, octet_length(m.payload::text)) AS bytes
    FROM place
    CROSS JOIN LATERAL (
        SELECT seq, created_at, bytes, payload FROM messages WHERE tenant_id = $1 AND seq > place.seq ORDER BY seq LIMIT $2
    ) AS m
), added AS (
    INSERT INTO usage_days AS u (tenant_id, day, messages, bytes)
    SELECT $1, day, count(*), sum(bytes) FROM fresh GROUP BY day
    ON CONFLICT (tenant_id, day) DO UPDATE SET messages = u.messages + excluded.messages, bytes = u.bytes + excluded.bytes
), moved AS (
    UPDATE usage_cursors SET seq = (SELECT max(seq) FROM fresh) WHERE tenant_id = $1 AND EXISTS (SELECT FROM fresh)
)
SELECT count(*) FROM fresh`
)

// CountUsage implements domain.UsageRepository. It is one round trip, and one
// transaction.
func (s *Store) CountUsage(ctx context.Context, tenantID uuid.UUID, limit int) (more bool, err error) {
	var counted int
	err = s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		var batch pgx.Batch
		batch.Queue(beginUsageSQL, tenantID)
		batch.Queue(countUsageSQL, tenantID, limit).QueryRow(func(row pgx.Row) error { return row.Scan(&counted) })
		return on.SendBatch(ctx, &batch).Close()
	})
	return counted >= limit, translate(err, "count usage")
}

// countAll counts what is left of a tenant that is being erased.
func (s *Store) countAll(ctx context.Context, tenantID uuid.UUID) error {
	for {
		more, err := s.CountUsage(ctx, tenantID, usageChunk)
		if err != nil || !more {
			return err
		}
	}
}

const listUsageSQL = `
SELECT u.tenant_id, u.day, u.messages, u.bytes
FROM usage_days u
JOIN tenants t ON t.id = u.tenant_id
WHERE u.day BETWEEN $1 AND $2 AND ($3::uuid IS NULL OR u.tenant_id = $3) AND ($4::boolean OR t.user_id = $5 OR t.id = $6 OR $7::boolean AND t.user_id IS NULL)
  AND ($8::uuid IS NULL OR t.id = $8)
  AND (u.day, u.tenant_id) > ($9::date, $10::uuid)
ORDER BY u.day, u.tenant_id
LIMIT $11`

// ListUsage implements domain.UsageRepository.
func (s *Store) ListUsage(ctx context.Context, q domain.UsageQuery) ([]domain.UsageDay, error) {
	see := sightOf(q.VisibleTo)
	var days []domain.UsageDay
	err := s.shared(ctx, q.TenantID, func(conn *pgxpool.Conn) error {
		rows, err := s.asSystem(conn).Query(ctx, listUsageSQL, q.From, q.To, nullID(q.TenantID), see.all, see.owner, see.own, see.ownerless, see.only, q.AfterDay, q.AfterTenant, q.Limit)
		if err != nil {
			return fmt.Errorf("query usage: %w", err)
		}
		days, err = pgx.CollectRows(rows, pgx.RowToStructByPos[domain.UsageDay])
		return err //nolint:wrapcheck // translated below
	})
	return days, translate(err, "list usage")
}

const deleteUsageSQL = `
DELETE FROM usage_days WHERE (tenant_id, day) IN (SELECT tenant_id, day FROM usage_days WHERE day < $1 LIMIT $2)`

// DeleteUsage implements domain.UsageRepository.
func (s *Store) DeleteUsage(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.deleteSome(ctx, "delete usage", deleteUsageSQL, before, max(0, limit))
}

// OwnerUse implements domain.UsageRepository.
func (s *Store) OwnerUse(ctx context.Context, ownerID uuid.UUID) (domain.OwnerUse, error) {
	var use domain.OwnerUse
	err := s.shared(ctx, uuid.Nil, func(conn *pgxpool.Conn) (err error) {
		use, err = ownerUse(ctx, s.asSystem(conn), ownerID, uuid.Nil)
		return err
	})
	return use, translate(err, "count what the owner has")
}
