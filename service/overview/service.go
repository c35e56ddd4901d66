package overview

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/janitor"
)

const (
	// countEvery is how often what is stored is counted, and countTimeout how long that
	// may take.
	countEvery   = 5 * time.Second
	countTimeout = 3 * time.Second
	// statusFor is for how long what /readyz says is taken for true.
	statusFor = 2 * time.Second
)

// Options configure New.
type Options struct {
	Repository domain.OverviewRepository
	// Lookup returns a tenant as it is now, or was moments ago; ErrNotFound where there
	// is none.
	Lookup func(ctx context.Context, id uuid.UUID) (domain.Tenant, error)
	// Totals returns what this process has counted since it began.
	Totals func() Totals
	// Depth asks the broker how many messages wait in a tenant's queue.
	Depth func(ctx context.Context, tenantID uuid.UUID) (int64, error)
	// Ready returns a word for how the service does, and how each server does.
	Ready func(ctx context.Context) (status string, ready bool, details map[string]string)
	// Limits are those of owners for whom no others are set, and MaxBacklog is how many
	// messages may wait in a queue; 0 for any number.
	Limits     domain.Limits
	MaxBacklog int64
	Version    string
	OpenMode   bool
	// Now returns the fleet's time.
	Now func() time.Time
	Log *slog.Logger
}

// Service says how tenants and replicas do. It is safe for concurrent use.
type Service struct {
	o         Options
	snapshots *snapshots
	pace      *pace
	rates     *rates

	mu      sync.Mutex
	status  status    // guarded by mu
	askedAt time.Time // guarded by mu: when status was asked for
}

// status is what /readyz says.
type status struct {
	word    string
	servers map[string]string
}

// New returns a Service; Run samples.
func New(o Options) *Service {
	s := &Service{o: o, pace: &pace{}, rates: newRates()}
	s.snapshots = &snapshots{take: s.look, depths: newDepths(o.Depth)}
	return s
}

// Run samples until ctx ends.
func (s *Service) Run(ctx context.Context) {
	var counting sync.WaitGroup
	defer counting.Wait()
	counting.Go(func() {
		s.count(ctx)
		janitor.Run(ctx, countEvery, s.count)
	})
	s.rates.sample(s.o.Now(), s.o.Totals())
	janitor.Run(ctx, domain.RateInterval, func(context.Context) { s.rates.sample(s.o.Now(), s.o.Totals()) })
}

// count notes how many messages are stored.
func (s *Service) count(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	counts, err := s.o.Repository.CountStored(limited)
	if err != nil {
		s.o.Log.DebugContext(ctx, "what is stored is not counted, trying again later", slog.Any("error", err))
		return
	}
	s.pace.note(counts)
}

// look takes a snapshot.
func (s *Service) look(ctx context.Context) (*snapshot, error) {
	sight, err := s.o.Repository.ReadFleet(ctx, domain.SightQuery{
		EndpointsPerTenant: endpointsPerTenant, LettersPerTenant: lettersPerTenant, Moves: movesShown, FreshFor: lettersFreshFor,
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // says what it did
	}
	return &snapshot{sight: sight, pace: s.pace.at(sight.At)}, nil
}

// Overview returns how all tenants that the caller may access do. While the database is
// away that is as it was; an ErrUnavailable when too much time has passed, or nothing is
// known.
func (s *Service) Overview(ctx context.Context, p domain.Principal) (domain.Overview, error) {
	snapshot, err := s.snapshots.get(ctx)
	if err != nil {
		return domain.Overview{}, err
	}
	overview := snapshot.view(p, &s.o).overview
	overview.Age = snapshot.age()
	ready := s.ask(ctx)
	overview.Status, overview.OpenMode = ready.word, s.o.OpenMode
	if p.IsAdmin() {
		overview.Service = &domain.ServiceOverview{
			Version: s.o.Version, Servers: ready.servers, Replicas: snapshot.liveReplicas(), Rates: s.rates.window(s.o.Now()),
		}
	}
	return overview, nil
}

// ask returns what /readyz says, as it was a moment ago at most.
func (s *Service) ask(ctx context.Context) status {
	s.mu.Lock()
	known, fresh := s.status, time.Since(s.askedAt) < statusFor
	if !fresh {
		s.askedAt = time.Now() // others get what is known meanwhile
	}
	s.mu.Unlock()
	if fresh && known.word != "" {
		return known
	}
	word, _, servers := s.o.Ready(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status{word, servers}
	return s.status
}

// Tenants returns a page of how the tenants do that the caller may access. Errors are
// those of Overview, and an ErrMalformed for a cursor that is none.
func (s *Service) Tenants(ctx context.Context, p domain.Principal, q domain.OverviewQuery) (domain.OverviewPage, error) {
	snapshot, err := s.snapshots.get(ctx)
	if err != nil {
		return domain.OverviewPage{}, err
	}
	return page(snapshot.sight.At, snapshot.view(p, &s.o).tenants, &q)
}

// Tenant returns how one tenant does, with what was changed of it a moment ago. Errors are
// those of Overview, and TenantNotFound for one that the caller may not access.
func (s *Service) Tenant(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.TenantOverview, error) {
	is, err := s.o.Lookup(ctx, id)
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return domain.TenantOverview{}, domain.TenantNotFound()
	case err != nil:
		return domain.TenantOverview{}, fmt.Errorf("look the tenant up: %w", err)
	case is.Status == domain.TenantDeleted || !p.MayAccess(&is):
		return domain.TenantOverview{}, domain.TenantNotFound()
	}
	snapshot, err := s.snapshots.get(ctx)
	if err != nil {
		return domain.TenantOverview{}, err
	}
	t := domain.TenantOverview{TenantSight: domain.TenantSight{Backlog: -1}, Seen: snapshot.sight.At}
	if seen, there := snapshot.find(id); there { // else it was made since
		t = *seen
	}
	t.Tenant = is
	t.State = t.TenantSight.State(t.Seen)
	return t, nil
}

// Fleet returns how the replicas do, and which tenants moved of late. It is for admins.
func (s *Service) Fleet(ctx context.Context, p domain.Principal) (domain.FleetOverview, error) {
	if !p.IsAdmin() {
		return domain.FleetOverview{}, domain.Forbidden()
	}
	snapshot, err := s.snapshots.get(ctx)
	if err != nil {
		return domain.FleetOverview{}, err
	}
	return snapshot.fleet(), nil
}

// ReplicaTenants returns a page of how those tenants do whose consumers a replica runs.
// It is for admins. Errors are those of Tenants, and ReplicaNotFound.
func (s *Service) ReplicaTenants(ctx context.Context, p domain.Principal, replica string, q domain.OverviewQuery) (domain.OverviewPage, error) {
	if !p.IsAdmin() {
		return domain.OverviewPage{}, domain.Forbidden()
	}
	snapshot, err := s.snapshots.get(ctx)
	if err != nil {
		return domain.OverviewPage{}, err
	}
	if !snapshot.hasReplica(replica) {
		return domain.OverviewPage{}, domain.ReplicaNotFound()
	}
	q.Replica = replica
	return page(snapshot.sight.At, snapshot.view(p, &s.o).tenants, &q)
}
