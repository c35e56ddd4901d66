package tenant

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// maxAge is how old an answer of the Directory may be.
	maxAge = 5 * time.Second
	// absentAge is how old the answer that there is no such tenant may be.
	absentAge = time.Second
	// loadTimeout is how long the database is waited for.
	loadTimeout = time.Second

	maxCached = 20_000
	maxAbsent = 1_000
)

// finder is the part of domain.TenantRepository the Directory needs.
type finder interface {
	FindTenant(ctx context.Context, id uuid.UUID) (domain.Tenant, error)
}

// Directory answers what is known of a tenant without asking the database
// each time. Its answers are at most 5 seconds old, and reflect at once what
// was changed through this process, or announced to it with Forget. While the
// database is away it goes on answering with the last known state. It is safe
// for concurrent use.
type Directory struct {
	tenants finder

	mu sync.RWMutex
	// lanes and absent are guarded by mu, and so are the fields of a lane.
	lanes map[uuid.UUID]*lane
	// absent holds when tenants were found not to exist. It is apart from
	// lanes so that made-up ids displace nothing there.
	absent map[uuid.UUID]time.Time
}

// lane is what is known of one tenant. A change replaces it by another one,
// so that a load that began before the change has nowhere to put its result.
type lane struct {
	tenant domain.Tenant
	// known tells whether tenant holds anything.
	known bool
	// checked is when the load began that said so, or, while the database is
	// away, when it was last tried; zero when the next Lookup must load.
	checked time.Time
	// stale tells that the last load failed.
	stale bool
	// loading is the load under way, or nil.
	loading *load
}

// load is one question to the database and its answer. The answer may be read
// once done is closed.
type load struct {
	done   chan struct{}
	tenant domain.Tenant
	err    error
}

// NewDirectory returns an empty Directory that loads from tenants.
func NewDirectory(tenants finder) *Directory {
	return &Directory{tenants: tenants, lanes: make(map[uuid.UUID]*lane), absent: make(map[uuid.UUID]time.Time)}
}

// Lookup returns the tenant. Those being deleted are as those that do not
// exist: ErrNotFound. While the database is away, tenants never seen before
// are ErrUnavailable.
func (d *Directory) Lookup(ctx context.Context, id uuid.UUID) (domain.Tenant, error) {
	now := time.Now()
	d.mu.RLock()
	if l := d.lanes[id]; l != nil && l.known && now.Sub(l.checked) < maxAge {
		t := l.tenant
		d.mu.RUnlock()
		return visible(t)
	}
	gone, absent := d.absent[id]
	d.mu.RUnlock()
	if absent && now.Sub(gone) < absentAge {
		return domain.Tenant{}, domain.TenantNotFound()
	}
	return d.refresh(ctx, id, now)
}

// Put tells that the tenant was just changed to t. The next Lookup asks the
// database, because somebody else may have changed it since; t is what is
// answered if the database is away by then.
func (d *Directory) Put(t domain.Tenant) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.absent, t.ID)
	if old := d.lanes[t.ID]; old != nil && old.known && old.tenant.UpdatedAt.After(t.UpdatedAt) {
		t = old.tenant
	}
	d.store(t.ID, &lane{tenant: t, known: true})
}

// Forget tells that the tenant was changed somewhere. The next Lookup asks
// the database; what is known is kept for the case that it is away by then.
func (d *Directory) Forget(id uuid.UUID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.absent, id)
	if l := d.lanes[id]; l != nil {
		d.outdate(id, l)
	}
}

// ForgetAll tells that any tenant may have been changed; see Forget.
func (d *Directory) ForgetAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.absent)
	for id, l := range d.lanes {
		d.outdate(id, l)
	}
}

// outdate needs mu. A load under way may have read the row before the change,
// so its lane is given up.
func (d *Directory) outdate(id uuid.UUID, l *lane) {
	switch {
	case l.loading == nil:
		l.checked, l.stale = time.Time{}, false
	case l.known:
		d.lanes[id] = &lane{tenant: l.tenant, known: true}
	default:
		delete(d.lanes, id)
	}
}

