package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

// maxReportedError is how many bytes of a consumer's last error are kept.
const maxReportedError = 1000

// Rows are locked in the order of their tenants, as by every other replica. What
// a replica tells of a consumer that leaves it does not hide what the tenant's
// new owner told of his. A tenant that runs here and ran elsewhere before has moved.
const reportConsumersSQL = `
WITH ended AS MATERIALIZED (
    SELECT tenant_id FROM consumer_reports WHERE tenant_id = ANY($2::uuid[]) AND replica = $1 ORDER BY tenant_id FOR UPDATE
), removed AS (
    DELETE FROM consumer_reports r USING ended WHERE r.tenant_id = ended.tenant_id AND r.replica = $1
), moved AS (
    INSERT INTO tenant_moves (tenant_id, replica)
    SELECT t.id, $1
    FROM unnest($3::uuid[], $4::text[]) AS n (tenant_id, state)
    JOIN tenants t ON t.id = n.tenant_id AND t.status NOT IN ('deleting', 'deleted')
    LEFT JOIN tenant_moves m ON m.tenant_id = n.tenant_id
    WHERE n.state = 'running' AND m.replica IS DISTINCT FROM $1
    ORDER BY t.id
    ON CONFLICT (tenant_id) DO UPDATE SET replica = excluded.replica, previous = tenant_moves.replica, moved_at = now()
    WHERE tenant_moves.replica <> excluded.replica
)
INSERT INTO consumer_reports (tenant_id, replica, state, workers, busy, depth, tag, since, last_error,
    held, trouble, store_trouble, store_trouble_since, oldest_at)
SELECT n.tenant_id, $1, n.state, n.workers, n.busy, n.depth, n.tag, n.since, n.last_error,
    n.held, n.trouble, n.store_trouble, n.store_trouble_since, n.oldest_at
FROM unnest($3::uuid[], $4::text[], $5::int[], $6::int[], $7::bigint[], $8::text[], $9::timestamptz[], $10::text[],
        $11::bigint[], $12::text[], $13::text[], $14::timestamptz[], $15::timestamptz[])
    AS n (tenant_id, state, workers, busy, depth, tag, since, last_error, held, trouble, store_trouble, store_trouble_since, oldest_at)
ORDER BY n.tenant_id
ON CONFLICT (tenant_id) DO UPDATE SET
    replica = excluded.replica, state = excluded.state, workers = excluded.workers, busy = excluded.busy,
    depth = excluded.depth, tag = excluded.tag, since = excluded.since, last_error = excluded.last_error,
    reported_at = excluded.reported_at, held = excluded.held, trouble = excluded.trouble,
    store_trouble = excluded.store_trouble, store_trouble_since = excluded.store_trouble_since, oldest_at = excluded.oldest_at
WHERE excluded.state <> 'draining' OR consumer_reports.replica = excluded.replica`

// ReportConsumers implements domain.ReportRepository. No tenant may be named
// twice.
func (s *Store) ReportConsumers(ctx context.Context, replica string, changed []domain.ConsumerStatus, ended []uuid.UUID) error {
	if len(changed)+len(ended) == 0 {
		return nil
	}
	ids := make(postgres.UUIDs, len(changed))
	states, tags, problems := make([]string, len(changed)), make([]string, len(changed)), make([]string, len(changed))
	workers, busy, depths := make([]int, len(changed)), make([]int, len(changed)), make([]int64, len(changed))
	since, troubledSince, oldest := make([]*time.Time, len(changed)), make([]*time.Time, len(changed)), make([]*time.Time, len(changed))
	held, troubles, storeTroubles := make([]int64, len(changed)), make([]string, len(changed)), make([]string, len(changed))
	for i := range changed {
		c := &changed[i]
		ids[i], states[i], tags[i], problems[i] = c.TenantID, string(c.State), c.Tag, storableText(c.LastError[:min(len(c.LastError), maxReportedError)])
		workers[i], busy[i], depths[i], since[i], oldest[i] = c.Workers, c.Busy, max(-1, c.Depth), nullTime(c.Since), nullTime(c.OldestAt)
		held[i], troubles[i], storeTroubles[i], troubledSince[i] = max(-1, c.Held), string(c.Trouble), string(c.Store.Kind), nullTime(c.Store.Since)
	}
	if ended == nil {
		ended = []uuid.UUID{}
	}
	_, err := s.fleet.Exec(ctx, reportConsumersSQL, replica, postgres.UUIDs(ended),
		ids, states, workers, busy, depths, tags, since, problems, held, troubles, storeTroubles, troubledSince, oldest)
	return translate(err, "report consumers")
}

const consumerReportsSQL = `
SELECT r.tenant_id, r.replica, r.state, r.workers, r.busy, r.depth, r.tag, r.since, r.last_error,
    r.held, r.trouble, r.store_trouble, r.store_trouble_since, extract(epoch FROM now() - p.seen_at)::float8
FROM consumer_reports r JOIN replicas p ON p.name = r.replica
WHERE r.tenant_id = ANY($2::uuid[]) AND ` + liveReplica

// ConsumerReports implements domain.ReportRepository. What it returns does not
// say whether a consumer was stopped on purpose.
func (s *Store) ConsumerReports(ctx context.Context, tenantIDs []uuid.UUID, ttl time.Duration) (map[uuid.UUID]domain.ConsumerStatus, error) {
	reports := make(map[uuid.UUID]domain.ConsumerStatus, len(tenantIDs))
	if len(tenantIDs) == 0 {
		return reports, nil
	}
	err := s.shared(ctx, uuid.Nil, func(conn *pgxpool.Conn) error {
		rows, err := s.ofTenants(conn, tenantIDs...).Query(ctx, consumerReportsSQL, ttl, postgres.UUIDs(tenantIDs))
		if err != nil {
			return fmt.Errorf("query reports: %w", err)
		}
		var c domain.ConsumerStatus
		var since, troubledSince *time.Time
		var unheard float64
		into := []any{
			&c.TenantID, &c.Replica, &c.State, &c.Workers, &c.Busy, &c.Depth, &c.Tag, &since, &c.LastError,
			&c.Held, &c.Trouble, &c.Store.Kind, &troubledSince, &unheard,
		}
		_, err = pgx.ForEachRow(rows, into, func() error {
			c.Since, c.Store.Since, c.Unheard = timeOrZero(since), timeOrZero(troubledSince), time.Duration(max(0, unheard)*float64(time.Second))
			reports[c.TenantID] = c
			return nil
		})
		return err //nolint:wrapcheck // translated below
	})
	if err != nil {
		return nil, translate(err, "read consumers' reports")
	}
	return reports, nil
}

const consumerDepthsSQL = `
SELECT r.tenant_id, r.depth
FROM consumer_reports r JOIN replicas p ON p.name = r.replica
WHERE r.depth >= 0 AND ` + liveReplica

// ConsumerDepths implements domain.ReportRepository.
func (s *Store) ConsumerDepths(ctx context.Context, ttl time.Duration) (map[uuid.UUID]int64, error) {
	rows, err := s.fleet.Query(ctx, consumerDepthsSQL, ttl)
	if err != nil {
		return nil, translate(err, "read queues' depths")
	}
	depths := make(map[uuid.UUID]int64)
	var id uuid.UUID
	var depth int64
	_, err = pgx.ForEachRow(rows, []any{&id, &depth}, func() error {
		depths[id] = depth
		return nil
	})
	if err != nil {
		return nil, translate(err, "read queues' depths")
	}
	return depths, nil
}
