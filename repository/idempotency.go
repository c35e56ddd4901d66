package repository

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

// claimTries is how often a claim is tried when it meets a deadlock.
const claimTries = 3

// claimKeysSQL takes the keys in the order given, which is the same in every
// process, so that concurrent batches cannot deadlock. Every claim comes back
// in that order, with what is in force: itself, or an earlier claim that has
// not expired.
const claimKeysSQL = `
INSERT INTO idempotency AS k (scope, key, hash, resource_id, confirmed, expires_at)
SELECT c.scope, c.key, c.hash, c.id, false, now() + $5
FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::uuid[]) AS c (scope, key, hash, id)
ON CONFLICT (scope, key) DO UPDATE SET
    hash        = CASE WHEN k.expires_at <= now() THEN excluded.hash        ELSE k.hash        END,
    resource_id = CASE WHEN k.expires_at <= now() THEN excluded.resource_id ELSE k.resource_id END,
    confirmed   = CASE WHEN k.expires_at <= now() THEN false                ELSE k.confirmed   END,
    expires_at  = CASE WHEN k.expires_at <= now() THEN excluded.expires_at  ELSE k.expires_at  END
RETURNING scope, key, hash, resource_id, confirmed`

// ClaimKeys implements domain.IdempotencyRepository.
func (s *Store) ClaimKeys(ctx context.Context, claims []domain.IdempotencyClaim) ([]domain.IdempotencyGrant, error) {
	if len(claims) == 0 {
		return nil, nil
	}
	order := make([]int, len(claims))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		x, y := &claims[a], &claims[b]
		return cmp.Or(bytes.Compare(x.Scope[:], y.Scope[:]), cmp.Compare(x.Key, y.Key))
	})
	scopes, keys := make([]uuid.UUID, len(claims)), make([]string, len(claims))
	hashes, ids := make([][]byte, len(claims)), make([]uuid.UUID, len(claims))
	for at, i := range order {
		c := &claims[i]
		scopes[at], keys[at], hashes[at], ids[at] = c.Scope, c.Key, c.Hash[:], c.ID
	}
	grants := make([]domain.IdempotencyGrant, len(claims))
	err := retryContended(func() error {
		return s.WithTenant(ctx, queryAccess, slices.Compact(slices.Clone(scopes)), func(on session) error {
			rows, err := on.Query(ctx, claimKeysSQL, postgres.UUIDs(scopes), keys, hashes, postgres.UUIDs(ids), domain.IdempotencyLifetime)
			if err != nil {
				return fmt.Errorf("claim: %w", err)
			}
			return readGrants(rows, claims, order, grants)
		})
	})
	if err != nil {
		return nil, translate(err, "claim idempotency keys")
	}
	return grants, nil
}

func readGrants(rows pgx.Rows, claims []domain.IdempotencyClaim, order []int, grants []domain.IdempotencyGrant) error {
	var scope uuid.UUID
	var key string
	var hash []byte
	var grant domain.IdempotencyGrant
	at := 0
	_, err := pgx.ForEachRow(rows, []any{&scope, &key, &hash, &grant.ID, &grant.Confirmed}, func() error {
		if at >= len(order) {
			return errClaimOrder
		}
		i := order[at]
		if claims[i].Scope != scope || claims[i].Key != key {
			return errClaimOrder
		}
		grant.Mismatch = !bytes.Equal(claims[i].Hash[:], hash)
		grants[i] = grant
		at++
		return nil
	})
	if err == nil && at < len(order) {
		err = errClaimOrder
	}
	if err != nil {
		return fmt.Errorf("read grants: %w", err)
	}
	return nil
}

var errClaimOrder = errors.New("the grants do not come in the order of the claims")

// confirmKeysSQL locks the keys in the order given, as claimKeysSQL does. The subquery
// with its lock is one that the planner has to ask for each key, by the primary key: it
// knows little of a table that has just grown, and a join read all keys of the scope for
// each batch (seen: 4 ms for each key where there were 10,000).
const confirmKeysSQL = `
UPDATE idempotency SET confirmed = true
WHERE ctid = ANY (ARRAY(
    SELECT k.ctid
    FROM unnest($2::text[], $3::uuid[]) AS c (key, id)
    CROSS JOIN LATERAL (
        SELECT i.ctid FROM idempotency i
        WHERE i.scope = $1 AND i.key = c.key AND i.resource_id = c.id AND NOT i.confirmed
        FOR UPDATE
    ) k
))`

// ConfirmKeys implements domain.IdempotencyRepository.
func (s *Store) ConfirmKeys(ctx context.Context, scope uuid.UUID, keys []domain.ConfirmedKey) error {
	if len(keys) == 0 {
		return nil
	}
	keys = slices.SortedFunc(slices.Values(keys), func(a, b domain.ConfirmedKey) int { return cmp.Compare(a.Key, b.Key) })
	names, ids := make([]string, len(keys)), make([]uuid.UUID, len(keys))
	for i, k := range keys {
		names[i], ids[i] = k.Key, k.ID
	}
	confirm := func() (confirmed int64, err error) {
		err = s.WithTenant(ctx, queryAccess, []uuid.UUID{scope}, func(on session) error {
			tag, err := on.Exec(ctx, confirmKeysSQL, scope, names, postgres.UUIDs(ids))
			confirmed = tag.RowsAffected()
			return err
		})
		return confirmed, err
	}
	err := retryContended(func() error {
		confirmed, err := confirm()
		if err == nil && confirmed < int64(len(keys)) {
			// Some are confirmed already, or somebody claimed them again meanwhile: the
			// statement does not see what has become of them since it began.
			_, err = confirm()
		}
		return err
	})
	return translate(err, "confirm idempotency keys")
}

const releaseKeySQL = `
DELETE FROM idempotency WHERE scope = $1 AND key = $2 AND resource_id = $3 AND NOT confirmed`

// ReleaseKey implements domain.IdempotencyRepository.
func (s *Store) ReleaseKey(ctx context.Context, scope uuid.UUID, key domain.ConfirmedKey) error {
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{scope}, func(on session) error {
		_, err := on.Exec(ctx, releaseKeySQL, scope, key.Key, key.ID)
		return err
	})
	return translate(err, "release idempotency key")
}

const deleteExpiredKeysSQL = `
DELETE FROM idempotency
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM idempotency WHERE expires_at <= now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
))`

// DeleteExpiredKeys implements domain.IdempotencyRepository. Keys that
// somebody is just claiming again are left alone.
func (s *Store) DeleteExpiredKeys(ctx context.Context, limit int) (int, error) {
	return s.deleteSome(ctx, "delete expired idempotency keys", deleteExpiredKeysSQL, max(0, limit))
}

// deleteSome runs a DELETE for rows of any tenants, and returns how many rows
// there were.
func (s *Store) deleteSome(ctx context.Context, verb, query string, arguments ...any) (int, error) {
	tag, err := s.asSystem(s.general).Exec(ctx, query, arguments...)
	if err != nil {
		return 0, translate(err, verb)
	}
	return int(tag.RowsAffected()), nil
}

// retryContended runs a single statement again when a deadlock ended it.
func retryContended(fn func() error) error {
	var err error
	for range claimTries {
		if err = fn(); !postgres.IsDeadlock(err) {
			return err
		}
	}
	return err
}
