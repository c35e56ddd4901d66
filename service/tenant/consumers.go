package tenant

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// reportTimeout is how long the reports of other replicas are waited for.
const reportTimeout = 2 * time.Second

// ConsumerOptions configure NewConsumerService.
type ConsumerOptions struct {
	Tenants *Service
	// Running returns the consumers that run in this process.
	Running func() []domain.ConsumerStatus
	// Reports returns what other replicas last reported of the consumers of these
	// tenants. It may be nil when there are no others.
	Reports func(ctx context.Context, tenantIDs []uuid.UUID) (map[uuid.UUID]domain.ConsumerStatus, error)
}

// ConsumerService is what callers may do with the consumers of tenants, with the
// errors of Service. It is safe for concurrent use.
type ConsumerService struct {
	o       ConsumerOptions
	tenants *Service
}

// NewConsumerService returns a ConsumerService.
func NewConsumerService(o ConsumerOptions) *ConsumerService {
	return &ConsumerService{o: o, tenants: o.Tenants}
}

// Consumers returns the consumers of a page of the tenants that the caller may
// access, in the order of the tenants, and whether there are more after it. It
// shows those of the whole fleet; what other replicas have may be seconds old.
func (s *ConsumerService) Consumers(ctx context.Context, p domain.Principal, q domain.TenantQuery) (consumers []domain.ConsumerStatus, more bool, err error) {
	tenants, more, err := s.tenants.List(ctx, p, q)
	if err != nil {
		return nil, false, err
	}
	return s.statuses(ctx, tenants), more, nil
}

// Consumer returns the consumer of one tenant.
func (s *ConsumerService) Consumer(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.ConsumerStatus, error) {
	t, err := s.tenants.Get(ctx, p, id)
	if err != nil {
		return domain.ConsumerStatus{}, err
	}
	return s.status(ctx, t), nil
}

// StatusOf returns the consumer of a tenant that the caller has at hand, and may access.
func (s *ConsumerService) StatusOf(ctx context.Context, t domain.Tenant) domain.ConsumerStatus {
	return s.status(ctx, t)
}

// StopConsumer stops the tenant's consumer, and keeps it stopped until
// StartConsumer. Publishing goes on, and the queue keeps what comes. That it
// shall be stopped is stored when it returns; the consumer, in whichever replica
// it runs, finishes what it began within seconds, and mostly before.
func (s *ConsumerService) StopConsumer(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.ConsumerStatus, error) {
	return s.changeConsumer(ctx, p, id, func(t *domain.Tenant) error { t.StopConsumer(); return nil })
}

// StartConsumer lets the tenant's consumer run again. For an inactive tenant
// that is an ErrConflict.
func (s *ConsumerService) StartConsumer(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.ConsumerStatus, error) {
	return s.changeConsumer(ctx, p, id, (*domain.Tenant).StartConsumer)
}

// changeConsumer stores a change of the tenant and has it carried out, as far as
// that is done in settleWait.
func (s *ConsumerService) changeConsumer(ctx context.Context, p domain.Principal, id uuid.UUID, work func(*domain.Tenant) error) (domain.ConsumerStatus, error) {
	t, err := s.tenants.change(ctx, p, id, work)
	if err != nil {
		return domain.ConsumerStatus{}, err
	}
	settling, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	if err := s.tenants.o.Provisioner.Settle(settling, id); err != nil {
		s.tenants.leaveToReconciler(ctx, id, err)
	}
	return s.status(ctx, t), nil
}

// StopConsumers stops the consumers of all tenants that exist, as
// StopConsumer does, and returns how many were not stopped before. Tenants
// created later have one. It is for admins.
func (s *ConsumerService) StopConsumers(ctx context.Context, p domain.Principal) (int, error) {
	return s.setAllStopped(ctx, p, true)
}

// StartConsumers takes back everything StopConsumers and StopConsumer did, and
// returns for how many tenants that was a change. It is for admins.
func (s *ConsumerService) StartConsumers(ctx context.Context, p domain.Principal) (int, error) {
	return s.setAllStopped(ctx, p, false)
}

func (s *ConsumerService) setAllStopped(ctx context.Context, p domain.Principal, stopped bool) (int, error) {
	if !p.IsAdmin() {
		return 0, domain.Forbidden()
	}
	ids, err := s.tenants.o.Tenants.SetAllStopped(ctx, stopped)
	if err != nil {
		return 0, fmt.Errorf("set all tenants: %w", err)
	}
	s.tenants.o.Reconciler.ResyncAll()
	s.tenants.o.Log.InfoContext(ctx, "consumers of all tenants stopped or started", slog.Bool("stopped", stopped), slog.Int("tenants", len(ids)))
	return len(ids), nil
}

// status returns the status of the tenant's consumer.
func (s *ConsumerService) status(ctx context.Context, t domain.Tenant) domain.ConsumerStatus {
	return s.statuses(ctx, []domain.Tenant{t})[0]
}

// statuses returns the status of each tenant's consumer, wherever it runs.
func (s *ConsumerService) statuses(ctx context.Context, tenants []domain.Tenant) []domain.ConsumerStatus {
	here := make(map[uuid.UUID]domain.ConsumerStatus)
	for _, status := range s.o.Running() {
		here[status.TenantID] = status
	}
	var elsewhere []uuid.UUID
	for i := range tenants {
		if id := tenants[i].ID; !s.tenants.o.Provisioner.owns(id) {
			elsewhere = append(elsewhere, id)
		}
	}
	reported, err := s.reports(ctx, elsewhere)
	if err != nil {
		s.tenants.o.Log.WarnContext(ctx, "what other replicas report cannot be read", slog.Any("error", err))
	}
	statuses := make([]domain.ConsumerStatus, len(tenants))
	for i := range tenants {
		t := &tenants[i]
		// A consumer that moves away from here is not the one to show, once its
		// new owner has one.
		status, known := reported[t.ID]
		if !known {
			status, known = here[t.ID]
		}
		if !known {
			unknown := err != nil && !s.tenants.o.Provisioner.owns(t.ID)
			status = domain.ConsumerStatus{TenantID: t.ID, State: unreported(t, unknown), Workers: t.Workers, Depth: -1}
		}
		status.Stopped = t.Stopped
		statuses[i] = status
	}
	return statuses
}

// reports returns what is reported of tenants that other replicas own.
func (s *ConsumerService) reports(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]domain.ConsumerStatus, error) {
	if len(ids) == 0 || s.o.Reports == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	return s.o.Reports(ctx, ids)
}

// unreported returns the state of a consumer of which nothing is known: not
// even whether there is one, or only that no replica runs it.
func unreported(t *domain.Tenant, unknown bool) domain.ConsumerState {
	switch {
	case unknown:
		return domain.ConsumerUnknown
	case t.Consuming():
		return domain.ConsumerStarting
	}
	return domain.ConsumerStopped
}
