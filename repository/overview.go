package repository

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
)

var _ domain.OverviewRepository = (*Store)(nil)

const overviewTimeSQL = `SELECT now()`

// tenantSightsSQL has a row for each tenant. An endpoint's lag is that of
// endpointProgressSQL, and an open delivery beyond its cursor is in last_seq already.
// Endpoints are compared by their own ids, which no two of them share, and not by their
// tenants' as well: the planner would take both to be rare, expect a handful of rows, and
// look each up.
const tenantSightsSQL = `
WITH open AS (
    SELECT d.endpoint_id, count(*) AS n
    FROM deliveries d JOIN endpoint_cursors c ON c.endpoint_id = d.endpoint_id AND d.seq <= c.settled_seq
    GROUP BY d.endpoint_id
), lags AS (
    SELECT e.tenant_id, e.status, c.breaker_opened_at, s.last_seq - c.settled_seq + coalesce(o.n, 0) AS lag
    FROM endpoints e
    JOIN endpoint_cursors c ON c.endpoint_id = e.id
    JOIN tenant_streams s ON s.tenant_id = e.tenant_id
    LEFT JOIN open o ON o.endpoint_id = e.id
), ends AS (
    SELECT tenant_id, count(*) AS total, count(*) FILTER (WHERE status = 'active') AS active, count(*) FILTER (WHERE status = 'held') AS held,
           count(*) FILTER (WHERE status = 'disabled') AS disabled,
           count(*) FILTER (WHERE status = 'active' AND breaker_opened_at IS NOT NULL) AS open,
           sum(lag)::bigint AS lag, coalesce(sum(lag) FILTER (WHERE status = 'held'), 0)::bigint AS held_lag
    FROM lags GROUP BY tenant_id
), reports AS (
    SELECT r.tenant_id, r.state, r.replica, r.busy, r.depth, r.since, r.last_error, r.oldest_at
    FROM consumer_reports r JOIN replicas p ON p.name = r.replica WHERE ` + liveReplica + `
)
SELECT t.id, t.name, coalesce(t.external_id, ''), t.status, t.paused, t.workers, t.user_id, t.created_at, t.updated_at,
       coalesce(s.last_seq, 0), s.last_stored_at, coalesce(d.waiting, 0),
       coalesce(e.total, 0), coalesce(e.active, 0), coalesce(e.held, 0), coalesce(e.disabled, 0), coalesce(e.open, 0),
       coalesce(e.lag, 0), coalesce(e.held_lag, 0),
       coalesce(r.state, ''), coalesce(r.replica, ''), coalesce(r.busy, 0), coalesce(r.last_error, ''), r.since, coalesce(r.depth, -1), r.oldest_at
FROM tenants t
LEFT JOIN tenant_streams s ON s.tenant_id = t.id
LEFT JOIN reports r ON r.tenant_id = t.id
LEFT JOIN dead_letter_counts d ON d.tenant_id = t.id
LEFT JOIN ends e ON e.tenant_id = t.id
WHERE t.status <> 'deleted'
ORDER BY t.id`

// readTenantSights reads what tenantSightsSQL found.
func readTenantSights(rows pgx.Rows, sight *domain.FleetSight) error {
	var t domain.TenantSight
	var owner uuid.NullUUID
	var storedAt, since, oldestAt *time.Time
	e := &t.Endpoints
	_, err := pgx.ForEachRow(rows, []any{
		&t.ID, &t.Name, &t.ExternalID, &t.Status, &t.Stopped, &t.Workers, &owner, &t.CreatedAt, &t.UpdatedAt,
		&t.LastSeq, &storedAt, &t.DeadLetters,
		&e.Total, &e.Active, &e.Held, &e.Disabled, &e.BreakerOpen, &e.Lag, &e.HeldLag,
		&t.Consumer, &t.Replica, &t.Busy, &t.LastError, &since, &t.Backlog, &oldestAt,
	}, func() error {
		t.OwnerID, t.LastStoredAt, t.Since, t.OldestAt = owner.UUID, timeOrZero(storedAt), timeOrZero(since), timeOrZero(oldestAt)
		sight.Tenants = append(sight.Tenants, t)
		return nil
	})
	return err //nolint:wrapcheck // the caller says what failed
}

