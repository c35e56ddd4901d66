package endpoint

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// MaxPageSize is the largest number of attempts that a page may be asked to have.
const MaxPageSize = 1000

// endpointRepository and messageRepository are the parts of
// domain.EndpointRepository and domain.MessageRepository that are needed to say what
// there is not.
type endpointRepository interface {
	FindEndpoint(ctx context.Context, tenantID, id uuid.UUID) (domain.Endpoint, error)
}

type messageRepository interface {
	FindMessage(ctx context.Context, tenantID, id uuid.UUID, maxBytes int) (m domain.Message, size int, err error)
}

// AttemptOptions configure NewAttempts.
type AttemptOptions struct {
	Tenants   domain.TenantFinder
	Endpoints endpointRepository
	Messages  messageRepository
	Attempts  domain.AttemptRepository
	// Deliveries knows where messages are on their way.
	Deliveries domain.MessageDeliveryRepository
}

// Attempts shows callers what was tried. It is safe for concurrent use, and answers
// like Service.
type Attempts struct {
	o    AttemptOptions
	gate gate
}

// NewAttempts returns the Attempts.
func NewAttempts(o AttemptOptions) *Attempts { return &Attempts{o, gate{o.Tenants}} }

// OfEndpoint returns a page of the attempts to deliver to an endpoint, newest first,
// and whether more follow. A limit out of range is ErrInvalid.
func (a *Attempts) OfEndpoint(ctx context.Context, p domain.Principal, q domain.AttemptQuery) (attempts []domain.Attempt, more bool, err error) {
	if _, err := a.gate.access(ctx, p, q.TenantID); err != nil {
		return nil, false, err
	}
	if attempts, more, err = a.list(ctx, q); err != nil || len(attempts) > 0 {
		return attempts, more, err
	}
	if _, err := a.o.Endpoints.FindEndpoint(ctx, q.TenantID, q.EndpointID); err != nil {
		return nil, false, fmt.Errorf("find endpoint: %w", err)
	}
	return attempts, more, nil
}

// OfMessage returns a page of the attempts to deliver a message, to whatever
// endpoint, newest first, and whether more follow: also of a message that is not
// stored any longer. The tenant must be one that the caller may access. A limit out
// of range is ErrInvalid.
func (a *Attempts) OfMessage(ctx context.Context, q domain.AttemptQuery) (attempts []domain.Attempt, more bool, err error) {
	if attempts, more, err = a.list(ctx, q); err != nil || len(attempts) > 0 {
		return attempts, more, err
	}
	if _, _, err := a.o.Messages.FindMessage(ctx, q.TenantID, q.MessageID, 0); err != nil {
		return nil, false, fmt.Errorf("find message: %w", err)
	}
	return attempts, more, nil
}

// Deliveries returns what is known of a message's way to each endpoint that it is for.
// Its tenant must be one that the caller may access.
func (a *Attempts) Deliveries(ctx context.Context, m *domain.Message) ([]domain.MessageDelivery, error) {
	found, err := a.o.Deliveries.MessageDeliveries(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("find deliveries: %w", err)
	}
	return found, nil
}

func (a *Attempts) list(ctx context.Context, q domain.AttemptQuery) ([]domain.Attempt, bool, error) {
	if q.Limit < 1 || q.Limit > MaxPageSize {
		return nil, false, domain.WithFields(domain.FieldError{Pointer: "limit", Message: fmt.Sprintf("must be between 1 and %d", MaxPageSize)})
	}
	attempts, more, err := a.o.Attempts.ListAttempts(ctx, q)
	if err != nil {
		return nil, false, fmt.Errorf("list attempts: %w", err)
	}
	return attempts, more, nil
}

// summaryTime is what a summary of attempts is about.
const summaryTime = time.Hour

// Summary returns what came of the attempts of an endpoint in the last hour.
func (a *Attempts) Summary(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID) (domain.AttemptSummary, error) {
	if _, err := a.gate.access(ctx, p, tenantID); err != nil {
		return domain.AttemptSummary{}, err
	}
	if _, err := a.o.Endpoints.FindEndpoint(ctx, tenantID, id); err != nil {
		return domain.AttemptSummary{}, fmt.Errorf("find endpoint: %w", err)
	}
	sum, err := a.o.Attempts.SummarizeAttempts(ctx, tenantID, id, summaryTime)
	if err != nil {
		return sum, fmt.Errorf("summarize attempts: %w", err)
	}
	return sum, nil
}
