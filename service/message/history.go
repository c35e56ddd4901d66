package message

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/pager"
)

// History reads a page of a tenant's messages in parts and hands each to take,
// of which the last has last set and may be empty. Between two parts it holds
// no connection to the database; while take runs, what the part holds counts
// towards the shares of the tenant and its owner. A page ends early, with More
// set, when it becomes too large, or when the rest cannot be read: a reader that
// goes on behind it misses nothing. Errors are those of take, and before its first
// call ErrInvalid for a query out of range, ErrGone for a cursor after which
// messages are not kept any longer, and ErrUnavailable.
func (s *Service) History(ctx context.Context, q domain.HistoryQuery, take func(part domain.HistoryPage, last bool) error) error {
	if err := checkQuery(q); err != nil {
		return err
	}
	o := pager.Options[domain.HistoryPage]{
		FirstBytes: domain.SmallAnswer, PartBytes: domain.AnswerChunk, PageBytes: domain.MaxAnswer,
		Describe: describe,
		Read: func(ctx context.Context, before *domain.HistoryPage, limit, maxBytes int) (domain.HistoryPage, error) {
			q.Limit, q.MaxBytes = limit, maxBytes
			if before != nil {
				q.Cursor, q.HasCursor = before.Messages[len(before.Messages)-1].Seq, true
			}
			part, err := s.o.Messages.History(ctx, q)
			if err != nil {
				return part, fmt.Errorf("read history: %w", err)
			}
			return part, nil
		},
		Reserve: func(ctx context.Context, bytes int) (func(), error) {
			return s.o.Memory.Reserve(ctx, q.TenantID, bytes)
		},
		CutShort: func(ctx context.Context, err error) domain.HistoryPage {
			s.o.Log.WarnContext(ctx, "page ends early", slog.Any("error", err))
			return domain.HistoryPage{More: true}
		},
	}
	return pager.Read(ctx, o, q.Limit, take)
}

func describe(p *domain.HistoryPage) pager.Part {
	part := pager.Part{Rows: len(p.Messages), More: p.More, NextBytes: p.NextBytes}
	for i := range p.Messages {
		part.Bytes += p.Messages[i].Size()
	}
	return part
}

func checkQuery(q domain.HistoryQuery) error {
	var fields []domain.FieldError
	if q.Limit < 1 || q.Limit > MaxPageSize {
		fields = append(fields, domain.FieldError{Pointer: "limit", Message: fmt.Sprintf("must be between 1 and %d", MaxPageSize)})
	}
	if q.Cursor < 0 {
		fields = append(fields, domain.FieldError{Pointer: "cursor", Message: "must not be negative"})
	}
	if len(fields) > 0 {
		return domain.WithFields(fields...)
	}
	return nil
}

// Get hands take one message of a tenant. While take runs, what the message holds
// counts towards the shares of the tenant and its owner. Errors are those of take,
// and before its call ErrNotFound and ErrUnavailable.
func (s *Service) Get(ctx context.Context, t domain.Tenant, id uuid.UUID, take func(domain.Message) error) error {
	m, size, err := s.o.Messages.FindMessage(ctx, t.ID, id, domain.SmallAnswer)
	if err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	if m.Payload == nil {
		release, err := s.o.Memory.Reserve(ctx, t.ID, size)
		if err != nil {
			return fmt.Errorf("reserve memory: %w", err)
		}
		defer release()
		if m, _, err = s.o.Messages.FindMessage(ctx, t.ID, id, size); err != nil {
			return fmt.Errorf("read message: %w", err)
		}
	}
	return take(m)
}
