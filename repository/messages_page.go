package repository

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"lanekeeper/domain"
)

// maxPageBytes bounds what is read at a time unless the caller says less.
const maxPageBytes = 8 << 20

// rowSizeSQL is how many bytes a row counts for, as domain.Message.Size does: its
// payload as text, which is known without reading that, its envelope, of which
// the headers are not read either, its trace, and domain.RowOverhead for the rest. For payloads
// that were stored before their size was, it is estimated from what the store
// takes for them: 64 times that is more than text, and less than what can be
// packed into it; none is larger than 2.5 MiB.
const rowSizeSQL = `coalesce(bytes, least(pg_column_size(payload)::bigint * 64, 2621440)::int, 4) + 256
               + coalesce(octet_length(type), 0) + coalesce(octet_length(ordering_key), 0) + coalesce(pg_column_size(headers), 0)
               + coalesce(octet_length(trace_context), 0)`

// A read of messages has three layers. The innermost finds the rows of a page
// by an index; the middle one adds up their sizes, from the front; and the
// outermost ends before the first row that has no room in $4 bytes, of which it
// returns the size alone; $3 is one more than the page may have, to know whether
// any follow. Payloads and headers that are not returned are never read.
const (
	pageBeginSQL = `
SELECT id, seq, CASE WHEN upto <= $4 AND number < $3 THEN coalesce(payload, 'null') END, created_at,
       coalesce(type, ''), coalesce(ordering_key, ''), CASE WHEN upto <= $4 AND number < $3 THEN headers END, coalesce(trace_context, ''), size, total
FROM (
    SELECT id, seq, payload, created_at, type, ordering_key, headers, trace_context, size, count(*) OVER () AS total, row_number() OVER place AS number, sum(size) OVER place AS upto
    FROM (
        SELECT id, seq, payload, created_at, type, ordering_key, headers, trace_context, ` + rowSizeSQL + ` AS size
        FROM messages
        WHERE tenant_id = $1 AND `
	pageAscendingSQL = `
        ORDER BY seq
        LIMIT $3
    ) AS page
    WINDOW place AS (ORDER BY seq ROWS UNBOUNDED PRECEDING)
) AS sized
WHERE upto - size <= $4
ORDER BY seq`
	pageDescendingSQL = `
        ORDER BY seq DESC
        LIMIT $3
    ) AS page
    WINDOW place AS (ORDER BY seq DESC ROWS UNBOUNDED PRECEDING)
) AS sized
WHERE upto - size <= $4
ORDER BY seq DESC`
)

// messageRows are the messages of one read, in order.
type messageRows struct {
	messages []domain.Message
	// more reports that others follow, and next is the size of the first of them
	// when it has no room; 0 when it is not for that reason that the read ends.
	more bool
	next int
}

// collectMessages keeps the rows up to the limits and drops the rest: sizes may
// be estimates, or wrong where somebody changed a payload by hand. The first
// row with a payload is kept, however large that is.
func collectMessages(rows pgx.Rows, tenantID uuid.UUID, limit, maxBytes int) (messageRows, error) {
	var r messageRows
	var payload, headers pgtype.DriverBytes // not copied before they are known to be kept
	var total, size, taken int
	full := false
	m := domain.Message{TenantID: tenantID}
	_, err := pgx.ForEachRow(rows, []any{&m.ID, &m.Seq, &payload, &m.CreatedAt, &m.Type, &m.OrderingKey, &headers, &m.Trace, &size, &total}, func() error {
		if full {
			return nil
		}
		if payload != nil {
			var err error
			if m.Headers, err = decodeMessageHeaders(headers); err != nil {
				return err
			}
			m.Payload = payload
			size = m.Size()
		}
		switch {
		case len(r.messages) == limit:
			full = true
			return nil
		case payload == nil, taken+size > maxBytes && taken > 0:
			full, r.next = true, size
			return nil
		}
		if r.messages == nil {
			r.messages = make([]domain.Message, 0, min(limit, total))
		}
		taken += size
		m.Payload, m.Bytes = append([]byte(nil), payload...), len(payload)
		m.CreatedAt = m.CreatedAt.UTC()
		r.messages = append(r.messages, m)
		return nil
	})
	if err != nil {
		return messageRows{}, fmt.Errorf("read messages: %w", err)
	}
	r.more = total > len(r.messages)
	return r, nil
}

// decodeMessageHeaders returns the headers of a row, nil for none.
func decodeMessageHeaders(text []byte) (map[string]string, error) {
	if text == nil {
		return nil, nil //nolint:nilnil // no headers
	}
	var headers map[string]string
	if err := json.Unmarshal(text, &headers); err != nil {
		return nil, fmt.Errorf("decode headers: %w", err)
	}
	return headers, nil
}
