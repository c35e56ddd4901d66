package repository

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
)

// delivererKept is for how long a replica that is gone without a word is still
// listed. Nothing hangs on it: one that is not listed was not seen.
const delivererKept = time.Hour

// beatDelivererSQL records that the replica was seen. The parts of the statement do
// not see each other's changes, so the replica itself is named apart from the
// rest. A row from the future was written before the clock was set back. Whose it
// is may live, so it counts as seen just now: deliveries must not begin twice.
const beatDelivererSQL = `
WITH beat AS (
    INSERT INTO deliverers (name, leaving) VALUES ($2, $3)
    ON CONFLICT (name) DO UPDATE SET leaving = excluded.leaving, seen_at = now()
), doubtful AS (
    UPDATE deliverers SET seen_at = now()
    WHERE name IN (SELECT name FROM deliverers WHERE seen_at > now() + interval '1 s' AND name <> $2 FOR UPDATE SKIP LOCKED)
), forgotten AS (
    DELETE FROM deliverers
    WHERE name IN (SELECT name FROM deliverers WHERE seen_at < now() - greatest($4::interval, $1::interval) AND name <> $2 FOR UPDATE SKIP LOCKED)
)
SELECT p.name FROM deliverers p WHERE p.seen_at > now() - $1::interval AND NOT p.leaving AND p.name <> $2
UNION ALL
SELECT $2 WHERE NOT $3::boolean
ORDER BY 1`

// BeatDeliverer implements domain.DeliveryRepository.
func (s *Store) BeatDeliverer(ctx context.Context, name string, leaving bool, ttl time.Duration) ([]string, error) {
	return s.replicaNames(ctx, "record that the replica delivers", beatDelivererSQL, ttl, name, leaving, delivererKept)
}

const removeDelivererSQL = `DELETE FROM deliverers WHERE name = $1`

// RemoveDeliverer implements domain.DeliveryRepository. Removing one that is not
// there is no error.
func (s *Store) RemoveDeliverer(ctx context.Context, name string) error {
	_, err := s.fleet.Exec(ctx, removeDelivererSQL, name)
	return translate(err, "remove a replica that delivers")
}

const deliveryTenantsSQL = `
SELECT t.id, e.status, count(*) FROM tenants t JOIN endpoints e ON e.tenant_id = t.id
WHERE t.status NOT IN ('deleting', 'deleted')
GROUP BY t.id, e.status`

// DeliveryTenants implements domain.DeliveryRepository.
func (s *Store) DeliveryTenants(ctx context.Context) (map[uuid.UUID]map[domain.EndpointStatus]int, error) {
	rows, err := s.asSystem(s.deliveries).Query(ctx, deliveryTenantsSQL)
	if err != nil {
		return nil, translate(err, "list tenants with endpoints")
	}
	tenants := make(map[uuid.UUID]map[domain.EndpointStatus]int)
	var id uuid.UUID
	var status domain.EndpointStatus
	var n int
	_, err = pgx.ForEachRow(rows, []any{&id, &status, &n}, func() error {
		if tenants[id] == nil {
			tenants[id] = make(map[domain.EndpointStatus]int)
		}
		tenants[id][status] = n
		return nil
	})
	if err != nil {
		return nil, translate(err, "list tenants with endpoints")
	}
	return tenants, nil
}
