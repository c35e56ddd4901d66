package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
)

var _ domain.AMQPCredentialRepository = (*Store)(nil)

const amqpColumns = `tenant_id, state, created_at, issued_at`

// The line in the audit log is written with what is begun, so that none is missing of
// what may have been done.
const beginAMQPSQL = `
INSERT INTO amqp_credentials (tenant_id, state) VALUES ($1, 'making')
ON CONFLICT (tenant_id) DO UPDATE SET touched_at = now(),
    state = CASE amqp_credentials.state WHEN 'revoking' THEN 'making' ELSE amqp_credentials.state END
RETURNING ` + amqpColumns

// BeginAMQPCredentials implements domain.AMQPCredentialRepository.
func (s *Store) BeginAMQPCredentials(ctx context.Context, tenantID uuid.UUID) (c domain.AMQPCredentials, err error) {
	err = inTransaction(ctx, s.callers, func(tx pgx.Tx) error {
		if c, err = scanAMQP(tx.QueryRow(ctx, beginAMQPSQL, tenantID)); err != nil {
			return err
		}
		action := domain.AuditAMQPCreate
		if c.State == domain.AMQPReady {
			action = domain.AuditAMQPRotate
		}
		return record(ctx, tx, domain.AuditEntry{Action: action, TenantID: tenantID})
	})
	return c, translate(err, "begin AMQP credentials")
}

const finishAMQPSQL = `
UPDATE amqp_credentials SET state = 'ready', issued_at = now(), touched_at = now()
WHERE tenant_id = $1 AND state <> 'revoking'
RETURNING ` + amqpColumns

// FinishAMQPCredentials implements domain.AMQPCredentialRepository.
func (s *Store) FinishAMQPCredentials(ctx context.Context, tenantID uuid.UUID) (domain.AMQPCredentials, error) {
	return s.amqpRow(ctx, "finish AMQP credentials", finishAMQPSQL, tenantID)
}

const findAMQPSQL = `SELECT ` + amqpColumns + ` FROM amqp_credentials WHERE tenant_id = $1`

// FindAMQPCredentials implements domain.AMQPCredentialRepository.
func (s *Store) FindAMQPCredentials(ctx context.Context, tenantID uuid.UUID) (domain.AMQPCredentials, error) {
	return s.amqpRow(ctx, "find AMQP credentials", findAMQPSQL, tenantID)
}

func (s *Store) amqpRow(ctx context.Context, what, query string, tenantID uuid.UUID) (domain.AMQPCredentials, error) {
	c, err := scanAMQP(s.callers.QueryRow(ctx, query, tenantID))
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.AMQPCredentials{}, domain.AMQPNotFound()
	}
	return c, translate(err, what)
}

const revokeAMQPSQL = `UPDATE amqp_credentials SET state = 'revoking', touched_at = now() WHERE tenant_id = $1`

// RevokeAMQPCredentials implements domain.AMQPCredentialRepository.
func (s *Store) RevokeAMQPCredentials(ctx context.Context, tenantID uuid.UUID) error {
	err := inTransaction(ctx, s.callers, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, revokeAMQPSQL, tenantID)
		if err == nil && tag.RowsAffected() == 0 {
			return domain.AMQPNotFound()
		}
		if err != nil {
			return err //nolint:wrapcheck // translated below
		}
		return record(ctx, tx, domain.AuditEntry{Action: domain.AuditAMQPRevoke, TenantID: tenantID})
	})
	return translate(err, "revoke AMQP credentials")
}

const deleteAMQPSQL = `DELETE FROM amqp_credentials WHERE tenant_id = $1 AND state <> 'ready'`

// DeleteAMQPCredentials implements domain.AMQPCredentialRepository.
func (s *Store) DeleteAMQPCredentials(ctx context.Context, tenantID uuid.UUID) error {
	_, err := s.asSystem(s.general).Exec(ctx, deleteAMQPSQL, tenantID)
	return translate(err, "delete AMQP credentials")
}

const listDueAMQPSQL = `
SELECT c.tenant_id
FROM amqp_credentials c
LEFT JOIN tenants t ON t.id = c.tenant_id
WHERE c.state = 'revoking'
   OR c.state = 'making' AND c.touched_at < now() - $1::interval
   OR coalesce(t.status, 'deleted') IN ('deleting', 'deleted')
ORDER BY c.touched_at, c.tenant_id LIMIT $2`

// ListDueAMQPCredentials implements domain.AMQPCredentialRepository.
func (s *Store) ListDueAMQPCredentials(ctx context.Context, unfinished time.Duration, limit int) ([]uuid.UUID, error) {
	rows, err := s.asSystem(s.general).Query(ctx, listDueAMQPSQL, unfinished, max(0, limit))
	if err != nil {
		return nil, translate(err, "list AMQP credentials to revoke")
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	return ids, translate(err, "list AMQP credentials to revoke")
}

const postponeAMQPSQL = `UPDATE amqp_credentials SET touched_at = now() WHERE tenant_id = $1`

// PostponeAMQPCredentials implements domain.AMQPCredentialRepository.
func (s *Store) PostponeAMQPCredentials(ctx context.Context, tenantID uuid.UUID) error {
	_, err := s.asSystem(s.general).Exec(ctx, postponeAMQPSQL, tenantID)
	return translate(err, "postpone AMQP credentials")
}

const listAMQPSQL = `SELECT ` + amqpColumns + ` FROM amqp_credentials WHERE tenant_id > $1 ORDER BY tenant_id LIMIT $2`

// ListAMQPCredentials implements domain.AMQPCredentialRepository.
func (s *Store) ListAMQPCredentials(ctx context.Context, after uuid.UUID, limit int) ([]domain.AMQPCredentials, error) {
	rows, err := s.asSystem(s.general).Query(ctx, listAMQPSQL, after, max(0, limit))
	if err != nil {
		return nil, translate(err, "list AMQP credentials")
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (domain.AMQPCredentials, error) { return scanAMQP(row) })
	return all, translate(err, "list AMQP credentials")
}

func scanAMQP(row pgx.Row) (domain.AMQPCredentials, error) {
	var c domain.AMQPCredentials
	var issued *time.Time
	if err := row.Scan(&c.TenantID, &c.State, &c.CreatedAt, &issued); err != nil {
		return domain.AMQPCredentials{}, fmt.Errorf("read AMQP credentials: %w", err)
	}
	c.CreatedAt = c.CreatedAt.UTC()
	if issued != nil {
		c.IssuedAt = issued.UTC()
	}
	return c, nil
}
