package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

const endpointColumns = `tenant_id, url, timeout_ms, secret, paused_reason, version, created_at, updated_at`

// Without a secret only what exists is updated.
const (
	putEndpointSQL = `
INSERT INTO endpoints AS e (tenant_id, url, timeout_ms, secret)
VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id) DO UPDATE SET
    url = excluded.url, timeout_ms = excluded.timeout_ms, secret = excluded.secret, paused_reason = '',
    version = nextval('endpoint_versions'), updated_at = statement_timestamp()
RETURNING ` + endpointColumns

	updateEndpointSQL = `
UPDATE endpoints
SET url = $2, timeout_ms = $3, paused_reason = '',
    version = nextval('endpoint_versions'), updated_at = statement_timestamp()
WHERE tenant_id = $1
RETURNING ` + endpointColumns
)

// PutEndpoint implements domain.EndpointRepository.
func (s *Store) PutEndpoint(ctx context.Context, e domain.Endpoint) (domain.Endpoint, error) {
	query, args := putEndpointSQL, []any{e.TenantID, e.URL, e.Timeout.Milliseconds(), e.Secret}
	if e.Secret == nil {
		query, args = updateEndpointSQL, args[:3]
	}
	return s.oneEndpoint(ctx, e.TenantID, "put endpoint", query, args...)
}

const findEndpointSQL = `SELECT ` + endpointColumns + ` FROM endpoints WHERE tenant_id = $1`

// FindEndpoint implements domain.EndpointRepository.
func (s *Store) FindEndpoint(ctx context.Context, tenantID uuid.UUID) (domain.Endpoint, error) {
	return s.oneEndpoint(ctx, tenantID, "find endpoint", findEndpointSQL, tenantID)
}

// oneEndpoint runs a query for one endpoint. Verb says what is being done.
func (s *Store) oneEndpoint(ctx context.Context, tenantID uuid.UUID, verb, query string, args ...any) (domain.Endpoint, error) {
	var row endpointRow
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		return on.QueryRow(ctx, query, args...).Scan(row.targets()...)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.Endpoint{}, domain.EndpointNotFound()
	}
	if err != nil {
		return domain.Endpoint{}, translate(err, verb)
	}
	return *row.endpoint(), nil
}

const deleteEndpointSQL = `DELETE FROM endpoints WHERE tenant_id = $1`

// DeleteEndpoint implements domain.EndpointRepository.
func (s *Store) DeleteEndpoint(ctx context.Context, tenantID uuid.UUID) error {
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		tag, err := on.Exec(ctx, deleteEndpointSQL, tenantID)
		if err == nil && tag.RowsAffected() == 0 {
			return domain.EndpointNotFound()
		}
		return err
	})
	return translate(err, "delete endpoint")
}

const pauseEndpointSQL = `
UPDATE endpoints
SET paused_reason = $3, version = nextval('endpoint_versions'), updated_at = statement_timestamp()
WHERE tenant_id = $1 AND version = $2`

// PauseEndpoint implements domain.EndpointRepository.
func (s *Store) PauseEndpoint(ctx context.Context, tenantID uuid.UUID, version int64, reason string) error {
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		_, err := on.Exec(ctx, pauseEndpointSQL, tenantID, version, reason)
		return err
	})
	return translate(err, "pause endpoint")
}

// recordTransmissionSQL takes no record of a message that is not stored (any
// more): nobody would delete it.
const recordTransmissionSQL = `
INSERT INTO transmissions AS t (tenant_id, message_id, state, attempts, last_status)
SELECT m.tenant_id, m.id, $3, $4, $5 FROM messages m WHERE m.tenant_id = $1 AND m.id = $2
ON CONFLICT (tenant_id, message_id) DO UPDATE SET
    state = excluded.state, attempts = excluded.attempts, last_status = excluded.last_status,
    updated_at = statement_timestamp()
WHERE t.state <> 'succeeded'`

// RecordTransmission implements domain.EndpointRepository. Of a message that
// is not stored nothing is recorded.
func (s *Store) RecordTransmission(ctx context.Context, t domain.Transmission) error {
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{t.TenantID}, func(on session) error {
		_, err := on.Exec(ctx, recordTransmissionSQL, t.TenantID, t.MessageID, string(t.State), t.Attempts, t.LastStatus)
		return err
	})
	return translate(err, "record transmission")
}

const findTransmissionsSQL = `
SELECT message_id, state, attempts, last_status, updated_at
FROM transmissions
WHERE tenant_id = $1 AND message_id = ANY($2::uuid[])`

// FindTransmissions implements domain.EndpointRepository.
func (s *Store) FindTransmissions(ctx context.Context, tenantID uuid.UUID, messageIDs []uuid.UUID) ([]domain.Transmission, error) {
	if len(messageIDs) == 0 {
		return nil, nil
	}
	var found []domain.Transmission
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		rows, err := on.Query(ctx, findTransmissionsSQL, tenantID, postgres.UUIDs(messageIDs))
		if err != nil {
			return fmt.Errorf("query transmissions: %w", err)
		}
		found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (domain.Transmission, error) {
			t := domain.Transmission{TenantID: tenantID}
			var state string
			err := row.Scan(&t.MessageID, &state, &t.Attempts, &t.LastStatus, &t.UpdatedAt)
			t.State, t.UpdatedAt = domain.TransmissionState(state), t.UpdatedAt.UTC()
			return t, err
		})
		return err
	})
	if err != nil {
		return nil, translate(err, "find transmissions")
	}
	return found, nil
}

// endpointRow is a row of endpoints, or of nulls where a tenant has none.
type endpointRow struct {
	tenantID             *uuid.UUID
	url, pausedReason    *string
	timeoutMS, version   *int64
	secret               []byte
	createdAt, updatedAt *time.Time
}

// targets returns where to scan endpointColumns to.
func (r *endpointRow) targets() []any {
	return []any{&r.tenantID, &r.url, &r.timeoutMS, &r.secret, &r.pausedReason, &r.version, &r.createdAt, &r.updatedAt}
}

// endpoint returns nil for a row of nulls.
func (r *endpointRow) endpoint() *domain.Endpoint {
	if r.tenantID == nil {
		return nil
	}
	return &domain.Endpoint{
		TenantID: *r.tenantID, URL: *r.url, Timeout: time.Duration(*r.timeoutMS) * time.Millisecond,
		Secret: r.secret, PausedReason: *r.pausedReason, Version: *r.version,
		CreatedAt: r.createdAt.UTC(), UpdatedAt: r.updatedAt.UTC(),
	}
}
