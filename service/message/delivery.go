package message

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// transmissions tells what is recorded of messages' way to the endpoint.
type transmissions interface {
	FindTransmissions(ctx context.Context, tenantID uuid.UUID, messageIDs []uuid.UUID) ([]domain.Transmission, error)
}

// Get returns one message of a tenant, or ErrNotFound, and how far its
// transmission got: nil when there was none, because the tenant had no
// endpoint when it was stored.
func (s *Service) Get(ctx context.Context, t domain.Tenant, id uuid.UUID) (domain.Message, *domain.Transmission, error) {
	m, err := s.o.Messages.FindMessage(ctx, t.ID, id)
	if err != nil {
		return domain.Message{}, nil, fmt.Errorf("read message: %w", err)
	}
	found, err := s.o.Transmissions.FindTransmissions(ctx, t.ID, []uuid.UUID{id})
	if err != nil {
		return domain.Message{}, nil, fmt.Errorf("read transmission: %w", err)
	}
	switch {
	case len(found) > 0:
		return m, &found[0], nil
	case t.Endpoint != nil && !m.CreatedAt.Before(t.Endpoint.CreatedAt):
		return m, &domain.Transmission{TenantID: t.ID, MessageID: id, State: domain.TransmissionPending}, nil
	}
	return m, nil, nil
}
