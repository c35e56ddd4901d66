package repository

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"lanekeeper/domain"
)

var _ domain.APIKeyRepository = (*Store)(nil)

//nolint:gosec // SQL about keys, not a key
const apiKeyColumns = `id, hash, name, tenant_id, user_id, created_by, scopes, expires_at, last_used_at, created_at`

// Those who make keys for one tenant, or one owner, take turns, so that none of
// them counts too few.
//
//nolint:gosec // SQL about keys, not a key
const lockAPIKeysSQL = `SELECT pg_advisory_xact_lock($1)`

// Those of the built-in admin have no user.
//
//nolint:gosec // SQL about keys, not a key
const insertAPIKeySQL = `
INSERT INTO api_keys (id, hash, name, tenant_id, user_id, created_by, scopes, expires_at, created_at)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9
WHERE $10 > (
    SELECT count(*) FROM api_keys
    WHERE CASE WHEN $4::uuid IS NULL THEN tenant_id IS NULL AND user_id IS NOT DISTINCT FROM $5::uuid ELSE tenant_id = $4::uuid END
)`

// InsertAPIKey implements domain.APIKeyRepository.
func (s *Store) InsertAPIKey(ctx context.Context, k domain.APIKey) error {
	holder, whose := k.TenantID, "tenant"
	if holder == uuid.Nil {
		holder, whose = k.OwnerID, "owner"
	}
	err := inTransaction(ctx, s.callers, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockAPIKeysSQL, lockKey("api-keys of "+whose, holder)); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		tag, err := tx.Exec(ctx, insertAPIKeySQL, k.ID, k.Hash, k.Name, nullID(k.TenantID), nullID(k.OwnerID), nullID(k.CreatedBy),
			k.Scopes.Names(), nullTime(k.ExpiresAt), k.CreatedAt, domain.MaxAPIKeys)
		if err == nil && tag.RowsAffected() == 0 {
			return domain.New(domain.ErrLimited, "quota_exceeded",
				fmt.Sprintf("There are %d API keys, and there may not be more; revoke one that is not needed.", domain.MaxAPIKeys))
		}
		if err != nil {
			return err //nolint:wrapcheck // translated below
		}
		return record(ctx, tx, domain.AuditEntry{
			Action: domain.AuditKeyCreate, TenantID: k.TenantID, Target: k.ID.String(), After: domain.FactsOfAPIKey(&k),
		})
	})
	return translate(err, "insert API key")
}

const findAPIKeySQL = `SELECT ` + apiKeyColumns + ` FROM api_keys WHERE id = $1`

// FindAPIKey implements domain.APIKeyRepository.
func (s *Store) FindAPIKey(ctx context.Context, id uuid.UUID) (domain.APIKey, error) {
	k, err := scanAPIKey(s.callers.QueryRow(ctx, findAPIKeySQL, id))
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.APIKey{}, domain.APIKeyNotFound()
	}
	return k, translate(err, "find API key")
}

// listedAPIKeys is how many are listed: with those that were inserted by SQL there may
// be any number.
const listedAPIKeys = 10 * domain.MaxAPIKeys

const (
	listTenantAPIKeysSQL = `SELECT ` + apiKeyColumns + ` FROM api_keys WHERE tenant_id = $1 ORDER BY created_at, id LIMIT $2`
	listOwnerAPIKeysSQL  = `
SELECT ` + apiKeyColumns + ` FROM api_keys
WHERE tenant_id IS NULL AND user_id IS NOT DISTINCT FROM $1 ORDER BY created_at, id LIMIT $2`
)

// ListTenantAPIKeys implements domain.APIKeyRepository.
func (s *Store) ListTenantAPIKeys(ctx context.Context, tenantID uuid.UUID) ([]domain.APIKey, error) {
	return s.listAPIKeys(ctx, tenantID, listTenantAPIKeysSQL, tenantID)
}

// ListOwnerAPIKeys implements domain.APIKeyRepository.
func (s *Store) ListOwnerAPIKeys(ctx context.Context, ownerID uuid.UUID) ([]domain.APIKey, error) {
	return s.listAPIKeys(ctx, uuid.Nil, listOwnerAPIKeysSQL, nullID(ownerID))
}