// endpointSightsSQL finds the endpoints that do not get what they should, of each
// tenant those with the largest lag.
const endpointSightsSQL = `
WITH troubled AS (
    SELECT e.tenant_id, e.id, coalesce(e.external_id, e.description) AS name, e.url, e.status, e.status_reason, c.breaker_opened_at, c.settled_seq
    FROM endpoints e JOIN endpoint_cursors c ON c.endpoint_id = e.id
    WHERE e.status <> 'active' OR c.breaker_opened_at IS NOT NULL
), open AS (
    SELECT d.endpoint_id, count(*) AS n
    FROM deliveries d JOIN troubled t ON t.id = d.endpoint_id AND d.seq <= t.settled_seq
    GROUP BY d.endpoint_id
), lags AS (
    SELECT t.*, s.last_seq - t.settled_seq + coalesce(o.n, 0) AS lag
    FROM troubled t JOIN tenant_streams s ON s.tenant_id = t.tenant_id LEFT JOIN open o ON o.endpoint_id = t.id
), ranked AS (
    SELECT l.*, row_number() OVER (PARTITION BY tenant_id ORDER BY lag DESC, id) AS place FROM lags l
)
SELECT tenant_id, id, name, url, status, status_reason, breaker_opened_at, lag FROM ranked
WHERE place <= $1
ORDER BY tenant_id, place`

func readEndpointSights(rows pgx.Rows, sight *domain.FleetSight) error {
	var e domain.EndpointSight
	var url string
	var openedAt *time.Time
	_, err := pgx.ForEachRow(rows, []any{&e.TenantID, &e.ID, &e.Name, &url, &e.Status, &e.Reason, &openedAt, &e.Lag}, func() error {
		found := e
		found.BreakerOpenedAt = timeOrZero(openedAt)
		if found.Name == "" {
			found.Name = domain.PublicURL(url)
		}
		sight.Endpoints = append(sight.Endpoints, found)
		return nil
	})
	return err //nolint:wrapcheck // the caller says what failed
}

// freshLettersSQL looks at no more than the latest letters of each tenant that has any.
const freshLettersSQL = `
SELECT c.tenant_id, l.n, l.first_at, l.last_at
FROM dead_letter_counts c
CROSS JOIN LATERAL (
    SELECT count(*) AS n, min(created_at) AS first_at, max(created_at) AS last_at
    FROM (
        SELECT created_at, replayed_at FROM dead_letters
        WHERE tenant_id = c.tenant_id AND created_at > now() - $1::interval
        ORDER BY created_at DESC LIMIT $2
    ) AS latest
    WHERE replayed_at IS NULL
) AS l
WHERE c.waiting > 0 AND l.n > 0`

func readFreshLetters(rows pgx.Rows, sight *domain.FleetSight) error {
	var l domain.FreshLetters
	_, err := pgx.ForEachRow(rows, []any{&l.TenantID, &l.Count, &l.FirstAt, &l.LastAt}, func() error {
		sight.Letters = append(sight.Letters, l)
		return nil
	})
	return err //nolint:wrapcheck // the caller says what failed
}

// haltsSQL finds for each tenant that is inactive, or whose consumer is stopped, the line
// of the audit log that says who did that. What was done in SQL has none.
const haltsSQL = `
SELECT t.id, a.action, a.at, a.actor_kind, a.actor_id, a.key_id, coalesce(u.email, '')
FROM tenants t
CROSS JOIN LATERAL (
    SELECT done.* FROM (
        (SELECT id, action, at, actor_kind, actor_id, key_id FROM audit
         WHERE tenant_id = t.id
           AND CASE t.status WHEN 'inactive' THEN action = 'tenant.change' AND after->>'status' = 'inactive' ELSE action = 'consumer.stop' END
         ORDER BY id DESC LIMIT 1)
        UNION ALL
        (SELECT id, action, at, actor_kind, actor_id, key_id FROM audit
         WHERE action = 'consumer.stop_all' AND t.status <> 'inactive'
         ORDER BY id DESC LIMIT 1)
    ) AS done
    ORDER BY id DESC LIMIT 1
) AS a
LEFT JOIN users u ON u.user_id = a.actor_id
WHERE t.status = 'inactive' OR t.status = 'active' AND t.paused`

func readHalts(rows pgx.Rows, sight *domain.FleetSight) error {
	var h domain.Halt
	var actor, key uuid.NullUUID
	_, err := pgx.ForEachRow(rows, []any{&h.TenantID, &h.Action, &h.At, &h.Actor.Kind, &actor, &key, &h.Name}, func() error {
		h.Actor.UserID, h.Actor.KeyID = actor.UUID, key.UUID
		sight.Halts = append(sight.Halts, h)
		return nil
	})
	return err //nolint:wrapcheck // the caller says what failed
}

