package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

var _ domain.ExplainRepository = (*Store)(nil)

const (
	// delivererTTL is how old the heartbeat of a replica that delivers may be, which comes
	// every two seconds. Others wait longer until they deliver in its place.
	delivererTTL = 5 * time.Second
	// maxAttemptsCounted bounds what is counted of the attempts of an endpoint.
	maxAttemptsCounted = 100_000
	// maxHolds bounds how many lines of the audit log are looked through for who held
	// endpoints.
	maxHolds = 500
)

const explainTenantSQL = `
SELECT clock_timestamp(), coalesce((SELECT last_seq FROM tenant_streams WHERE tenant_id = $1), 0),
       coalesce((SELECT c.owner FROM delivery_claims c JOIN deliverers d ON d.name = c.owner
                 WHERE c.tenant_id = $1 AND d.seen_at > statement_timestamp() - $2::interval), '')`

// explainEndpointsSQL reads for each endpoint how far deliveries are, the oldest one that
// failed, how many wait for others of their key, and how the newest attempts went.
const explainEndpointsSQL = `
SELECT e.id, e.url, e.types, e.rate, e.ordering, e.on_failure, e.retry_schedule_ms, e.status, e.status_reason, e.updated_at,
       c.settled_seq, coalesce(s.last_seq, 0), coalesce(c.breaker_opened_at, 'epoch'), coalesce(c.failing_since, 'epoch'), c.reading_stopped,
       (SELECT count(*) FROM deliveries d WHERE d.tenant_id = $1 AND d.endpoint_id = e.id AND d.seq <= c.settled_seq),
       (SELECT count(*) FROM deliveries d WHERE d.tenant_id = $1 AND d.endpoint_id = e.id AND d.next_at IS NULL),
       coalesce(f.seq, 0), coalesce(f.message_id, '00000000-0000-0000-0000-000000000000'), coalesce(f.ordering_key, ''), coalesce(f.attempts, 0),
       coalesce(f.last_status, 0), coalesce(f.last_error, ''), coalesce(f.next_at, 'epoch'),
       r.n, coalesce(r.age, 0),
       coalesce(n.status, 0), coalesce(n.error, '')
FROM endpoints e
JOIN endpoint_cursors c ON c.tenant_id = e.tenant_id AND c.endpoint_id = e.id
LEFT JOIN tenant_streams s ON s.tenant_id = e.tenant_id
LEFT JOIN LATERAL (
    SELECT seq, message_id, ordering_key, attempts, last_status, last_error, next_at FROM deliveries
    WHERE tenant_id = $1 AND endpoint_id = e.id AND attempts > 0 ORDER BY seq LIMIT 1
) AS f ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS n, extract(epoch FROM clock_timestamp() - min(at))::float8 AS age FROM (
        SELECT at FROM attempts
        WHERE tenant_id = $1 AND endpoint_id = e.id AND at > statement_timestamp() - $2::interval AND error = '' ORDER BY at DESC LIMIT $3
    ) AS counted
) AS r
LEFT JOIN LATERAL (
    SELECT status, error FROM attempts
    WHERE tenant_id = $1 AND endpoint_id = e.id AND at > statement_timestamp() - interval '1 day' ORDER BY at DESC LIMIT 1
) AS n ON true
WHERE e.tenant_id = $1
ORDER BY e.created_at, e.id`

// deedColumns are those of a line a of the audit log, as scanDeed takes them.
const deedColumns = `
SELECT a.action, coalesce(a.target, ''), a.at, a.actor_kind, a.actor_id, a.key_id, coalesce(a.address, ''), coalesce(k.name, u.email, '')
FROM (`

const deedNames = `) AS a LEFT JOIN users u ON u.user_id = a.actor_id LEFT JOIN api_keys k ON k.id = a.key_id
`

// explainDeedsSQL finds who did last what keeps a tenant from being consumed, and from
// being delivered to its endpoints.
const explainDeedsSQL = deedColumns + `
    (SELECT * FROM audit WHERE tenant_id = $1 AND action = 'consumer.stop' ORDER BY id DESC LIMIT 1)
    UNION ALL
    (SELECT * FROM audit WHERE action = 'consumer.stop_all' ORDER BY id DESC LIMIT 1)
    UNION ALL
    (SELECT * FROM audit WHERE tenant_id = $1 AND action = 'tenant.change' AND after ->> 'status' = 'inactive' ORDER BY id DESC LIMIT 1)
    UNION ALL
    (SELECT * FROM audit WHERE tenant_id = $1 AND action = 'endpoint.hold' ORDER BY id DESC LIMIT $2)
` + deedNames + `ORDER BY a.id`

