package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"lanekeeper/domain"
)

// ReadDeliveries implements domain.DeliveryRepository.
func (s *Store) ReadDeliveries(ctx context.Context, tenantID uuid.UUID, cursor int64, limit, maxBytes int) ([]domain.Message, error) {
	if limit <= 0 {
		return nil, nil
	}
	got, err := s.readDeliveries(ctx, tenantID, cursor, limit, maxBytes)
	for err == nil && len(got.messages) == 0 && got.next > 0 { // again when that one is deleted meanwhile
		got, err = s.readDeliveries(ctx, tenantID, cursor, 1, got.next)
	}
	return got.messages, translate(err, "read messages to deliver")
}

func (s *Store) readDeliveries(ctx context.Context, tenantID uuid.UUID, cursor int64, limit, maxBytes int) (messageRows, error) {
	var got messageRows
	err := s.WithTenant(ctx, deliveryAccess, []uuid.UUID{tenantID}, func(on session) error {
		rows, err := on.Query(ctx, historyAscendingSQL, tenantID, cursor, limit+1, maxBytes)
		if err != nil {
			return fmt.Errorf("query messages: %w", err)
		}
		got, err = collectMessages(rows, tenantID, limit, maxBytes)
		return err
	})
	return got, err
}

// A read of open deliveries is layered like one of messages: the innermost layer
// finds at most $4 rows by an index; their messages are found one by one; and no
// payload and no headers are read that have no room in $5 bytes.
const (
	dueBeginSQL = `
SELECT seq, message_id, coalesce(ordering_key, ''), attempts, round, replay_id, ` + nextInSQL + `, last_status, last_error,
       id IS NOT NULL, CASE WHEN upto <= $5 THEN coalesce(payload, 'null') END, created_at,
       coalesce(type, ''), coalesce(message_key, ''), CASE WHEN upto <= $5 THEN headers END, coalesce(trace_context, ''), size
FROM (
    SELECT *, sum(size) OVER place AS upto
    FROM (
        SELECT o.*, m.id, m.payload, m.created_at, m.type, m.ordering_key AS message_key, m.headers, m.trace_context, coalesce(m.size, 256) AS size
        FROM (
            SELECT seq, message_id, ordering_key, attempts, round, replay_id, next_at, last_status, last_error
            FROM deliveries
            WHERE tenant_id = $1 AND endpoint_id = $2 AND next_at IS NOT NULL AND seq <> ALL($3::bigint[])`
	dueMessagesSQL = `
            LIMIT $4
        ) AS o
        LEFT JOIN LATERAL (
            SELECT id, payload, created_at, type, ordering_key, headers, trace_context, ` + rowSizeSQL + ` AS size
            FROM messages WHERE tenant_id = $1 AND id = o.message_id
        ) AS m ON true
    ) AS page`

	readDueSQL = dueBeginSQL + `
              AND next_at <= statement_timestamp()
            ORDER BY next_at` + dueMessagesSQL + `
    WINDOW place AS (ORDER BY next_at, seq ROWS UNBOUNDED PRECEDING)
) AS sized
ORDER BY next_at, seq`

	readOldestSQL = dueBeginSQL + `
            ORDER BY seq` + dueMessagesSQL + `
    WINDOW place AS (ORDER BY seq ROWS UNBOUNDED PRECEDING)
) AS sized
ORDER BY seq`
)

// nextDueSQL finds the times of $4 rows, one more than may be returned.
const nextDueSQL = `
SELECT seq, ` + nextInSQL + ` FROM deliveries
WHERE tenant_id = $1 AND endpoint_id = $2 AND next_at IS NOT NULL AND seq <> ALL($3::bigint[])
ORDER BY next_at LIMIT $4`

// countOpenSQL counts no further than anybody wants to know.
const countOpenSQL = `
SELECT count(*) FROM (SELECT FROM deliveries WHERE tenant_id = $1 AND endpoint_id = $2 LIMIT $3) AS counted`

