package repository

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"lanekeeper/domain"
)

// maxStreamBytes bounds the payloads of one read for a stream.
const maxStreamBytes = 4 << 20

const streamBoundsSQL = `SELECT first_seq, last_seq FROM tenant_streams WHERE tenant_id = $1`

// StreamBounds implements domain.StreamRepository.
func (s *Store) StreamBounds(ctx context.Context, tenantID uuid.UUID) (domain.StreamBounds, error) {
	var b domain.StreamBounds
	err := s.WithTenant(ctx, streamAccess, []uuid.UUID{tenantID}, func(on session) error {
		return scanBounds(on.QueryRow(ctx, streamBoundsSQL, tenantID), &b)
	})
	if err != nil {
		return domain.StreamBounds{}, translate(err, "read the bounds of a history")
	}
	return b, nil
}

func scanBounds(row pgx.Row, b *domain.StreamBounds) error {
	err := row.Scan(&b.First, &b.Last)
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.TenantNotFound()
	}
	if err != nil {
		return fmt.Errorf("read the bounds: %w", err)
	}
	return nil
}

// readStreamSQL ends early like a page of the history does, by what the rows
// take in the store: "before" is the size of those in front of a row, so the
// first always passes. What is not kept any longer is left to the bounds.
const readStreamSQL = `
SELECT id, seq, coalesce(payload, 'null'), created_at
FROM (
    SELECT id, seq, payload, created_at,
           sum(pg_column_size(payload)) OVER (ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM (
        SELECT id, seq, payload, created_at
        FROM messages
        WHERE tenant_id = $1 AND seq > $2
        ORDER BY seq
        LIMIT $3
    ) AS tail
) AS sized
WHERE before IS NULL OR before < $4
ORDER BY seq`

// ReadStream implements domain.StreamRepository. The bounds are read after the
// messages, in the same round trip: whatever is deleted was behind the first
// of them before, so nothing that is missing escapes them.
func (s *Store) ReadStream(ctx context.Context, tenantID uuid.UUID, cursor int64, limit int) ([]domain.Message, error) {
	if limit <= 0 {
		return nil, nil
	}
	var messages []domain.Message
	err := s.WithTenant(ctx, streamAccess, []uuid.UUID{tenantID}, func(on session) error {
		var batch pgx.Batch
		batch.Queue(readStreamSQL, tenantID, cursor, limit, maxStreamBytes)
		batch.Queue(streamBoundsSQL, tenantID)
		results := on.SendBatch(ctx, &batch)
		defer results.Close()
		rows, err := results.Query()
		if err != nil {
			return fmt.Errorf("query messages: %w", err)
		}
		if messages, err = collectTail(rows, tenantID); err != nil {
			return err
		}
		var b domain.StreamBounds
		if err := scanBounds(results.QueryRow(), &b); err != nil {
			return err
		}
		switch {
		case cursor < b.First-1:
			return domain.CursorExpired()
		case cursor > b.Last:
			return domain.CursorAhead()
		}
		return nil
	})
	if err != nil {
		return nil, translate(err, "read a stream")
	}
	return messages, nil
}

// collectTail keeps the rows up to the bound and drops the rest. Rows are
// stored compressed, so more may arrive than was expected.
func collectTail(rows pgx.Rows, tenantID uuid.UUID) ([]domain.Message, error) {
	var messages []domain.Message
	var payload pgtype.DriverBytes // not copied before it is known to be kept
	size := 0
	m := domain.Message{TenantID: tenantID}
	_, err := pgx.ForEachRow(rows, []any{&m.ID, &m.Seq, &payload, &m.CreatedAt}, func() error {
		size += len(payload)
		if size > maxStreamBytes && len(messages) > 0 {
			return nil
		}
		m.Payload = append([]byte(nil), payload...)
		m.CreatedAt = m.CreatedAt.UTC()
		messages = append(messages, m)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	return messages, nil
}