// TenantFacts implements domain.ExplainRepository.
func (s *Store) TenantFacts(ctx context.Context, tenantID uuid.UUID) (domain.TenantFacts, error) {
	facts := domain.TenantFacts{Held: make(map[uuid.UUID]domain.Deed)}
	err := s.shared(ctx, tenantID, func(conn *pgxpool.Conn) error {
		var batch pgx.Batch
		batch.Queue(explainTenantSQL, tenantID, delivererTTL).QueryRow(func(row pgx.Row) error {
			return row.Scan(&facts.At, &facts.LastSeq, &facts.Deliverer) //nolint:wrapcheck // wrapped below
		})
		batch.Queue(explainEndpointsSQL, tenantID, domain.DeliveredWithin, maxAttemptsCounted).Query(func(rows pgx.Rows) (err error) {
			facts.Endpoints, err = pgx.CollectRows(rows, scanEndpointFacts)
			return err //nolint:wrapcheck // wrapped below
		})
		if err := s.ofTenants(conn, tenantID).SendBatch(ctx, &batch).Close(); err != nil {
			return fmt.Errorf("read how far the tenant is: %w", err)
		}
		rows, err := s.asSystem(conn).Query(ctx, explainDeedsSQL, tenantID, maxHolds)
		if err != nil {
			return fmt.Errorf("query the audit log: %w", err)
		}
		return collectDeeds(rows, &facts)
	})
	if err != nil {
		return domain.TenantFacts{}, translateExplain(err, "explain a tenant")
	}
	facts.At = facts.At.UTC()
	return facts, nil
}

func scanEndpointFacts(row pgx.CollectableRow) (domain.EndpointFacts, error) {
	var f domain.EndpointFacts
	var types []string
	var scheduleMS []int64
	var age float64
	e, p, h := &f.Endpoint, &f.Progress, &f.Progress.Health
	err := row.Scan(
		&e.ID, &e.URL, &types, &e.Rate, &e.Ordering, &e.OnFailure, &scheduleMS, &e.Status, &e.StatusReason, &e.UpdatedAt,
		&p.Settled, &p.Last, &h.BreakerOpenedAt, &h.FailingSince, &h.ReadingStopped, &p.Open, &f.Behind,
		&f.Failed.Seq, &f.Failed.MessageID, &f.Failed.OrderingKey, &f.Failed.Attempts, &f.Failed.LastStatus, &f.Failed.LastError, &f.FailedNext,
		&f.Delivered, &age, &f.LastStatus, &f.LastError,
	)
	for _, pattern := range types {
		e.Types = append(e.Types, domain.TypePattern(pattern))
	}
	for _, ms := range scheduleMS {
		e.Retry.Schedule = append(e.Retry.Schedule, time.Duration(ms)*time.Millisecond)
	}
	f.DeliveredFor = time.Duration(age * float64(time.Second))
	e.UpdatedAt = e.UpdatedAt.UTC()
	h.BreakerOpenedAt, h.FailingSince, f.FailedNext = epochIsNever(h.BreakerOpenedAt), epochIsNever(h.FailingSince), epochIsNever(f.FailedNext)
	return f, err //nolint:wrapcheck // wrapped by the caller
}

