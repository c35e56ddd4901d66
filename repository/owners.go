package repository

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
)

const tenantExistsSQL = `SELECT EXISTS (SELECT FROM tenants WHERE id = $1)`

const (
	// lockOwnerSQL keeps others from making tenants of the owner, or having them
	// grow, until the end of the transaction.
	lockOwnerSQL = `SELECT pg_advisory_xact_lock($1)`

	// An owner that is not there any more is like everybody.
	findOwnerSQL = `SELECT coalesce(role, 'member'), limits FROM users WHERE user_id = $1`

	ownerUseSQL = `
SELECT count(*) FILTER (WHERE status <> 'deleted'),
       count(*) FILTER (WHERE created_at > statement_timestamp() - interval '1 minute'),
       coalesce(sum(workers) FILTER (WHERE status <> 'deleted'), 0)
FROM tenants
WHERE user_id = $1 AND id <> $2 AND (status <> 'deleted' OR created_at > statement_timestamp() - interval '1 minute')`
)

// lockOwner returns what an owner has besides a tenant, which is what it has until
// the end of the transaction.
func lockOwner(ctx context.Context, tx pgx.Tx, ownerID, tenantID uuid.UUID) (domain.OwnerUse, error) {
	if _, err := tx.Exec(ctx, lockOwnerSQL, lockKey("owner", ownerID)); err != nil {
		return domain.OwnerUse{}, fmt.Errorf("lock owner: %w", err)
	}
	return ownerUse(ctx, tx, ownerID, tenantID)
}

// ownerUse returns what an owner has at the moment besides a tenant.
func ownerUse(ctx context.Context, on session, ownerID, tenantID uuid.UUID) (domain.OwnerUse, error) {
	use := domain.OwnerUse{Role: domain.RoleMember}
	var role string
	var limits []byte
	switch err := on.QueryRow(ctx, findOwnerSQL, ownerID).Scan(&role, &limits); {
	case err == nil:
		use.Role, use.Limits = domain.Role(role), readLimits(limits)
	case !errors.Is(err, pgx.ErrNoRows):
		return domain.OwnerUse{}, fmt.Errorf("find owner: %w", err)
	}
	if err := on.QueryRow(ctx, ownerUseSQL, ownerID, tenantID).Scan(&use.Tenants, &use.Created, &use.Workers); err != nil {
		return domain.OwnerUse{}, fmt.Errorf("count what the owner has: %w", err)
	}
	return use, nil
}

// readLimits reads users.limits, which people set by SQL, too: what is not
// understood, or no limit, is as for everybody.
func readLimits(text []byte) domain.UserLimits {
	var limits domain.UserLimits
	var values map[string]any
	if json.Unmarshal(text, &values) != nil {
		return limits
	}
	for _, name := range domain.LimitNames() {
		if n, ok := values[name].(float64); ok && n >= 0 && n <= domain.MaxLimit {
			*limits.Field(name) = new(int(n))
		}
	}
	return limits
}

// writeLimits is the opposite of readLimits; nil when there are none.
func writeLimits(limits domain.UserLimits) []byte {
	values := make(map[string]int)
	for _, name := range domain.LimitNames() {
		if n := *limits.Field(name); n != nil {
			values[name] = *n
		}
	}
	if len(values) == 0 {
		return nil
	}
	text, err := json.Marshal(values)
	if err != nil {
		return nil // numbers by name can be written
	}
	return text
}
