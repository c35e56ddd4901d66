package repository

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
)

// resealChunk is how many endpoints are read at a time.
const resealChunk = 100

const listOtherwiseSealedSQL = `
SELECT ` + endpointColumns + `
FROM endpoints e
WHERE (e.tenant_id, e.id) > ($1, $2) AND e.sealed_with <> $3
ORDER BY e.tenant_id, e.id
LIMIT $4`

// resealEndpointSQL leaves the version as it is: the endpoint is what it was. Whoever
// changed it meanwhile has encrypted it with the key of that process.
const resealEndpointSQL = `
UPDATE endpoints SET headers = $3, secret = $4, old_secret = $5, sealed_with = $6
WHERE tenant_id = $1 AND id = $2 AND version = $7`

// ResealEndpoints encrypts what is kept of all endpoints with the first key of
// Options.Sealer, where that is another one or none. It returns how many endpoints it
// did that for, and how many it could not because no key decrypts them. Endpoints that
// others change meanwhile are left to them.
func (s *Store) ResealEndpoints(ctx context.Context) (resealed, unreadable int, err error) {
	var tenant, id uuid.UUID
	for {
		var found []domain.Endpoint
		rows, err := s.asSystem(s.general).Query(ctx, listOtherwiseSealedSQL, tenant, id, s.sealer.KeyID(), resealChunk)
		if err == nil {
			found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (domain.Endpoint, error) {
				var r endpointRow
				err := row.Scan(r.targets()...)
				return s.readEndpoint(&r), err
			})
		}
		if err != nil {
			return resealed, unreadable, translate(err, "read endpoints")
		}
		if len(found) == 0 {
			return resealed, unreadable, nil
		}
		for i := range found {
			e := &found[i]
			tenant, id = e.TenantID, e.ID
			if e.Unreadable {
				unreadable++
				continue
			}
			n, err := s.resealEndpoint(ctx, e)
			if err != nil {
				return resealed, unreadable, translate(err, "encrypt an endpoint")
			}
			resealed += n
		}
	}
}

// resealEndpoint returns 1 when it did, and 0 when the endpoint was changed or deleted
// meanwhile.
func (s *Store) resealEndpoint(ctx context.Context, e *domain.Endpoint) (int, error) {
	sealed, keyID, err := s.sealEndpoint(e)
	if err != nil {
		return 0, err
	}
	var n int64
	err = s.WithTenant(ctx, queryAccess, []uuid.UUID{e.TenantID}, func(on session) error {
		tag, err := on.Exec(ctx, resealEndpointSQL, e.TenantID, e.ID, sealed.headers, sealed.secret, sealed.oldSecret, keyID, e.Version)
		n = tag.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("update: %w", err)
	}
	return int(n), nil
}
