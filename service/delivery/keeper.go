package delivery

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/rendezvous"
)

const (
	// claimEvery is how often tenants are claimed that others still have, and
	// resyncEvery how often everything is looked at, told or not.
	claimEvery  = 500 * time.Millisecond
	resyncEvery = 30 * time.Second
	// claimsAtOnce is how many tenants one call is about.
	claimsAtOnce = 200
	// drainTimeout is how long a process that ends waits for what it began, and
	// endTimeout for each call after that.
	drainTimeout = 9 * time.Second
	endTimeout   = 2 * time.Second
)

// keeper knows which tenants this replica delivers for, and has a lane for each. Its
// goroutine is that of run; refresh, refreshAll, wakeLane, stats, expire and
// dispatcherEnded may be called by anybody.
type keeper struct {
	service *Service
	beat    *heartbeat

	mu    sync.Mutex // guards what follows; nothing waits while it is held
	dirty map[uuid.UUID]struct{}
	all   bool
	ended []endedDispatcher
	view  map[uuid.UUID]*lane
	// statuses is how many endpoints of the tenants that are wanted here have which status.
	statuses map[domain.EndpointStatus]int
	kick     chan struct{} // holds a token when there is something to look at

	// Of the goroutine.
	members *rendezvous.Members
	tenants map[uuid.UUID]endpointCounts // those with endpoints, as far as known
	lanes   map[uuid.UUID]*lane
	// surplus are the epochs of claims that have no lane any more, and are not released
	// yet; doubtful says that the database may have claims of this replica that are in
	// neither.
	surplus  map[uuid.UUID]int64
	doubtful bool
}

// endpointCounts is how many endpoints a tenant has with each status.
type endpointCounts = map[domain.EndpointStatus]int

type endedDispatcher struct {
	lane     *lane
	endpoint uuid.UUID
}

func newKeeper(s *Service) *keeper {
	k := &keeper{
		service: s, dirty: make(map[uuid.UUID]struct{}), all: true, view: make(map[uuid.UUID]*lane), kick: make(chan struct{}, 1),
		tenants: make(map[uuid.UUID]endpointCounts), lanes: make(map[uuid.UUID]*lane),
		surplus: make(map[uuid.UUID]int64),
	}
	k.beat = newHeartbeat(s.o.Deliveries, s.o.Replica, s.o.Log, k.expire)
	signal(k.kick)
	return k
}

func (k *keeper) refresh(id uuid.UUID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dirty[id] = struct{}{}
	signal(k.kick)
}

func (k *keeper) refreshAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = true
	signal(k.kick)
}

func (k *keeper) dispatcherEnded(l *lane, endpoint uuid.UUID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended = append(k.ended, endedDispatcher{l, endpoint})
	signal(k.kick)
}

// expire aborts everything: no heartbeat has succeeded for so long that others may
// take the claims soon.
func (k *keeper) expire() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.view) > 0 {
		k.service.o.Log.Warn("deliveries stop: this replica could not say for long that it delivers", slog.Int("tenants", len(k.view)))
	}
	for _, l := range k.view {
		l.abort()
	}
	signal(k.kick)
}

func (k *keeper) wakeLane(id uuid.UUID) {
	k.mu.Lock()
	l := k.view[id]
	k.mu.Unlock()
	if l != nil {
		l.wake()
	}
}

func (k *keeper) stats() (live []EndpointStats, statuses map[domain.EndpointStatus]int) {
	k.mu.Lock()
	lanes, statuses := slices.Collect(maps.Values(k.view)), k.statuses
	k.mu.Unlock()
	for _, l := range lanes {
		live = l.stats(live)
	}
	return live, statuses
}

// count sums up the statuses of the endpoints of the tenants that are wanted here.
func (k *keeper) count() {
	statuses := map[domain.EndpointStatus]int{domain.EndpointActive: 0, domain.EndpointHeld: 0, domain.EndpointDisabled: 0}
	for id, counts := range k.tenants {
		if k.members.Owner(id) == k.service.o.Replica {
			for status, n := range counts {
				statuses[status] += n
			}
		}
	}
	k.mu.Lock()
	k.statuses = statuses
	k.mu.Unlock()
}

// run keeps lanes until ctx ends, and then ends them. Work is the context of
// deliveries.
func (k *keeper) run(ctx, work context.Context) {
	beating, stopBeating := context.WithCancel(work)
	var beat sync.WaitGroup
	beat.Go(func() { k.beat.run(beating) })
	defer func() { stopBeating(); beat.Wait(); k.beat.end() }()
	claim, resync := time.NewTicker(claimEvery), time.NewTicker(resyncEvery)
	defer claim.Stop()
	defer resync.Stop()
	for {
		select {
		case <-k.kick:
		case <-k.beat.changed:
			k.members = rendezvous.New(k.beat.names())
			k.refreshAll()
			continue
		case <-claim.C:
			k.findSurplus(ctx)
			k.release(ctx)
		case <-resync.C:
			k.doubtful = true
			k.refreshAll()
			continue
		case <-ctx.Done():
			k.end(work)
			return
		}
		k.removeEnded(ctx)
		k.look(ctx)
		k.claim(ctx, work)
	}
}