// StillThere returns nil unless the tenant is gone: then it is the ErrNotFound
// of Lookup. Somebody who looked the tenant up a moment ago, and did something
// since, asks it whether the tenant was deleted meanwhile. It asks the
// database only when a change was announced; when ctx leaves no time for that
// it is an ErrUnavailable. While the database is away the last known state
// counts.
func (d *Directory) StillThere(ctx context.Context, id uuid.UUID) error {
	d.mu.RLock()
	l := d.lanes[id]
	if l != nil && l.known && (!l.checked.IsZero() || l.tenant.Gone()) {
		t := l.tenant
		d.mu.RUnlock()
		_, err := visible(t)
		return err
	}
	d.mu.RUnlock()
	if deadline, limited := ctx.Deadline(); limited && time.Until(deadline) < loadTimeout {
		return domain.New(domain.ErrUnavailable, "publish_unknown",
			"The tenant was changed meanwhile, so the outcome is unknown; retry with the same Idempotency-Key.")
	}
	if _, err := d.Lookup(ctx, id); errors.Is(err, domain.ErrNotFound) {
		return err
	}
	return nil
}

func visible(t domain.Tenant) (domain.Tenant, error) {
	if t.Gone() {
		return domain.Tenant{}, domain.TenantNotFound()
	}
	return t, nil
}

// refresh loads the tenant, or waits for the load that is under way. When the
// load before failed, only one caller tries again, and the others go on with
// the last known state.
func (d *Directory) refresh(ctx context.Context, id uuid.UUID, now time.Time) (domain.Tenant, error) {
	d.mu.Lock()
	l := d.lanes[id]
	if l == nil {
		l = &lane{}
		d.store(id, l)
	}
	running := l.loading
	switch {
	case running == nil:
		running = &load{done: make(chan struct{})}
		l.loading = running
		d.mu.Unlock()
		d.run(ctx, id, l, running, now)
	case l.known && l.stale:
		t := l.tenant
		d.mu.Unlock()
		return visible(t)
	default:
		d.mu.Unlock()
		select {
		case <-running.done:
		case <-ctx.Done():
			return domain.Tenant{}, domain.Wrap(ctx.Err(), domain.ErrUnavailable, "database_unavailable", "The tenant cannot be looked up at the moment.")
		}
	}
	if running.err != nil {
		return domain.Tenant{}, running.err
	}
	return visible(running.tenant)
}

// run asks the database. It does so even when the caller goes away, because
// others may wait for the answer.
func (d *Directory) run(ctx context.Context, id uuid.UUID, l *lane, this *load, now time.Time) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
	defer cancel()
	this.tenant, this.err = d.tenants.FindTenant(ctx, id)

	d.mu.Lock()
	defer d.mu.Unlock()
	defer close(this.done)
	l.loading = nil
	current := d.lanes[id] == l
	switch {
	case this.err == nil:
		l.tenant, l.known, l.checked, l.stale = this.tenant, true, now, false
	case errors.Is(this.err, domain.ErrNotFound):
		this.err = domain.TenantNotFound()
		if current {
			delete(d.lanes, id)
			d.storeAbsent(id, now)
		}
	case l.known: // the last known state is better than none
		l.checked, l.stale = now, true
		this.tenant, this.err = l.tenant, nil
	default:
		if current {
			delete(d.lanes, id)
		}
		if errors.Is(this.err, context.DeadlineExceeded) {
			this.err = domain.Wrap(this.err, domain.ErrUnavailable, "database_unavailable", "The tenant cannot be looked up at the moment.")
		}
		this.err = fmt.Errorf("look up tenant: %w", this.err)
	}
}

// store needs mu. When the Directory is full it makes room by dropping some
// other tenant.
func (d *Directory) store(id uuid.UUID, l *lane) {
	if _, replaces := d.lanes[id]; !replaces && len(d.lanes) >= maxCached {
		for other := range d.lanes {
			delete(d.lanes, other)
			break
		}
	}
	d.lanes[id] = l
}

// storeAbsent needs mu.
func (d *Directory) storeAbsent(id uuid.UUID, now time.Time) {
	if len(d.absent) >= maxAbsent {
		clear(d.absent)
	}
	d.absent[id] = now
}
