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

const startCursorSQL = `
SELECT settled_seq, version, breaker_opened_at, failing_since, reading_stopped
FROM endpoint_cursors WHERE tenant_id = $1 AND endpoint_id = $2
FOR UPDATE`

// startWaitingSQL makes due what waits for nothing (any more). With order by key, what
// has a row behind the cursor may wait for a message that has none.
const startWaitingSQL = `
UPDATE deliveries d SET next_at = statement_timestamp()
WHERE d.tenant_id = $1 AND d.endpoint_id = $2 AND d.next_at IS NULL AND (
    d.ordering_key IS NULL
    OR NOT EXISTS (SELECT FROM endpoints e WHERE e.tenant_id = $1 AND e.id = $2 AND e.ordering = 'key')
    OR d.seq <= (SELECT settled_seq FROM endpoint_cursors WHERE tenant_id = $1 AND endpoint_id = $2) AND NOT EXISTS (
        SELECT FROM deliveries b
        WHERE b.tenant_id = $1 AND b.endpoint_id = $2 AND b.ordering_key = d.ordering_key AND b.seq < d.seq
    )
)`

const rowsBeyondSQL = `
SELECT d.seq FROM endpoint_cursors c JOIN deliveries d ON d.tenant_id = c.tenant_id AND d.endpoint_id = c.endpoint_id AND d.seq > c.settled_seq
WHERE c.tenant_id = $1 AND c.endpoint_id = $2`

const countKeysSQL = `
SELECT coalesce(d.ordering_key, ''), count(*), count(*) FILTER (WHERE d.seq <= c.settled_seq)
FROM endpoint_cursors c JOIN deliveries d ON d.tenant_id = c.tenant_id AND d.endpoint_id = c.endpoint_id
WHERE c.tenant_id = $1 AND c.endpoint_id = $2
GROUP BY d.ordering_key`

const firstDueSQL = `
SELECT ` + nextInSQL + ` FROM deliveries
WHERE tenant_id = $1 AND endpoint_id = $2 AND next_at IS NOT NULL
ORDER BY next_at LIMIT 1`

// nextInSQL is how long it is until next_at, in microseconds.
const nextInSQL = `(extract(epoch FROM next_at - statement_timestamp()) * 1000000)::bigint`

// StartDelivery implements domain.DeliveryRepository.
func (s *Store) StartDelivery(ctx context.Context, tenantID, endpointID uuid.UUID) (domain.DeliveryStart, error) {
	var start domain.DeliveryStart
	var opened, failing *time.Time
	err := s.WithTenant(ctx, deliveryAccess, []uuid.UUID{tenantID}, func(tx session) error {
		var batch pgx.Batch
		batch.Queue(beginSQL)
		batch.Queue(startCursorSQL, tenantID, endpointID).QueryRow(func(row pgx.Row) error {
			err := row.Scan(&start.Settled, &start.Version, &opened, &failing, &start.Health.ReadingStopped)
			if errors.Is(err, pgx.ErrNoRows) {
				return domain.EndpointNotFound()
			}
			return err //nolint:wrapcheck // wrapped below
		})
		batch.Queue(startWaitingSQL, tenantID, endpointID)
		batch.Queue(countKeysSQL, tenantID, endpointID).Query(func(rows pgx.Rows) error {
			start.Keys = make(map[string]int)
			var key string
			var all, passed int
			_, err := pgx.ForEachRow(rows, []any{&key, &all, &passed}, func() error {
				start.Rows += all
				if key != "" && passed > 0 {
					start.Keys[key] = passed
				}
				return nil
			})
			return err //nolint:wrapcheck // wrapped below
		})
		batch.Queue(rowsBeyondSQL, tenantID, endpointID).Query(func(rows pgx.Rows) (err error) {
			start.Beyond, err = pgx.AppendRows(start.Beyond, rows, pgx.RowTo[int64])
			return err //nolint:wrapcheck // wrapped below
		})
		batch.Queue(firstDueSQL, tenantID, endpointID).QueryRow(func(row pgx.Row) error {
			return scanNextIn(row, &start.Due, &start.NextIn)
		})
		batch.Queue(runningReplaySQL, tenantID, endpointID).Query(func(rows pgx.Rows) (err error) {
			start.Replay, err = collectReplay(rows)
			return err
		})
		batch.Queue(commitSQL)
		if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
			return fmt.Errorf("start: %w", err)
		}
		return nil
	})
	if err != nil {
		return domain.DeliveryStart{}, translate(err, "start deliveries")
	}
	start.Health.BreakerOpenedAt, start.Health.FailingSince = timeOrZero(opened), timeOrZero(failing)
	return start, nil
}

// scanNextIn reads firstDueSQL, which has no row when nothing is due.
func scanNextIn(row pgx.Row, due *bool, in *time.Duration) error {
	var micros int64
	err := row.Scan(&micros)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	*due, *in = err == nil, time.Duration(micros)*time.Microsecond
	return err //nolint:wrapcheck // wrapped by the caller
}

// timeOrZero returns the time in UTC, zero for nil.
func timeOrZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