// removeEnded takes dispatchers that have ended out of their lanes, and gives up
// the claims of lanes that have none left and are not wanted.
func (k *keeper) removeEnded(ctx context.Context) {
	k.mu.Lock()
	ended := k.ended
	k.ended = nil
	k.mu.Unlock()
	for _, e := range ended {
		r := e.lane.endpoints[e.endpoint]
		delete(e.lane.endpoints, e.endpoint)
		if r != nil && r.wanted != nil { // it has been wanted again since it was stopped, or failed
			k.refresh(e.lane.tenant)
		}
	}
	var without []uuid.UUID
	for id, l := range k.lanes {
		if len(l.endpoints) == 0 && (l.stopping || l.ctx.Err() != nil || !k.wants(id)) {
			l.abort()
			without = append(without, id)
			k.surplus[id] = l.epoch
			delete(k.lanes, id)
		}
	}
	if len(without) == 0 {
		return
	}
	k.mu.Lock()
	for _, id := range without {
		delete(k.view, id)
	}
	k.mu.Unlock()
	k.release(ctx)
}

// wants reports whether a tenant is to be delivered for here.
func (k *keeper) wants(id uuid.UUID) bool {
	return k.tenants[id][domain.EndpointActive] > 0 && k.members.Owner(id) == k.service.o.Replica
}

// look takes changes into account.
func (k *keeper) look(ctx context.Context) {
	k.mu.Lock()
	all, dirty := k.all, slices.Collect(maps.Keys(k.dirty))
	k.all = false
	clear(k.dirty)
	k.mu.Unlock()
	if all {
		limited, cancel := context.WithTimeout(ctx, repositoryTimeout)
		tenants, err := k.service.o.Deliveries.DeliveryTenants(limited)
		cancel()
		if err != nil {
			k.failed(ctx, err)
			return
		}
		k.tenants = tenants
		dirty = append(dirty, slices.Collect(maps.Keys(k.lanes))...)
	}
	for chunk := range slices.Chunk(dirty, claimsAtOnce) {
		targets, err := k.targets(ctx, chunk)
		if err != nil {
			k.failed(ctx, err)
			return
		}
		for _, id := range chunk {
			k.apply(id, targets[id])
		}
	}
	if len(dirty) > 0 || all {
		k.count()
	}
	for id, l := range k.lanes {
		if !k.wants(id) && !l.stopping {
			l.stop()
		}
	}
}

func (k *keeper) apply(id uuid.UUID, targets []domain.DeliveryTarget) {
	delete(k.tenants, id)
	if len(targets) > 0 {
		counts := make(endpointCounts)
		for i := range targets {
			counts[targets[i].Status]++
		}
		k.tenants[id] = counts
	}
	if l := k.lanes[id]; l != nil && l.ctx.Err() == nil {
		l.apply(targets)
	}
}

// targets returns the endpoints of tenants.
func (k *keeper) targets(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID][]domain.DeliveryTarget, error) {
	ctx, cancel := context.WithTimeout(ctx, repositoryTimeout)
	defer cancel()
	list, err := k.service.o.Deliveries.DeliveryTargets(ctx, ids)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller logs it as it is
	}
	byTenant := make(map[uuid.UUID][]domain.DeliveryTarget)
	for _, t := range list {
		byTenant[t.TenantID] = append(byTenant[t.TenantID], t)
	}
	return byTenant, nil
}

// failed has everything looked at again when the database is back: the next tick.
func (k *keeper) failed(ctx context.Context, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = true
	if ctx.Err() == nil {
		k.service.o.Log.DebugContext(ctx, "endpoints cannot be read, trying on", slog.Any("error", err))
	}
}

// end stops all lanes, aborts what takes too long, and gives the tenants up.
func (k *keeper) end(work context.Context) {
	k.beat.leave()
	limited, cancel := context.WithTimeout(work, drainTimeout)
	defer cancel()
	for _, l := range k.lanes {
		l.stop()
	}
	for len(k.lanes) > 0 {
		k.removeEnded(work)
		if len(k.lanes) == 0 {
			break
		}
		select {
		case <-k.kick:
		case <-limited.Done():
			for _, l := range k.lanes {
				l.abort()
			}
			for _, l := range k.lanes {
				l.work.Wait()
			}
		}
	}
	last, cancel := context.WithTimeout(work, endTimeout)
	defer cancel()
	if err := k.service.o.Deliveries.RemoveDeliverer(last, k.service.o.Replica); err != nil {
		k.service.o.Log.DebugContext(work, "this replica cannot take itself off the deliverers", slog.Any("error", err))
	}
}