// DueDeliveries implements domain.DeliveryRepository.
func (s *Store) DueDeliveries(ctx context.Context, q domain.DueQuery) (domain.DueDeliveries, error) {
	if q.Limit <= 0 {
		return domain.DueDeliveries{}, nil
	}
	if q.Except == nil {
		q.Except = []int64{} // not NULL
	}
	due, next, err := s.dueDeliveries(ctx, q)
	if err == nil && len(due.Deliveries) == 0 && next > 0 {
		q.Limit, q.MaxBytes = 1, next
		due, _, err = s.dueDeliveries(ctx, q)
	}
	if err != nil {
		return domain.DueDeliveries{}, translate(err, "read open deliveries")
	}
	return due, nil
}

// dueDeliveries also returns how much the first one takes when that has no room.
func (s *Store) dueDeliveries(ctx context.Context, q domain.DueQuery) (due domain.DueDeliveries, next int, err error) {
	query := readDueSQL
	if q.Any {
		query = readOldestSQL
	}
	err = s.WithTenant(ctx, deliveryAccess, []uuid.UUID{q.TenantID}, func(on session) error {
		var batch pgx.Batch
		batch.Queue(query, q.TenantID, q.EndpointID, q.Except, q.Limit, q.MaxBytes).Query(func(rows pgx.Rows) error {
			var err error
			due.Deliveries, next, err = collectDue(rows, q.TenantID)
			return err
		})
		batch.Queue(nextDueSQL, q.TenantID, q.EndpointID, q.Except, q.Limit+1).Query(func(rows pgx.Rows) error {
			return collectNext(rows, &due)
		})
		batch.Queue(countOpenSQL, q.TenantID, q.EndpointID, domain.MaxCountedDeliveries).QueryRow(func(row pgx.Row) error {
			return row.Scan(&due.Rows)
		})
		if err := on.SendBatch(ctx, &batch).Close(); err != nil {
			return fmt.Errorf("query open deliveries: %w", err)
		}
		return nil
	})
	return due, next, err
}

// collectDue keeps the deliveries before the first one that has no room, and returns
// its size when there are none.
func collectDue(rows pgx.Rows, tenantID uuid.UUID) (due []domain.OpenDelivery, next int, err error) {
	var o domain.OpenDelivery
	var m domain.Message
	var replayID *uuid.UUID
	var createdAt *time.Time
	var micros int64
	var size int
	var kept, full bool
	var headers pgtype.DriverBytes
	into := []any{
		&o.Seq, &o.MessageID, &o.OrderingKey, &o.Attempts, &o.Round, &replayID, &micros, &o.LastStatus, &o.LastError,
		&kept, &m.Payload, &createdAt, &m.Type, &m.OrderingKey, &headers, &m.Trace, &size,
	}
	_, err = pgx.ForEachRow(rows, into, func() error {
		if kept && m.Payload == nil && len(due) == 0 && !full {
			next = size
		}
		full = full || kept && m.Payload == nil
		if full {
			return nil
		}
		found := o
		found.Known, found.NextIn = true, time.Duration(micros)*time.Microsecond
		if replayID != nil {
			found.ReplayID = *replayID
		}
		if kept {
			message := m
			message.ID, message.TenantID, message.Seq, message.CreatedAt = o.MessageID, tenantID, o.Seq, timeOrZero(createdAt)
			message.Bytes = len(m.Payload)
			var err error
			if message.Headers, err = decodeMessageHeaders(headers); err != nil {
				return err
			}
			found.Message = &message
		}
		due = append(due, found)
		return nil
	})
	return due, next, err //nolint:wrapcheck // wrapped by the caller
}

// collectNext finds out when the first one is due of those that are not returned.
func collectNext(rows pgx.Rows, due *domain.DueDeliveries) error {
	returned := make(map[int64]struct{}, len(due.Deliveries))
	for i := range due.Deliveries {
		returned[due.Deliveries[i].Seq] = struct{}{}
	}
	var seq, micros int64
	_, err := pgx.ForEachRow(rows, []any{&seq, &micros}, func() error {
		if _, ok := returned[seq]; !ok && !due.Due {
			due.Due, due.NextIn = true, time.Duration(micros)*time.Microsecond
		}
		return nil
	})
	return err //nolint:wrapcheck // wrapped by the caller
}
