package delivery

import (
	"context"
	"sync"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// lane is the claim of one tenant, with its dispatchers. It belongs to the goroutine
// of the keeper, but for what says otherwise.
type lane struct {
	service *Service
	tenant  uuid.UUID
	epoch   int64
	// abort ends everything that is under way. It may be called by anybody.
	ctx   context.Context //nolint:containedctx // lives as long as the claim
	abort context.CancelFunc

	endpoints map[uuid.UUID]*running
	stopping  bool
	work      sync.WaitGroup

	mu   sync.Mutex // guards live, which others read
	live map[uuid.UUID]*dispatcher
}

// running is a dispatcher that runs, and what is wanted of its endpoint by now; nil
// when it is not to be delivered to.
type running struct {
	dispatcher *dispatcher
	stopped    bool
	wanted     *domain.DeliveryTarget
}

// newLane returns the lane of a claim; ctx is that of all deliveries of the process.
func newLane(ctx context.Context, s *Service, claim domain.DeliveryClaim) *lane {
	l := &lane{
		service: s, tenant: claim.TenantID, epoch: claim.Epoch,
		endpoints: make(map[uuid.UUID]*running), live: make(map[uuid.UUID]*dispatcher),
	}
	l.ctx, l.abort = context.WithCancel(domain.WithTenantID(ctx, claim.TenantID))
	return l
}

// lost is called by a dispatcher that found another replica's claim.
func (l *lane) lost() {
	l.abort()
	l.service.keeper.refresh(l.tenant)
}

// apply has the endpoints delivered to that are active, as they are now, and no
// others.
func (l *lane) apply(targets []domain.DeliveryTarget) {
	wanted := make(map[uuid.UUID]*domain.DeliveryTarget, len(targets))
	for i := range targets {
		if t := &targets[i]; t.Status == domain.EndpointActive && !l.stopping {
			wanted[t.ID] = t
		}
	}
	for id, r := range l.endpoints {
		r.wanted = wanted[id]
		switch {
		case r.wanted == nil:
			r.stop()
		case !r.stopped:
			r.dispatcher.update(r.wanted)
		}
		delete(wanted, id)
	}
	for id, target := range wanted {
		l.start(id, target)
	}
}

// target reads an endpoint as it is now. It may be called by anybody.
func (l *lane) target(ctx context.Context, id uuid.UUID) (*domain.DeliveryTarget, error) {
	targets, err := l.service.o.Deliveries.DeliveryTargets(ctx, []uuid.UUID{l.tenant})
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller looks at its kind
	}
	for i := range targets {
		if targets[i].ID == id {
			return &targets[i], nil
		}
	}
	return nil, domain.EndpointNotFound()
}

func (l *lane) start(id uuid.UUID, target *domain.DeliveryTarget) {
	d := newDispatcher(l.service, l, target)
	l.endpoints[id] = &running{dispatcher: d, wanted: target}
	l.mu.Lock()
	l.live[id] = d
	l.mu.Unlock()
	l.work.Go(func() {
		d.run(l.ctx)
		l.mu.Lock()
		delete(l.live, id)
		l.mu.Unlock()
		l.service.keeper.dispatcherEnded(l, id)
	})
}

func (r *running) stop() {
	if !r.stopped {
		r.stopped = true
		close(r.dispatcher.stop)
	}
}

// stop begins nothing more; the lane has ended when it has no endpoints left.
func (l *lane) stop() {
	l.stopping = true
	for _, r := range l.endpoints {
		r.wanted = nil
		r.stop()
	}
}

// wake has open deliveries and replays looked at. It may be called by anybody.
func (l *lane) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.live {
		signal(d.wakes)
	}
}

// stats may be called by anybody.
func (l *lane) stats(list []EndpointStats) []EndpointStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, d := range l.live {
		list = append(list, EndpointStats{
			TenantID: l.tenant, EndpointID: id, Lag: d.stats.lag.Load(), BreakerOpen: d.stats.breaker.Load(),
		})
	}
	return list
}
