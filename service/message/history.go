package message

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// History reads a page of a tenant's messages in parts and hands each to take,
// of which the last has last set and may be empty. Between two parts it holds
// no connection to the database; while take runs, what the part holds counts
// towards the shares of the tenant and its owner. A page ends early, with More
// set, when it becomes too large, or when the rest cannot be read: whoever goes
// on behind it misses nothing. Errors are those of take, and before its first
// call ErrInvalid for a query out of range, ErrGone for a cursor after which
// messages are not kept any longer, and ErrUnavailable.
func (s *Service) History(ctx context.Context, q domain.HistoryQuery, take func(part domain.HistoryPage, last bool) error) error {
	if err := checkQuery(q); err != nil {
		return err
	}
	q.MaxBytes = domain.SmallAnswer
	part, release, err := s.readPart(ctx, q, 0)
	for bytes, taken := 0, 0; ; {
		if err != nil && taken == 0 {
			return fmt.Errorf("read history: %w", err)
		}
		if err != nil {
			s.o.Log.WarnContext(ctx, "page ends early", slog.Any("error", err))
			part = domain.HistoryPage{More: true}
		}
		n := len(part.Messages)
		for i := range part.Messages {
			bytes += len(part.Messages[i].Payload) + domain.RowOverhead
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
			q.Cursor, q.HasCursor = part.Messages[n-1].Seq, true
		}
		q.MaxBytes = max(part.NextBytes, domain.AnswerChunk)
		part, release, err = s.readPart(ctx, q, q.MaxBytes)
	}
}

// readPart reads after it has reserved so many bytes. What it returns last gives
// them back, and must be called in any case.
func (s *Service) readPart(ctx context.Context, q domain.HistoryQuery, reserve int) (domain.HistoryPage, func(), error) {
	release := func() {}
	if reserve > 0 {
		reserved, err := s.o.Memory.Reserve(ctx, q.TenantID, reserve)
		if err != nil {
			return domain.HistoryPage{}, release, fmt.Errorf("reserve memory: %w", err)
		}
		release = reserved
	}
	page, err := s.o.Messages.History(ctx, q)
	return page, release, err //nolint:wrapcheck // wrapped by the caller
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

// transmissions tells what is recorded of messages' way to the endpoint.
type transmissions interface {
	FindTransmissions(ctx context.Context, tenantID uuid.UUID, messageIDs []uuid.UUID) ([]domain.Transmission, error)
}

// Get hands take one message of a tenant, and how far its transmission got: nil
// when there was none, because the tenant had no endpoint when it was stored.
// While take runs, what the message holds counts towards the shares of the
// tenant and its owner. Errors are those of take, and before its call
// ErrNotFound and ErrUnavailable.
func (s *Service) Get(ctx context.Context, t domain.Tenant, id uuid.UUID, take func(domain.Message, *domain.Transmission) error) error {
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
	found, err := s.o.Transmissions.FindTransmissions(ctx, t.ID, []uuid.UUID{id})
	if err != nil {
		return fmt.Errorf("read transmission: %w", err)
	}
	switch {
	case len(found) > 0:
		return take(m, &found[0])
	case t.Endpoint != nil && !m.CreatedAt.Before(t.Endpoint.CreatedAt):
		return take(m, &domain.Transmission{TenantID: t.ID, MessageID: id, State: domain.TransmissionPending})
	}
	return take(m, nil)
}
