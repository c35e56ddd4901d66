package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// earlyRepository says that messages are stored before they are.
type earlyRepository struct {
	domain.MessageRepository

	log *slog.Logger
}

// AppendMessages implements domain.MessageRepository, wrongly.
func (r *earlyRepository) AppendMessages(ctx context.Context, messages []domain.Message) ([]domain.AppendResult, error) {
	later := append([]domain.Message(nil), messages...)
	time.AfterFunc(100*time.Millisecond, func() {
		if _, err := r.MessageRepository.AppendMessages(context.WithoutCancel(ctx), later); err != nil {
			r.log.ErrorContext(ctx, "not stored after all", slog.Any("error", err))
		}
	})
	appended := make([]domain.AppendResult, len(messages))
	for i := range appended {
		appended[i].Outcome = domain.AppendStored
	}
	return appended, nil
}

// carelessPublisher takes returned messages for published, as one without the
// mandatory flag would.
type carelessPublisher struct{ domain.Publisher }

// Publish implements domain.Publisher, wrongly.
func (p carelessPublisher) Publish(ctx context.Context, tenantID uuid.UUID, batch []domain.Outgoing) []error {
	errs := p.Publisher.Publish(ctx, tenantID, batch)
	for i, err := range errs {
		if errors.Is(err, domain.ErrQueueMissing) {
			errs[i] = nil
		}
	}
	return errs
}

// staleSubscriber sends what a lost session did not acknowledge in the session
// after it, where the same tags mean other deliveries.
type staleSubscriber struct {
	domain.Subscriber

	mu   sync.Mutex
	open map[uuid.UUID]uint64 // the highest tag of the lost session
}

func newStaleSubscriber(s domain.Subscriber) *staleSubscriber {
	return &staleSubscriber{Subscriber: s, open: make(map[uuid.UUID]uint64)}
}

// Subscribe implements domain.Subscriber, wrongly.
func (s *staleSubscriber) Subscribe(ctx context.Context, tenant uuid.UUID, tag string, prefetch int) (domain.Subscription, error) {
	sub, err := s.Subscriber.Subscribe(ctx, tenant, tag, prefetch)
	if err != nil {
		return nil, err //nolint:wrapcheck // passed on
	}
	s.mu.Lock()
	stale := s.open[tenant]
	delete(s.open, tenant)
	s.mu.Unlock()
	if stale > 0 {
		_ = sub.Ack(stale, true) // whatever that is now
	}
	return &staleSubscription{Subscription: sub, lost: func(highest uint64) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open[tenant] = highest
	}}, nil
}

// staleSubscription remembers the highest tag that was acknowledged.
type staleSubscription struct {
	domain.Subscription

	lost func(highest uint64)

	mu      sync.Mutex
	highest uint64
}

// Ack implements domain.Subscription.
func (s *staleSubscription) Ack(tag uint64, multiple bool) error {
	s.mu.Lock()
	s.highest = max(s.highest, tag)
	s.mu.Unlock()
	return s.Subscription.Ack(tag, multiple) //nolint:wrapcheck // passed on
}

// Close implements domain.Subscription.
func (s *staleSubscription) Close() error {
	s.mu.Lock()
	s.lost(s.highest + 1)
	s.mu.Unlock()
	return s.Subscription.Close() //nolint:wrapcheck // passed on
}
