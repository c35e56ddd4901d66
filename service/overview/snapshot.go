package overview

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// viewsKept is how many views of a snapshot are kept. Those of other callers are made
// each time, which costs no more than looking at every tenant.
const viewsKept = 256

// snapshot is what was so at a moment. It does not change once it is complete; only views
// of it are added. It is safe for concurrent use.
type snapshot struct {
	sight domain.FleetSight
	pace  rateOf
	// taken is when it was begun to be taken, by our clock.
	taken time.Time
	// tenants are those of sight, in its order.
	tenants []domain.TenantOverview

	mu    sync.Mutex
	views map[viewer]*view // guarded by mu
}

// viewer is what of a caller decides what it may see and do.
type viewer struct {
	role                      domain.Role
	user, tenant, key, forKey uuid.UUID
}

// view is what callers see who may access the same.
type view struct {
	overview domain.Overview
	tenants  []*domain.TenantOverview
}

// complete works out what follows from what was seen.
func (s *snapshot) complete() {
	s.tenants = make([]domain.TenantOverview, len(s.sight.Tenants))
	running := make(map[string]int, len(s.sight.Replicas))
	for i := range s.sight.Tenants {
		t := &s.sight.Tenants[i]
		s.tenants[i] = domain.TenantOverview{TenantSight: *t, Seen: s.sight.At, State: t.State(s.sight.At), Rate: s.pace(t.ID, t.LastSeq)}
		running[t.Replica]++
	}
	for i := range s.sight.Replicas {
		r := &s.sight.Replicas[i]
		r.Tenants = running[r.Name]
	}
}

// age returns how long ago it was taken.
func (s *snapshot) age() time.Duration { return time.Since(s.taken) }

// find returns a tenant.
func (s *snapshot) find(id uuid.UUID) (*domain.TenantOverview, bool) {
	i, there := slices.BinarySearchFunc(s.tenants, id, func(t domain.TenantOverview, id uuid.UUID) int { return bytes.Compare(t.ID[:], id[:]) })
	if !there {
		return nil, false
	}
	return &s.tenants[i], true
}

// view returns what a caller sees.
func (s *snapshot) view(p domain.Principal, o *Options) *view {
	who := viewer{role: p.Role, user: p.UserID, tenant: p.TenantID, key: p.KeyID, forKey: p.KeyTenant}
	s.mu.Lock()
	known := s.views[who]
	s.mu.Unlock()
	if known != nil {
		return known
	}
	v := s.newView(p, o)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.views == nil {
		s.views = make(map[viewer]*view)
	}
	if len(s.views) < viewsKept {
		s.views[who] = v
	}
	return v
}

func (s *snapshot) newView(p domain.Principal, o *Options) *view {
	v := &view{}
	all := &v.overview
	all.At = s.sight.At
	for i := range s.tenants {
		t := &s.tenants[i]
		if !p.MayAccess(&t.Tenant) {
			continue
		}
		v.tenants = append(v.tenants, t)
		all.Tenants.Add(t.State)
		all.Backlog += max(0, t.Backlog)
		all.Oldest = max(all.Oldest, t.Oldest(s.sight.At))
		all.Stored += t.LastSeq
		all.DeadLetters += t.DeadLetters
		e := &all.Endpoints
		e.Total, e.Active, e.Held, e.Disabled = e.Total+t.Endpoints.Total, e.Active+t.Endpoints.Active, e.Held+t.Endpoints.Held, e.Disabled+t.Endpoints.Disabled
		e.BreakerOpen, e.Lag, e.HeldLag = e.BreakerOpen+t.Endpoints.BreakerOpen, e.Lag+t.Endpoints.Lag, e.HeldLag+t.Endpoints.HeldLag
	}
	all.Attention = newAdviser(p, s, v.tenants, o).advise()
	return v
}

// fleet returns how the replicas do.
func (s *snapshot) fleet() domain.FleetOverview {
	f := domain.FleetOverview{At: s.sight.At, Replicas: s.sight.Replicas, Moves: make([]domain.TenantMove, len(s.sight.Moves))}
	for i, m := range s.sight.Moves {
		f.Moves[i].Move = m
		if t, there := s.find(m.TenantID); there {
			f.Moves[i].TenantName = t.Name
		}
	}
	return f
}

func (s *snapshot) hasReplica(name string) bool {
	return slices.ContainsFunc(s.sight.Replicas, func(r domain.ReplicaSight) bool { return r.Name == name })
}

// liveReplicas counts those that live, suspects included.
func (s *snapshot) liveReplicas() int {
	n := 0
	for i := range s.sight.Replicas {
		if s.sight.Replicas[i].State(s.sight.At) != domain.ReplicaGone {
			n++
		}
	}
	return n
}
