package repository

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
)

// The beginning is a query of its own, or the planner would not use the index for it:
// see letterMatchSQL.
const (
	historyAscendingSQL = pageBeginSQL +
		`seq > greatest($2, (SELECT first_seq - 1 FROM tenant_streams WHERE tenant_id = $1))` + pageAscendingSQL
	historyDescendingSQL = pageBeginSQL +
		`seq < $2 AND seq >= (SELECT coalesce((SELECT first_seq FROM tenant_streams WHERE tenant_id = $1), 1))` + pageDescendingSQL
)

const lastSeqSQL = `SELECT last_seq FROM tenant_streams WHERE tenant_id = $1`

const firstSeqSQL = `SELECT first_seq FROM tenant_streams WHERE tenant_id = $1`

// History implements domain.MessageRepository. Without MaxBytes a page has 8
// MiB at most, or a single message.
func (s *Store) History(ctx context.Context, q domain.HistoryQuery) (domain.HistoryPage, error) {
	if q.Limit <= 0 {
		return domain.HistoryPage{}, nil
	}
	maxBytes := q.MaxBytes
	if maxBytes <= 0 {
		maxBytes = maxPageBytes
	}
	page, err := s.readHistory(ctx, q, maxBytes)
	if err == nil && q.MaxBytes <= 0 && len(page.Messages) == 0 && page.NextBytes > 0 {
		page, err = s.readHistory(ctx, q, page.NextBytes)
	}
	if err != nil {
		return domain.HistoryPage{}, translate(err, "read history")
	}
	return page, nil
}

// readHistory does it in one round trip, and another one when messages are missing
// after the cursor. Where the history ends is read before the page, so that whoever
// goes on from there misses nothing that comes between the two.
func (s *Store) readHistory(ctx context.Context, q domain.HistoryQuery, maxBytes int) (domain.HistoryPage, error) {
	query, cursor := historyAscendingSQL, q.Cursor
	if q.Descending {
		query = historyDescendingSQL
		if !q.HasCursor {
			cursor = math.MaxInt64
		}
	}
	var page domain.HistoryPage
	err := s.readInTurn(ctx, q.TenantID, maxBytes, func(on session) error {
		var batch pgx.Batch
		batch.Queue(lastSeqSQL, q.TenantID)
		batch.Queue(query, q.TenantID, cursor, q.Limit+1, maxBytes)
		if err := readPage(on.SendBatch(ctx, &batch), q, maxBytes, &page); err != nil || !mayBeExpired(q, &page) {
			return err
		}
		return checkCursor(on.QueryRow(ctx, firstSeqSQL, q.TenantID), q)
	})
	return page, err
}

// readPage reads the end of the history and the page.
func readPage(results pgx.BatchResults, q domain.HistoryQuery, maxBytes int, page *domain.HistoryPage) (err error) {
	defer func() {
		if closing := results.Close(); err == nil {
			err = closing
		}
	}()
	if err := results.QueryRow().Scan(&page.Last); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("read the end of the history: %w", err)
	}
	rows, err := results.Query()
	if err != nil {
		return fmt.Errorf("query messages: %w", err)
	}
	got, err := collectMessages(rows, q.TenantID, q.Limit, maxBytes)
	if err != nil {
		return err
	}
	page.Messages, page.More, page.NextBytes = got.messages, got.more, got.next
	return nil
}

// mayBeExpired reports whether messages are missing after the cursor: the numbers of
// a history have no holes. Going backwards its beginning is just where it ends.
func mayBeExpired(q domain.HistoryQuery, page *domain.HistoryPage) bool {
	switch {
	case q.Descending || q.Cursor <= 0 || q.Cursor >= page.Last && len(page.Messages) == 0:
		return false
	case len(page.Messages) > 0:
		return page.Messages[0].Seq != q.Cursor+1
	}
	return true
}

// checkCursor returns an ErrGone when messages that follow the cursor are not
// kept any longer. The row tells where the history began after the page was
// read, so nothing that is missing in the page escapes it.
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

const findMessageSQL = `
SELECT seq, CASE WHEN size <= $3 THEN coalesce(payload, 'null') END, created_at,
       coalesce(type, ''), coalesce(ordering_key, ''), CASE WHEN size <= $3 THEN headers END, coalesce(trace_context, ''), size
FROM (
    SELECT seq, payload, created_at, type, ordering_key, headers, trace_context, ` + rowSizeSQL + ` AS size FROM messages WHERE tenant_id = $1 AND id = $2
) AS sized`

// FindMessage implements domain.MessageRepository.
func (s *Store) FindMessage(ctx context.Context, tenantID, id uuid.UUID, maxBytes int) (domain.Message, int, error) {
	m := domain.Message{ID: id, TenantID: tenantID}
	var size int
	err := s.readInTurn(ctx, tenantID, maxBytes, func(on session) error {
		var headers []byte
		err := on.QueryRow(ctx, findMessageSQL, tenantID, id, maxBytes).
			Scan(&m.Seq, &m.Payload, &m.CreatedAt, &m.Type, &m.OrderingKey, &headers, &m.Trace, &size)
		if err != nil {
			return err
		}
		m.Headers, err = decodeMessageHeaders(headers)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.Message{}, 0, domain.MessageNotFound()
	}
	if err != nil {
		return domain.Message{}, 0, translate(err, "find message")
	}
	m.CreatedAt, m.Bytes = m.CreatedAt.UTC(), len(m.Payload)
	return m, size, nil
}
