package deadletter

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// List reads a page of a tenant's letters, oldest first, in parts and hands each
// to take, of which the last has last set and may be empty. Between two parts it
// holds no connection to the database; while take runs, what the part holds
// counts towards the shares of the tenant and its owner. A page ends early, with
// More set, when it becomes too large, or when the rest cannot be read. Errors
// are those of take, and before its first call ErrInvalid for a query out of
// range, and ErrUnavailable.
func (s *Service) List(ctx context.Context, q domain.DeadLetterQuery, take func(part domain.DeadLetterPage, last bool) error) error {
	if err := checkQuery(q); err != nil {
		return err
	}
	q.MaxBytes = domain.SmallAnswer
	part, release, err := s.readPart(ctx, q, 0)
	for bytes, taken := 0, 0; ; {
		if err != nil && taken == 0 {
			return fmt.Errorf("list dead letters: %w", err)
		}
		if err != nil {
			s.o.Log.WarnContext(ctx, "page ends early", slog.Any("error", err))
			part = domain.DeadLetterPage{More: true}
		}
		n := len(part.Letters)
		for i := range part.Letters {
			bytes += len(part.Letters[i].Body) + domain.RowOverhead
		}
		q.Limit -= n
		taken += n
		last := err != nil || !part.More || q.Limit == 0 || taken > 0 && bytes+part.NextBytes > domain.MaxAnswer
		if last || n > 0 {
			err = take(part, last)
		}
		release()
		if last || err != nil {
			return err
		}
		if n > 0 {
			q.After = part.Letters[n-1].Seq
		}
		q.MaxBytes = max(part.NextBytes, domain.AnswerChunk)
		part, release, err = s.readPart(ctx, q, q.MaxBytes)
	}
}

// readPart reads after it has reserved so many bytes. What it returns last gives
// them back, and must be called in any case.
func (s *Service) readPart(ctx context.Context, q domain.DeadLetterQuery, reserve int) (domain.DeadLetterPage, func(), error) {
	release := func() {}
	if reserve > 0 {
		reserved, err := s.o.Memory.Reserve(ctx, q.TenantID, reserve)
		if err != nil {
			return domain.DeadLetterPage{}, release, fmt.Errorf("reserve memory: %w", err)
		}
		release = reserved
	}
	page, err := s.o.Letters.DeadLetterPage(ctx, q)
	return page, release, err //nolint:wrapcheck // wrapped by the caller
}

func checkQuery(q domain.DeadLetterQuery) error {
	var fields []domain.FieldError
	if q.Limit < 1 || q.Limit > MaxPageSize {
		fields = append(fields, domain.FieldError{Pointer: "limit", Message: fmt.Sprintf("must be between 1 and %d", MaxPageSize)})
	}
	if q.After < 0 {
		fields = append(fields, domain.FieldError{Pointer: "cursor", Message: "must not be negative"})
	}
	if len(fields) > 0 {
		return domain.WithFields(fields...)
	}
	return nil
}

// Get hands take one letter of a tenant. While that runs, what the letter holds
// counts towards the shares of the tenant and its owner. Errors are those of
// take, and before its call ErrNotFound and ErrUnavailable.
func (s *Service) Get(ctx context.Context, tenantID uuid.UUID, seq int64, take func(domain.DeadLetter) error) error {
	if seq < 1 {
		return domain.DeadLetterNotFound()
	}
	q := domain.DeadLetterQuery{TenantID: tenantID, After: seq - 1, UpTo: seq, Limit: 1, Replayed: true, MaxBytes: domain.SmallAnswer}
	page, release, err := s.readPart(ctx, q, 0)
	if err == nil && page.NextBytes > 0 {
		q.MaxBytes = page.NextBytes
		page, release, err = s.readPart(ctx, q, q.MaxBytes)
	}
	defer func() { release() }()
	if err != nil {
		return fmt.Errorf("read dead letter: %w", err)
	}
	if len(page.Letters) == 0 {
		return domain.DeadLetterNotFound()
	}
	return take(page.Letters[0])
}
