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

const externalIDConstraint = "endpoints_external_id_key"

// lockStreamSQL locks a tenant's stream until the end of the transaction: what was
// appended before is in last_seq, and what is appended later has a higher seq. It
// also keeps inserts of endpoints apart, so that each counts those before it.
const lockStreamSQL = `SELECT last_seq FROM tenant_streams WHERE tenant_id = $1 FOR UPDATE`

// insertEndpointSQL inserts nothing when there is no room for another one, or when
// the message to begin with is ahead of the history. The cursor stands before the
// first message; those that are not kept any longer it has passed.
const insertEndpointSQL = `
WITH place AS MATERIALIZED (
    SELECT nextval('endpoint_versions') AS version,
           CASE WHEN $20::bigint = 0 THEN s.last_seq ELSE greatest($20, s.first_seq) - 1 END AS settled
    FROM tenant_streams s
    WHERE s.tenant_id = $1 AND $20 <= s.last_seq + 1
      AND ($21 = 0 OR (SELECT count(*) FROM endpoints WHERE tenant_id = $1) < $21)
      AND NOT EXISTS (SELECT FROM endpoints WHERE tenant_id = $1 AND id = $2)
), placed AS (
    INSERT INTO endpoint_cursors (tenant_id, endpoint_id, settled_seq, version) SELECT $1, $2, settled, version FROM place
), made AS (
    INSERT INTO endpoints (tenant_id, id, external_id, url, description, types, timeout_ms, concurrency, rate, ordering, on_failure,
        retry_schedule_ms, retry_final, headers, secret, old_secret, old_secret_until, sealed_with, status, version)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, version FROM place
    RETURNING id
)
` + intoAudit + `SELECT $22::text, $23::uuid, $24::uuid, $25::text, $26::text, $27::uuid, $28::text, $29::text, $30::jsonb, $31::jsonb FROM made
WHERE $22 IS NOT NULL`

// InsertEndpoint implements domain.EndpointRepository. It is one round trip, and one
// transaction: the stream is locked, for which those who append wait.
func (s *Store) InsertEndpoint(ctx context.Context, e domain.Endpoint, at domain.NewCursor) (domain.Endpoint, error) {
	values, err := s.endpointValues(&e)
	if err != nil {
		return domain.Endpoint{}, fmt.Errorf("insert endpoint: %w", err)
	}
	var row endpointRow
	var last int64
	err = s.WithTenant(ctx, queryAccess, []uuid.UUID{e.TenantID}, func(on session) error {
		var batch pgx.Batch
		batch.Queue(lockStreamSQL, e.TenantID)
		batch.Queue(insertEndpointSQL, append(append(values, at.FromSeq, at.MaxEndpoints), auditOrNone(ctx, domain.AuditEntry{
			Action: domain.AuditEndpointCreate, TenantID: e.TenantID, Target: e.ID.String(), After: domain.FactsOfEndpoint(&e),
		})...)...)
		batch.Queue(findEndpointSQL, e.TenantID, e.ID)
		results := on.SendBatch(ctx, &batch)
		defer results.Close()
		if err := results.QueryRow().Scan(&last); err != nil {
			if errors.Is(err, pgx.ErrNoRows) {
				return domain.TenantNotFound()
			}
			return fmt.Errorf("lock stream: %w", err)
		}
		if _, err := results.Exec(); err != nil {
			return fmt.Errorf("insert: %w", err)
		}
		return results.QueryRow().Scan(row.targets()...)
	})
	switch constraint, taken := postgres.UniqueViolation(err); {
	case taken && constraint == externalIDConstraint:
		return domain.Endpoint{}, externalIDTaken(err)
	case errors.Is(err, pgx.ErrNoRows) && at.FromSeq > last+1:
		return domain.Endpoint{}, domain.CursorAhead()
	case errors.Is(err, pgx.ErrNoRows):
		return domain.Endpoint{}, domain.QuotaExceeded("endpoints_per_tenant", "The tenant has %d endpoints, and may not have more.", at.MaxEndpoints)
	case err != nil:
		return domain.Endpoint{}, translate(err, "insert endpoint")
	}
	return s.readEndpoint(&row), nil
}

