package quota

import (
	"context"
	"errors"
	"log/slog"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// Options configure NewService.
type Options struct {
	// User returns a user as it was some seconds ago at most; ErrNotFound where there
	// is none.
	User func(ctx context.Context, id uuid.UUID) (domain.User, error)
	// Limits are those of owners for whom no others are set.
	Limits domain.Limits
	Log    *slog.Logger
}

// Service knows the limits of owners. It is safe for concurrent use.
type Service struct{ o Options }

// NewService returns a Service.
func NewService(o Options) *Service { return &Service{o} }

// LimitsOf implements domain.LimitFinder.
func (s *Service) LimitsOf(ctx context.Context, ownerID uuid.UUID) domain.Limits {
	if ownerID == uuid.Nil { // nobody's tenants are limited one by one
		return domain.Limits{EndpointsPerTenant: s.o.Limits.EndpointsPerTenant}
	}
	user, err := s.o.User(ctx, ownerID)
	if err != nil {
		if !errors.Is(err, domain.ErrNotFound) {
			s.o.Log.DebugContext(ctx, "limits of an owner cannot be read, using those of everybody", slog.Any("error", err))
		}
		return s.o.Limits
	}
	return s.o.Limits.Of(user.Role, user.Limits)
}