func (s *Store) listAPIKeys(ctx context.Context, tenantID uuid.UUID, query string, of any) (keys []domain.APIKey, err error) {
	err = s.shared(ctx, tenantID, func(conn *pgxpool.Conn) error {
		rows, err := s.asSystem(conn).Query(ctx, query, of, listedAPIKeys)
		if err != nil {
			return fmt.Errorf("query API keys: %w", err)
		}
		keys, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (domain.APIKey, error) { return scanAPIKey(row) })
		return err //nolint:wrapcheck // translated below
	})
	if err != nil {
		return nil, translate(err, "list API keys")
	}
	return keys, nil
}

const deleteAPIKeySQL = `DELETE FROM api_keys WHERE id = $1 RETURNING ` + apiKeyColumns

// DeleteAPIKey implements domain.APIKeyRepository.
func (s *Store) DeleteAPIKey(ctx context.Context, id uuid.UUID) error {
	err := inTransaction(ctx, s.callers, func(tx pgx.Tx) error {
		k, err := scanAPIKey(tx.QueryRow(ctx, deleteAPIKeySQL, id))
		if err != nil {
			return err
		}
		return record(ctx, tx, domain.AuditEntry{
			Action: domain.AuditKeyRevoke, TenantID: k.TenantID, Target: id.String(), Before: domain.FactsOfAPIKey(&k),
		})
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.APIKeyNotFound()
	}
	return translate(err, "delete API key")
}

// Replicas that record at the same time pass by each other's rows: what one of them
// writes is of the same minute.
//
//nolint:gosec // SQL about keys, not a key
const recordAPIKeyUsesSQL = `
WITH used AS MATERIALIZED (
    SELECT k.id, u.used_at
    FROM api_keys k
    JOIN unnest($1::uuid[], $2::timestamptz[]) AS u (id, used_at) ON u.id = k.id
    WHERE k.last_used_at IS NULL OR k.last_used_at < u.used_at
    FOR NO KEY UPDATE OF k SKIP LOCKED
)
UPDATE api_keys k SET last_used_at = used.used_at FROM used WHERE k.id = used.id`

// RecordAPIKeyUses implements domain.APIKeyRepository.
func (s *Store) RecordAPIKeyUses(ctx context.Context, uses map[uuid.UUID]time.Time) error {
	const most = 1000 // in one statement
	ids := make([]uuid.UUID, 0, len(uses))
	for id := range uses {
		ids = append(ids, id)
	}
	for chunk := range slices.Chunk(ids, most) {
		times := make([]time.Time, len(chunk))
		for i, id := range chunk {
			times[i] = uses[id]
		}
		if _, err := s.asSystem(s.general).Exec(ctx, recordAPIKeyUsesSQL, chunk, times); err != nil {
			return translate(err, "record uses of API keys")
		}
	}
	return nil
}

//nolint:gosec // SQL about keys, not a key
const deleteDeadAPIKeysSQL = `
DELETE FROM api_keys
WHERE id = ANY (ARRAY(
    SELECT k.id
    FROM api_keys k
    LEFT JOIN users u ON u.user_id = k.user_id
    LEFT JOIN tenants t ON t.id = k.tenant_id
    WHERE k.expires_at < now() - $1::interval
       OR k.user_id IS NOT NULL AND u.user_id IS NULL
       OR k.tenant_id IS NOT NULL AND coalesce(t.status, 'deleted') = 'deleted'
    ORDER BY k.id LIMIT $2 FOR UPDATE OF k SKIP LOCKED
))`

// DeleteDeadAPIKeys implements domain.APIKeyRepository.
func (s *Store) DeleteDeadAPIKeys(ctx context.Context, expired time.Duration, limit int) (int, error) {
	return s.deleteSome(ctx, "delete dead API keys", deleteDeadAPIKeysSQL, expired, max(0, limit))
}

func scanAPIKey(row pgx.Row) (domain.APIKey, error) {
	var k domain.APIKey
	var tenant, owner, creator uuid.NullUUID
	var scopes []string
	var expires, used *time.Time
	if err := row.Scan(&k.ID, &k.Hash, &k.Name, &tenant, &owner, &creator, &scopes, &expires, &used, &k.CreatedAt); err != nil {
		return domain.APIKey{}, err
	}
	k.TenantID, k.OwnerID, k.CreatedBy = tenant.UUID, owner.UUID, creator.UUID
	k.Scopes, k.CreatedAt = domain.ScopesNamed(scopes), k.CreatedAt.UTC()
	if expires != nil {
		k.ExpiresAt = expires.UTC()
	}
	if used != nil {
		k.LastUsedAt = used.UTC()
	}
	return k, nil
}
