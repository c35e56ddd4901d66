package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
)

// A page of letters is read like one of messages: a letter counts for the size
// of its body and headers as text, which is known without reading them; the page
// ends before the first that has no room in $2 bytes, of which the size alone is
// returned. The size of headers that were stored before it was known is
// estimated.
const (
	deadLetterPageSQL = `
SELECT id, letter_id, message_id, CASE WHEN upto <= $2 THEN body END, CASE WHEN upto <= $2 THEN headers END,
       reason, error, attempts, created_at, replayed_at, coalesce(type, ''), upto <= $2, size, total
FROM (
    SELECT id, letter_id, message_id, body, headers, reason, error, attempts, created_at, replayed_at, type, size,
           count(*) OVER () AS total, sum(size) OVER place AS upto
    FROM (
        SELECT id, letter_id, message_id, body, headers, reason, error, attempts, created_at, replayed_at, type,
               coalesce(bytes, octet_length(body) + least(pg_column_size(headers)::bigint * 64, 262144)::int) + 256 AS size
        FROM dead_letters
        WHERE tenant_id = $1 AND `
	deadLetterPageEndSQL = `
    ) AS page
    WINDOW place AS (ORDER BY id ROWS UNBOUNDED PRECEDING)
) AS sized
WHERE upto - size <= $2
ORDER BY id`
)

const listDeadLettersSQL = deadLetterPageSQL + `id > $3 AND ($4::bigint = 0 OR id <= $4) AND ($5::boolean OR replayed_at IS NULL)
        ORDER BY id
        LIMIT $6` + deadLetterPageEndSQL

const pickDeadLettersSQL = deadLetterPageSQL + `id = ANY($3::bigint[]) AND replayed_at IS NULL` + deadLetterPageEndSQL

// DeadLetterPage implements domain.DeadLetterRepository. Where the letters end
// is read before the page, so that whoever goes on from there misses nothing
// that comes between the two.
func (s *Store) DeadLetterPage(ctx context.Context, q domain.DeadLetterQuery) (domain.DeadLetterPage, error) {
	var page domain.DeadLetterPage
	if q.Limit <= 0 {
		return page, nil
	}
	maxBytes := q.MaxBytes
	if maxBytes <= 0 {
		maxBytes = maxPageBytes
	}
	err := s.readInTurn(ctx, q.TenantID, maxBytes, func(on session) error {
		read := func() error {
			var batch pgx.Batch
			batch.Queue(lastDeadLetterSQL, q.TenantID)
			batch.Queue(listDeadLettersSQL, q.TenantID, maxBytes, q.After, q.UpTo, q.Replayed, q.Limit+1)
			results := on.SendBatch(ctx, &batch)
			defer results.Close()
			if err := results.QueryRow().Scan(&page.Last); err != nil {
				return fmt.Errorf("find the last: %w", err)
			}
			rows, err := results.Query()
			if err != nil {
				return fmt.Errorf("query dead letters: %w", err)
			}
			page.Letters, page.More, page.NextBytes, err = collectDeadLetters(rows, q.TenantID, q.Limit)
			return err
		}
		err := read()
		if err == nil && q.MaxBytes <= 0 && len(page.Letters) == 0 && page.NextBytes > 0 {
			maxBytes = page.NextBytes
			err = read()
		}
		return err
	})
	if err != nil {
		return domain.DeadLetterPage{}, translate(err, "list dead letters")
	}
	return page, nil
}

// ListDeadLetters implements domain.DeadLetterRepository. It returns 8 MiB at
// most, or a single letter.
func (s *Store) ListDeadLetters(ctx context.Context, q domain.DeadLetterQuery) ([]domain.DeadLetter, bool, error) {
	q.MaxBytes = 0
	page, err := s.DeadLetterPage(ctx, q)
	return page.Letters, page.More, err
}

// PickDeadLetters implements domain.DeadLetterRepository. It returns 8 MiB at
// most, or a single letter.
func (s *Store) PickDeadLetters(ctx context.Context, tenantID uuid.UUID, seqs []int64) ([]domain.DeadLetter, error) {
	letters, next, err := s.pickDeadLetters(ctx, tenantID, seqs, maxPageBytes)
	if err == nil && len(letters) == 0 && next > 0 {
		letters, _, err = s.pickDeadLetters(ctx, tenantID, seqs, next)
	}
	return letters, translate(err, "pick dead letters")
}

func (s *Store) pickDeadLetters(ctx context.Context, tenantID uuid.UUID, seqs []int64, maxBytes int) (letters []domain.DeadLetter, next int, err error) {
	err = s.readInTurn(ctx, tenantID, maxBytes, func(on session) error {
		rows, err := on.Query(ctx, pickDeadLettersSQL, tenantID, maxBytes, seqs)
		if err != nil {
			return fmt.Errorf("query dead letters: %w", err)
		}
		letters, _, next, err = collectDeadLetters(rows, tenantID, len(seqs))
		return err
	})
	return letters, next, err
}

// collectDeadLetters returns the letters of a read, whether others follow, and
// the size of the first of them when it has no room.
func collectDeadLetters(rows pgx.Rows, tenantID uuid.UUID, limit int) (letters []domain.DeadLetter, more bool, next int, err error) {
	l := domain.DeadLetter{TenantID: tenantID}
	var headers []byte
	var replayed *time.Time
	var fits bool
	var size, total int
	into := []any{&l.Seq, &l.ID, &l.MessageID, &l.Body, &headers, &l.Reason, &l.Error, &l.Attempts, &l.CreatedAt, &replayed, &l.Type, &fits, &size, &total}
	_, err = pgx.ForEachRow(rows, into, func() error {
		switch {
		case len(letters) == limit:
			return nil
		case !fits:
			next = size
			return nil
		}
		l.CreatedAt = l.CreatedAt.UTC()
		l.ReplayedAt = time.Time{}
		if replayed != nil {
			l.ReplayedAt = replayed.UTC()
		}
		var err error
		if l.Headers, err = decodeHeaders(headers); err != nil {
			return err
		}
		letters = append(letters, l)
		return nil
	})
	if err != nil {
		return nil, false, 0, fmt.Errorf("read dead letters: %w", err)
	}
	return letters, total > len(letters), next, nil
}