const ownerSightsSQL = `
SELECT u.user_id, u.email, coalesce(u.role, 'member'), u.limits, o.tenants, o.workers
FROM (
    SELECT user_id, count(*) AS tenants, sum(workers) AS workers FROM tenants
    WHERE status <> 'deleted' AND user_id IS NOT NULL
    GROUP BY user_id
) AS o
JOIN users u ON u.user_id = o.user_id`

func readOwnerSights(rows pgx.Rows, sight *domain.FleetSight) error {
	var o domain.OwnerSight
	var limits []byte
	_, err := pgx.ForEachRow(rows, []any{&o.ID, &o.Email, &o.Use.Role, &limits, &o.Use.Tenants, &o.Use.Workers}, func() error {
		o.Use.Limits = readLimits(limits)
		sight.Owners = append(sight.Owners, o)
		return nil
	})
	return err //nolint:wrapcheck // the caller says what failed
}

const replicaSightsSQL = `SELECT name, version, started_at, seen_at, reaches_broker FROM replicas ORDER BY started_at, name`

func readReplicaSights(rows pgx.Rows, sight *domain.FleetSight) error {
	var r domain.ReplicaSight
	_, err := pgx.ForEachRow(rows, []any{&r.Name, &r.Version, &r.StartedAt, &r.SeenAt, &r.ReachesBroker}, func() error {
		sight.Replicas = append(sight.Replicas, r)
		return nil
	})
	return err //nolint:wrapcheck // the caller says what failed
}

const movesSQL = `
SELECT tenant_id, previous, replica, moved_at FROM tenant_moves
WHERE previous IS NOT NULL
ORDER BY moved_at DESC, tenant_id DESC
LIMIT $1`

func readMoves(rows pgx.Rows, sight *domain.FleetSight) error {
	var m domain.Move
	_, err := pgx.ForEachRow(rows, []any{&m.TenantID, &m.From, &m.To, &m.At}, func() error {
		sight.Moves = append(sight.Moves, m)
		return nil
	})
	return err //nolint:wrapcheck // the caller says what failed
}

// ReadFleet implements domain.OverviewRepository. It is one round trip, on a connection
// whose planner may read and sort whole tables.
func (s *Store) ReadFleet(ctx context.Context, q domain.SightQuery) (domain.FleetSight, error) {
	var sight domain.FleetSight
	var batch pgx.Batch
	batch.Queue(overviewTimeSQL).QueryRow(func(row pgx.Row) error { return row.Scan(&sight.At) })
	for _, part := range []struct {
		sql  string
		args []any
		read func(pgx.Rows, *domain.FleetSight) error
	}{
		{tenantSightsSQL, []any{domain.ReplicaGoneAfter}, readTenantSights},
		{endpointSightsSQL, []any{q.EndpointsPerTenant}, readEndpointSights},
		{freshLettersSQL, []any{q.FreshFor, q.LettersPerTenant}, readFreshLetters},
		{haltsSQL, nil, readHalts},
		{ownerSightsSQL, nil, readOwnerSights},
		{replicaSightsSQL, nil, readReplicaSights},
		{movesSQL, []any{q.Moves}, readMoves},
	} {
		batch.Queue(part.sql, part.args...).Query(func(rows pgx.Rows) error { return part.read(rows, &sight) })
	}
	if err := s.fleet.SendBatch(ctx, &batch).Close(); err != nil {
		return domain.FleetSight{}, translate(err, "look at all tenants")
	}
	sight.At = sight.At.UTC()
	return sight, nil
}

const countStoredSQL = `SELECT tenant_id, last_seq FROM tenant_streams`

// CountStored implements domain.OverviewRepository.
func (s *Store) CountStored(ctx context.Context) (domain.StoredCounts, error) {
	counts := domain.StoredCounts{LastSeq: make(map[uuid.UUID]int64)}
	var batch pgx.Batch
	batch.Queue(overviewTimeSQL).QueryRow(func(row pgx.Row) error { return row.Scan(&counts.At) })
	batch.Queue(countStoredSQL).Query(func(rows pgx.Rows) error {
		var id uuid.UUID
		var seq int64
		_, err := pgx.ForEachRow(rows, []any{&id, &seq}, func() error { counts.LastSeq[id] = seq; return nil })
		return err //nolint:wrapcheck // translated below
	})
	if err := s.fleet.SendBatch(ctx, &batch).Close(); err != nil {
		return domain.StoredCounts{}, translate(err, "count what is stored")
	}
	counts.At = counts.At.UTC()
	return counts, nil
}