// collectDeeds takes in lines of the audit log, the oldest first.
func collectDeeds(rows pgx.Rows, facts *domain.TenantFacts) error {
	var deed domain.Deed
	var target string
	var user, key uuid.NullUUID
	by := &deed.By
	_, err := pgx.ForEachRow(rows, []any{&deed.What, &target, &deed.At, &by.Kind, &user, &key, &by.Address, &by.Name}, func() error {
		done := deed
		done.At, done.By.UserID, done.By.KeyID = deed.At.UTC(), user.UUID, key.UUID
		switch done.What { //nolint:exhaustive // what was asked for
		case domain.AuditConsumerStop, domain.AuditAllStop:
			facts.Stopped = &done
		case domain.AuditTenantChange:
			facts.Inactive = &done
		case domain.AuditEndpointHold:
			if id, err := domain.ParseID(target); err == nil {
				facts.Held[id] = done
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the audit log: %w", err)
	}
	return nil
}

// translateExplain is translate, which tells what others have locked from a database
// that is away.
func translateExplain(err error, verb string) error {
	if err == nil {
		return nil
	}
	if postgres.Classify(err) == postgres.ClassContended && !errors.Is(err, context.DeadlineExceeded) {
		return domain.Wrap(fmt.Errorf("%s: %w", verb, err), domain.ErrUnavailable, "database_locked",
			"Others have locked what this call needs; try again shortly.").After(retryAfter).Because(domain.ErrContended)
	}
	return translate(err, verb)
}

// storeProgressSQL finds when the newest message was stored, and others before it: each by
// its seq, so that it costs the same for a history of any length.
const storeProgressSQL = `
SELECT m.back, m.created_at, extract(epoch FROM clock_timestamp() - m.created_at)::float8
FROM tenant_streams s
CROSS JOIN LATERAL (
    SELECT b.back, m.created_at FROM unnest($2::bigint[]) AS b (back)
    CROSS JOIN LATERAL (SELECT created_at FROM messages WHERE tenant_id = $1 AND seq = s.last_seq - b.back) AS m
) AS m
WHERE s.tenant_id = $1
ORDER BY m.back`

// behindKeysSQL counts, of the next $2 messages after the cursor of each endpoint that
// keeps the order of keys, those of which an earlier one of the key is open.
const behindKeysSQL = `
SELECT e.id, count(*)
FROM endpoints e
JOIN endpoint_cursors c ON c.tenant_id = e.tenant_id AND c.endpoint_id = e.id
CROSS JOIN LATERAL (
    SELECT ordering_key FROM messages WHERE tenant_id = $1 AND seq > c.settled_seq ORDER BY seq LIMIT $2
) AS m
WHERE e.tenant_id = $1 AND e.ordering = 'key' AND m.ordering_key IS NOT NULL
  AND EXISTS (SELECT FROM deliveries d WHERE d.tenant_id = $1 AND d.endpoint_id = e.id AND d.attempts > 0)
  AND EXISTS (SELECT FROM deliveries d WHERE d.tenant_id = $1 AND d.endpoint_id = e.id AND d.ordering_key = m.ordering_key)
GROUP BY e.id`

// maxBehindKeys is how many messages are looked at for that.
const maxBehindKeys = 1000

// StoreProgress implements domain.ExplainRepository.
func (s *Store) StoreProgress(ctx context.Context, tenantID uuid.UUID) (domain.StoreProgress, error) {
	progress := domain.StoreProgress{BehindKeys: make(map[uuid.UUID]int64)}
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		var batch pgx.Batch
		found := false
		batch.Queue(storeProgressSQL, tenantID, ladder()).Query(func(rows pgx.Rows) error {
			var n int64
			var at time.Time
			var age float64
			var samples []sample
			_, err := pgx.ForEachRow(rows, []any{&n, &at, &age}, func() error {
				if n == 0 {
					progress.LastAt = at.UTC()
				}
				samples = append(samples, sample{n, time.Duration(max(0, age) * float64(time.Second))})
				return nil
			})
			measure(samples, &progress)
			found = err == nil
			return err //nolint:wrapcheck // wrapped below
		})
		batch.Queue(behindKeysSQL, tenantID, maxBehindKeys).Query(func(rows pgx.Rows) error {
			var id uuid.UUID
			var n int64
			_, err := pgx.ForEachRow(rows, []any{&id, &n}, func() error { progress.BehindKeys[id] = n; return nil })
			return err //nolint:wrapcheck // wrapped below
		})
		// What others have locked of endpoints says nothing of how messages are stored.
		if err := on.SendBatch(ctx, &batch).Close(); err != nil && !found {
			return fmt.Errorf("query messages: %w", err)
		}
		return nil
	})
	if err != nil {
		return domain.StoreProgress{}, translateExplain(err, "read how fast messages are stored")
	}
	return progress, nil
}
