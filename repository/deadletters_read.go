package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
)

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
			batch.Queue(listDeadLettersSQL, append(letterArgs(&q, q.Limit+1), maxBytes)...)
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
	if len(seqs) == 0 {
		return nil, nil
	}
	letters, _, err := s.ListDeadLetters(ctx, domain.DeadLetterQuery{TenantID: tenantID, Seqs: seqs, Limit: len(seqs)})
	return letters, err
}

// collectDeadLetters returns the letters of a read, whether others follow, and
// the size of the first of them when it has no room.
func collectDeadLetters(rows pgx.Rows, tenantID uuid.UUID, limit int) (letters []domain.DeadLetter, more bool, next int, err error) {
	l := domain.DeadLetter{TenantID: tenantID}
	var headers []byte
	var replayed *time.Time
	var endpointID *uuid.UUID
	var fits bool
	var size, total int
	into := []any{&l.Seq, &l.ID, &l.MessageID, &l.Body, &headers, &l.Reason, &l.Error, &l.Attempts, &l.CreatedAt, &replayed, &l.Type, &endpointID, &l.MessageSeq, &l.Round, &fits, &size, &total}
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
		l.EndpointID = uuid.Nil
		if endpointID != nil {
			l.EndpointID = *endpointID
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
