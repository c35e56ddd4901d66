package tenant

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// Consumers returns the consumers of a page of the tenants that the caller may
// access, in the order of the tenants, and whether there are more after it.
func (s *Service) Consumers(ctx context.Context, p domain.Principal, q domain.TenantQuery) (consumers []domain.ConsumerStatus, more bool, err error) {
	tenants, more, err := s.List(ctx, p, q)
	if err != nil {
		return nil, false, err
	}
	running := s.running()
	consumers = make([]domain.ConsumerStatus, len(tenants))
	for i := range tenants {
		consumers[i] = statusOf(&tenants[i], running)
	}
	return consumers, more, nil
}

// Consumer returns the consumer of one tenant.
func (s *Service) Consumer(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.ConsumerStatus, error) {
	t, err := s.Get(ctx, p, id)
	if err != nil {
		return domain.ConsumerStatus{}, err
	}
	return statusOf(&t, s.running()), nil
}

// StopConsumer stops the tenant's consumer, and keeps it stopped until
// StartConsumer. Publishing goes on, and the queue keeps what comes. That it
// shall be stopped is stored when it returns; the consumer finishes what it
// began within seconds, and mostly before.
func (s *Service) StopConsumer(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.ConsumerStatus, error) {
	return s.pause(ctx, p, id, func(t *domain.Tenant) error { t.Pause(); return nil })
}

// StartConsumer lets the tenant's consumer run again. For an inactive tenant
// that is an ErrConflict.
func (s *Service) StartConsumer(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.ConsumerStatus, error) {
	return s.pause(ctx, p, id, (*domain.Tenant).Resume)
}

func (s *Service) pause(ctx context.Context, p domain.Principal, id uuid.UUID, work func(*domain.Tenant) error) (domain.ConsumerStatus, error) {
	t, err := s.change(ctx, p, id, work)
	if err != nil {
		return domain.ConsumerStatus{}, err
	}
	settling, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	if err := s.o.Provisioner.Settle(settling, id); err != nil {
		s.leaveToReconciler(ctx, id, err)
	}
	return statusOf(&t, s.running()), nil
}

// StopConsumers stops the consumers of all tenants that exist, as
// StopConsumer does, and returns how many were not stopped before. Tenants
// created later have one. It is for admins.
func (s *Service) StopConsumers(ctx context.Context, p domain.Principal) (int, error) {
	return s.pauseAll(ctx, p, true)
}

// StartConsumers takes back everything StopConsumers and StopConsumer did, and
// returns for how many tenants that was a change. It is for admins.
func (s *Service) StartConsumers(ctx context.Context, p domain.Principal) (int, error) {
	return s.pauseAll(ctx, p, false)
}

func (s *Service) pauseAll(ctx context.Context, p domain.Principal, paused bool) (int, error) {
	if !p.Role.Covers(domain.RoleAdmin) {
		return 0, forbidden()
	}
	ids, err := s.o.Tenants.PauseTenants(ctx, paused)
	if err != nil {
		return 0, fmt.Errorf("set all tenants: %w", err)
	}
	s.o.Reconciler.Survey()
	s.o.Log.InfoContext(ctx, "consumers of all tenants stopped or started", slog.Bool("stopped", paused), slog.Int("tenants", len(ids)))
	return len(ids), nil
}

// running returns the consumers of this process, by tenant.
func (s *Service) running() map[uuid.UUID]domain.ConsumerStatus {
	statuses := s.o.Consumers()
	running := make(map[uuid.UUID]domain.ConsumerStatus, len(statuses))
	for _, status := range statuses {
		running[status.TenantID] = status
	}
	return running
}

// statusOf returns the status of the tenant's consumer; one that does not run
// is stopped.
func statusOf(t *domain.Tenant, running map[uuid.UUID]domain.ConsumerStatus) domain.ConsumerStatus {
	status, runs := running[t.ID]
	if !runs {
		status = domain.ConsumerStatus{TenantID: t.ID, State: domain.ConsumerStopped, Workers: t.Workers, Depth: -1}
	}
	status.Paused = t.Paused
	return status
}