func externalIDTaken(cause error) error {
	return domain.Wrap(cause, domain.ErrConflict, "external_id_taken", "Another endpoint of the tenant has this external id.")
}

const (
	findEndpointSQL           = `SELECT ` + endpointColumns + ` FROM endpoints e WHERE e.tenant_id = $1 AND e.id = $2`
	findEndpointByExternalSQL = `SELECT ` + endpointColumns + ` FROM endpoints e WHERE e.tenant_id = $1 AND e.external_id = $2`
)

// FindEndpoint implements domain.EndpointRepository.
func (s *Store) FindEndpoint(ctx context.Context, tenantID, id uuid.UUID) (domain.Endpoint, error) {
	return s.findEndpoint(ctx, tenantID, findEndpointSQL, id)
}

// FindEndpointByExternalID implements domain.EndpointRepository.
func (s *Store) FindEndpointByExternalID(ctx context.Context, tenantID uuid.UUID, externalID string) (domain.Endpoint, error) {
	return s.findEndpoint(ctx, tenantID, findEndpointByExternalSQL, externalID)
}

func (s *Store) findEndpoint(ctx context.Context, tenantID uuid.UUID, query string, key any) (domain.Endpoint, error) {
	var row endpointRow
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		return on.QueryRow(ctx, query, tenantID, key).Scan(row.targets()...)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.Endpoint{}, domain.EndpointNotFound()
	}
	if err != nil {
		return domain.Endpoint{}, translate(err, "find endpoint")
	}
	return s.readEndpoint(&row), nil
}

const listEndpointsSQL = `SELECT ` + endpointColumns + ` FROM endpoints e WHERE e.tenant_id = $1 ORDER BY e.created_at, e.id`

// ListEndpoints implements domain.EndpointRepository.
func (s *Store) ListEndpoints(ctx context.Context, tenantID uuid.UUID) ([]domain.Endpoint, error) {
	var endpoints []domain.Endpoint
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		rows, err := on.Query(ctx, listEndpointsSQL, tenantID)
		if err != nil {
			return fmt.Errorf("query endpoints: %w", err)
		}
		endpoints, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (domain.Endpoint, error) {
			var r endpointRow
			err := row.Scan(r.targets()...)
			return s.readEndpoint(&r), err
		})
		return err
	})
	if err != nil {
		return nil, translate(err, "list endpoints")
	}
	return endpoints, nil
}

const endpointProgressSQL = `
SELECT c.endpoint_id, c.settled_seq, s.last_seq, coalesce(c.breaker_opened_at, 'epoch'), coalesce(c.failing_since, 'epoch'), c.reading_stopped,
       (SELECT count(*) FROM deliveries d WHERE d.tenant_id = c.tenant_id AND d.endpoint_id = c.endpoint_id AND d.seq <= c.settled_seq)
FROM endpoint_cursors c JOIN tenant_streams s ON s.tenant_id = c.tenant_id
WHERE c.tenant_id = $1 AND c.endpoint_id = ANY($2::uuid[])`

// EndpointProgress implements domain.EndpointRepository. It is one statement, so that
// what it returns goes together.
func (s *Store) EndpointProgress(ctx context.Context, tenantID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]domain.EndpointProgress, error) {
	progress := make(map[uuid.UUID]domain.EndpointProgress, len(ids))
	if len(ids) == 0 {
		return progress, nil
	}
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		rows, err := on.Query(ctx, endpointProgressSQL, tenantID, postgres.UUIDs(ids))
		if err != nil {
			return fmt.Errorf("query cursors: %w", err)
		}
		var id uuid.UUID
		var p domain.EndpointProgress
		h := &p.Health
		_, err = pgx.ForEachRow(rows, []any{&id, &p.Settled, &p.Last, &h.BreakerOpenedAt, &h.FailingSince, &h.ReadingStopped, &p.Open}, func() error {
			read := p
			read.Health.BreakerOpenedAt, read.Health.FailingSince = epochIsNever(p.Health.BreakerOpenedAt), epochIsNever(p.Health.FailingSince)
			progress[id] = read
			return nil
		})
		return err
	})
	if err != nil {
		return nil, translate(err, "read the progress of endpoints")
	}
	return progress, nil
}
