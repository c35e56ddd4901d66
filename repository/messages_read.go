package repository

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"lanekeeper/domain"
)

// maxPageBytes bounds the payloads of one page.
const maxPageBytes = 8 << 20

// The pages end early when their stored size, which is known without reading
// the payloads, exceeds the bound; that keeps the server from sending much
// more than a page takes. "before" is what comes in front of a row, so the
// first row always passes.
const historyAscendingSQL = `
SELECT id, seq, coalesce(payload, 'null'), created_at, total
FROM (
    SELECT id, seq, payload, created_at, count(*) OVER () AS total,
           sum(pg_column_size(payload)) OVER (ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM (
        SELECT id, seq, payload, created_at
        FROM messages
        WHERE tenant_id = $1 AND seq > greatest($2, (SELECT first_seq - 1 FROM tenant_streams WHERE tenant_id = $1))
        ORDER BY seq
        LIMIT $3
    ) AS page
) AS sized
WHERE before IS NULL OR before < $4
ORDER BY seq`

const historyDescendingSQL = `
SELECT id, seq, coalesce(payload, 'null'), created_at, total
FROM (
    SELECT id, seq, payload, created_at, count(*) OVER () AS total,
           sum(pg_column_size(payload)) OVER (ORDER BY seq DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM (
        SELECT id, seq, payload, created_at
        FROM messages
        WHERE tenant_id = $1 AND seq < $2 AND seq >= coalesce((SELECT first_seq FROM tenant_streams WHERE tenant_id = $1), 1)
        ORDER BY seq DESC
        LIMIT $3
    ) AS page
) AS sized
WHERE before IS NULL OR before < $4
ORDER BY seq DESC`

const firstSeqSQL = `SELECT first_seq FROM tenant_streams WHERE tenant_id = $1`

// History implements domain.MessageRepository. The payloads of a page have 8
// MiB at most, or are those of a single message.
func (s *Store) History(ctx context.Context, q domain.HistoryQuery) (domain.HistoryPage, error) {
	if q.Limit <= 0 {
		return domain.HistoryPage{}, nil
	}
	query, cursor := historyAscendingSQL, q.Cursor
	if q.Descending {
		query = historyDescendingSQL
		if !q.HasCursor {
			cursor = math.MaxInt64
		}
	}
	var page domain.HistoryPage
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{q.TenantID}, func(on session) error {
		var batch pgx.Batch
		batch.Queue(query, q.TenantID, cursor, q.Limit+1, maxPageBytes)
		batch.Queue(firstSeqSQL, q.TenantID)
		results := on.SendBatch(ctx, &batch)
		defer results.Close()
		rows, err := results.Query()
		if err != nil {
			return fmt.Errorf("query messages: %w", err)
		}
		if page, err = collectPage(rows, q); err != nil {
			return err
		}
		return checkCursor(results.QueryRow(), q)
	})
	if err != nil {
		return domain.HistoryPage{}, translate(err, "read history")
	}
	return page, nil
}

// checkCursor returns an ErrGone when messages that follow the cursor are not
// kept any longer. The row tells where the history began after the page was
// read, so nothing that is missing in the page escapes it. Going backwards,
// that beginning is just where the history ends.
func checkCursor(row pgx.Row, q domain.HistoryQuery) error {
	var first int64
	err := row.Scan(&first)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil // no stream, no messages
	case err != nil:
		return fmt.Errorf("read the beginning of the history: %w", err)
	case !q.Descending && q.Cursor > 0 && q.Cursor < first-1:
		return domain.CursorExpired()
	}
	return nil
}

// collectPage keeps the rows up to the limits and drops the rest.
func collectPage(rows pgx.Rows, q domain.HistoryQuery) (domain.HistoryPage, error) {
	var page domain.HistoryPage
	var payload pgtype.DriverBytes // not copied before it is known to be kept
	var total, size int
	full := false
	m := domain.Message{TenantID: q.TenantID}
	_, err := pgx.ForEachRow(rows, []any{&m.ID, &m.Seq, &payload, &m.CreatedAt, &total}, func() error {
		size += len(payload)
		full = full || len(page.Messages) == q.Limit || size > maxPageBytes && len(page.Messages) > 0
		if full {
			return nil
		}
		if page.Messages == nil {
			page.Messages = make([]domain.Message, 0, min(q.Limit, total))
		}
		m.Payload = append([]byte(nil), payload...)
		m.CreatedAt = m.CreatedAt.UTC()
		page.Messages = append(page.Messages, m)
		return nil
	})
	if err != nil {
		return domain.HistoryPage{}, fmt.Errorf("read messages: %w", err)
	}
	page.More = total > len(page.Messages)
	return page, nil
}

const findMessageSQL = `
SELECT seq, coalesce(payload, 'null'), created_at FROM messages WHERE tenant_id = $1 AND id = $2`

// FindMessage implements domain.MessageRepository.
func (s *Store) FindMessage(ctx context.Context, tenantID, id uuid.UUID) (domain.Message, error) {
	m := domain.Message{ID: id, TenantID: tenantID}
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		return on.QueryRow(ctx, findMessageSQL, tenantID, id).Scan(&m.Seq, &m.Payload, &m.CreatedAt)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.Message{}, domain.MessageNotFound()
	}
	if err != nil {
		return domain.Message{}, translate(err, "find message")
	}
	m.CreatedAt = m.CreatedAt.UTC()
	return m, nil
}
