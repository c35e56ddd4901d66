package deadletter

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/pager"
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
	return pager.Read(ctx, s.pages(q, "list dead letters"), q.Limit, take)
}

// pages says how a page of letters is read. Verb is for errors.
func (s *Service) pages(q domain.DeadLetterQuery, verb string) pager.Options[domain.DeadLetterPage] {
	return pager.Options[domain.DeadLetterPage]{
		FirstBytes: domain.SmallAnswer, PartBytes: domain.AnswerChunk, PageBytes: domain.MaxAnswer,
		Describe: describe,
		Read: func(ctx context.Context, before *domain.DeadLetterPage, limit, maxBytes int) (domain.DeadLetterPage, error) {
			q.Limit, q.MaxBytes = limit, maxBytes
			if before != nil {
				q.After = before.Letters[len(before.Letters)-1].Seq
			}
			part, err := s.o.Letters.DeadLetterPage(ctx, q)
			if err != nil {
				return part, fmt.Errorf("%s: %w", verb, err)
			}
			return part, nil
		},
		Reserve: func(ctx context.Context, bytes int) (func(), error) {
			return s.o.Memory.Reserve(ctx, q.TenantID, bytes)
		},
		CutShort: func(ctx context.Context, err error) domain.DeadLetterPage {
			s.o.Log.WarnContext(ctx, "page ends early", slog.Any("error", err))
			return domain.DeadLetterPage{More: true}
		},
	}
}

func describe(p *domain.DeadLetterPage) pager.Part {
	part := pager.Part{Rows: len(p.Letters), More: p.More, NextBytes: p.NextBytes}
	for i := range p.Letters {
		part.Bytes += len(p.Letters[i].Body) + domain.HeaderBytes(p.Letters[i].Headers) + domain.RowOverhead
	}
	return part
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
	q := domain.DeadLetterQuery{TenantID: tenantID, After: seq - 1, UpTo: seq, Limit: 1, Replayed: true}
	return pager.Read(ctx, s.pages(q, "read dead letter"), 1, func(part domain.DeadLetterPage, _ bool) error {
		if len(part.Letters) == 0 {
			return domain.DeadLetterNotFound()
		}
		return take(part.Letters[0])
	})
}

// Groups returns what a tenant's letters were given up for: of the newest that q
// asks for, as many as can be read in time, but not more than
// domain.MaxGroupedDeadLetters. It leaves q.After and q.Limit out of account. The
// error is an ErrUnavailable when nothing could be read.
func (s *Service) Groups(ctx context.Context, q domain.DeadLetterQuery) (domain.DeadLetterGroups, error) {
	limited, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	g := newGrouping()
	q.After, q.UpTo = 0, 0
	for {
		q.Limit = min(failuresAtATime, domain.MaxGroupedDeadLetters-g.counted) + 1 // to know of more
		failures, err := s.o.Letters.ListDeadLetterFailures(limited, q)
		switch {
		case err != nil && (g.counted == 0 || ctx.Err() != nil):
			return domain.DeadLetterGroups{}, timeError(fmt.Errorf("list why dead letters were given up: %w", err))
		case err != nil:
			s.o.Log.WarnContext(ctx, "dead letters grouped in part", slog.Int("counted", g.counted), slog.Any("error", err))
			return g.result(true), nil
		}
		more := len(failures) == q.Limit
		for i := range failures[:min(len(failures), q.Limit-1)] {
			g.add(&failures[i])
			q.UpTo = failures[i].Seq - 1
		}
		if !more || q.UpTo == 0 || g.counted >= domain.MaxGroupedDeadLetters {
			return g.result(more), nil
		}
	}
}

// Failures returns a page of why letters were given up, the newest first: q.Limit at
// most, up to q.UpTo where that is not 0. With shape, which is the Error of a group,
// only letters of such groups: then a page may have fewer, and none, when it takes
// long to find them, and Next says where to go on. It leaves q.After out of account.
// Errors are ErrInvalid for a limit out of range, and ErrUnavailable when nothing
// could be read.
func (s *Service) Failures(ctx context.Context, q domain.DeadLetterQuery, shape string) (domain.DeadLetterFailures, error) {
	q.After = 0
	if err := checkQuery(q); err != nil {
		return domain.DeadLetterFailures{}, err
	}
	limited, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	page := domain.DeadLetterFailures{Failures: make([]domain.DeadLetterFailure, 0, q.Limit)}
	known := make(shapes)
	for limit, looked := q.Limit, 0; ; {
		if q.Limit = limit + 1; shape != "" {
			q.Limit = failuresAtATime + 1
		}
		failures, err := s.o.Letters.ListDeadLetterFailures(limited, q)
		switch {
		case err != nil && (looked == 0 || ctx.Err() != nil):
			return domain.DeadLetterFailures{}, timeError(fmt.Errorf("list why dead letters were given up: %w", err))
		case err != nil:
			s.o.Log.WarnContext(ctx, "dead letters looked for in part", slog.Int("looked_at", looked), slog.Any("error", err))
			page.Next = q.UpTo + 1
			return page, nil
		}
		more := len(failures) == q.Limit
		for i := range failures[:min(len(failures), q.Limit-1)] {
			if looked++; shape != "" && known.of(failures[i].Error) != shape {
				continue
			}
			page.Failures = append(page.Failures, failures[i])
			if len(page.Failures) == limit && (more || i < len(failures)-1) {
				page.Next = failures[i].Seq
				return page, nil
			}
		}
		if !more || len(page.Failures) == limit {
			return page, nil
		}
		if q.UpTo = failures[q.Limit-2].Seq - 1; looked >= domain.MaxGroupedDeadLetters {
			page.Next = q.UpTo + 1
			return page, nil
		}
	}
}
