package delivery

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"

	"lanekeeper/domain"
	"lanekeeper/pkg/tracing"
	"lanekeeper/pkg/webhook"
)

const (
	// readsAtATime is how many dispatchers read the database at a time.
	readsAtATime = 3
	// maxHeld is how many bytes of messages all windows hold before they are read
	// into one by one, and memoryAgain how long to wait when there is twice as much.
	maxHeld     = 128 << 20
	memoryAgain = 100 * time.Millisecond
	// aliveAgain is how long to wait where no heartbeat succeeded.
	aliveAgain = 250 * time.Millisecond
)

// Sender makes one attempt.
type Sender interface {
	Send(ctx context.Context, r webhook.Request) webhook.Result
}

// deliveryRepository is domain.DeliveryRepository.
type deliveryRepository = domain.DeliveryRepository

// letterPublisher publishes dead letters to their tenant's queue.
type letterPublisher interface {
	DeadLetter(ctx context.Context, letter domain.DeadLetter) error
}

// observer is told what is measured; its methods must not block.
type observer interface {
	// AddDeliveries counts attempts by outcome: delivered, failed, probed, gone,
	// given_up, expired.
	AddDeliveries(tenantID uuid.UUID, outcome string, n int)
	ObserveDelivery(seconds float64)
}

// Options configure New.
type Options struct {
	// Replica is the name of this process.
	Replica    string
	Deliveries domain.DeliveryRepository
	Tails      domain.Tails
	Sender     Sender
	// Letters publishes dead letters where they are not collected; nil where they go
	// into the store.
	Letters letterPublisher
	Metrics observer
	// Keep reports whether an attempt is to be recorded.
	Keep func(*domain.Attempt) bool
	// DisableAfter is for how long every attempt fails before an endpoint is
	// disabled; 0 for ever.
	DisableAfter time.Duration
	// ProbeEvery is how often one delivery is tried while the breaker of an endpoint
	// is open; 0 for 30 s.
	ProbeEvery time.Duration
	// Now returns the database's time.
	Now func() time.Time
	// Traces makes spans of attempts; nil for none.
	Traces *tracing.Tracer
	Log    *slog.Logger
}

// Service delivers the histories of tenants to their endpoints. Run starts its
// goroutines and waits for them; the other methods are safe for concurrent use.
type Service struct {
	o       Options
	settler *settler
	courier *courier
	slots   *slots
	keeper  *keeper
	reads   *semaphore.Weighted
	memory  memory
}

// New returns a Service that delivers nothing until Run runs.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.ProbeEvery <= 0 {
		o.ProbeEvery = probeEvery
	}
	if o.Keep == nil {
		o.Keep = func(*domain.Attempt) bool { return true }
	}
	s := &Service{o: o, slots: newSlots(), reads: semaphore.NewWeighted(readsAtATime)}
	s.settler = newSettler(o.Deliveries, o.Replica, o.Keep, o.Log)
	s.keeper = newKeeper(s)
	s.courier = &courier{slots: s.slots, sender: o.Sender, alive: s.alive, traces: o.Traces}
	return s
}

// Run delivers until ctx ends. Then it begins nothing more, waits for drainTimeout
// at most until what was begun has ended, and gives its tenants up. Call it once.
func (s *Service) Run(ctx context.Context) {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	var settling sync.WaitGroup
	settling.Go(func() { s.settler.run(work) })
	s.keeper.run(ctx, work)
	stop()
	settling.Wait()
}

// Follow takes a change of a tenant, or of its endpoints, into account.
func (s *Service) Follow(tenantID uuid.UUID) { s.keeper.refresh(tenantID) }

// FollowAll takes changes of any tenants into account.
func (s *Service) FollowAll() { s.keeper.refreshAll() }

// Wake has open deliveries of a tenant looked at, because some became due, and
// replays that may have come.
func (s *Service) Wake(tenantID uuid.UUID) { s.keeper.wakeLane(tenantID) }

// EndpointStats is what is measured of an endpoint that is delivered to here.
type EndpointStats struct {
	TenantID, EndpointID uuid.UUID
	Lag                  int64
	BreakerOpen          bool
}

// Stats returns what is measured of all endpoints that are delivered to here, and
// how many endpoints with which status the tenants have that are this replica's,
// whether or not they are delivered to. The map must not be changed.
func (s *Service) Stats() (live []EndpointStats, statuses map[domain.EndpointStatus]int) {
	return s.keeper.stats()
}

// refresh asks the keeper for a tenant's endpoints as they are now.
func (s *Service) refresh(tenantID uuid.UUID) { s.keeper.refresh(tenantID) }

// alive reports whether this process may deliver: its heartbeat is young enough.
func (s *Service) alive() bool { return s.keeper.beat.alive() }

// reading runs a read of the database, few at a time and for repositoryTimeout at
// most.
func (s *Service) reading(ctx context.Context, read func(context.Context) error) error {
	if err := s.reads.Acquire(ctx, 1); err != nil {
		return err //nolint:wrapcheck // the end of ctx
	}
	defer s.reads.Release(1)
	limited, cancel := context.WithTimeout(ctx, repositoryTimeout)
	defer cancel()
	return read(limited)
}

// memory counts what all windows hold.
type memory struct{ held atomic.Int64 }

// allowance returns how many bytes a dispatcher may read; empty says that it holds
// nothing.
func (m *memory) allowance(empty bool) int {
	switch held := m.held.Load(); {
	case held < maxHeld:
		return readBytes
	case empty && held < 2*maxHeld:
		return 1 // a single message
	}
	return 0
}
