package tenant_test

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// The ports through which a process reaches the world.

func (p *process) InsertTenant(ctx context.Context, t domain.Tenant, admit func(domain.OwnerUse) error) error {
	return p.step(ctx, &p.databaseAway, func() error {
		if _, exists := p.rows[t.ID]; !exists {
			if _, taken := p.named(t.OwnerID, t.ExternalID); taken && t.ExternalID != "" {
				return domain.ExternalIDTaken(nil)
			}
			if t.OwnerID != uuid.Nil {
				if err := admit(p.use(t.OwnerID, t.ID)); err != nil {
					return err
				}
			}
			p.rows[t.ID] = t
			p.announce(domain.Change{Kind: domain.TenantChanged, ID: t.ID})
		}
		return nil
	})
}

// use returns what an owner has besides a tenant. The lock must be held.
func (p *process) use(owner, besides uuid.UUID) domain.OwnerUse {
	use := domain.OwnerUse{Role: domain.RoleMember}
	for id, t := range p.rows {
		if t.OwnerID == owner && id != besides && t.Status != domain.TenantDeleted {
			use.Tenants++
			use.Workers += t.Workers
		}
	}
	return use
}

func (p *process) GrowTenant(ctx context.Context, id uuid.UUID, change func(*domain.Tenant) error, admit func(domain.Tenant, domain.OwnerUse) error) (domain.Tenant, error) {
	return p.ChangeTenant(ctx, id, func(t *domain.Tenant) error {
		workers := t.Workers
		if err := change(t); err != nil || t.Workers <= workers || t.OwnerID == uuid.Nil {
			return err
		}
		return admit(*t, p.use(t.OwnerID, id))
	})
}

func (p *process) FindTenant(ctx context.Context, id uuid.UUID) (t domain.Tenant, err error) {
	err = p.step(ctx, &p.databaseAway, func() error {
		var exists bool
		if t, exists = p.rows[id]; !exists {
			return domain.TenantNotFound()
		}
		return nil
	})
	return t, err
}

func (p *process) ListTenants(ctx context.Context, q domain.TenantQuery) (tenants []domain.Tenant, err error) {
	err = p.step(ctx, &p.databaseAway, func() error {
		p.lists++
		for _, t := range p.rows {
			wanted := t.Status != domain.TenantDeleted
			if len(q.Statuses) > 0 {
				wanted = slices.Contains(q.Statuses, t.Status)
			}
			if wanted && slices.Compare(t.ID[:], q.After[:]) > 0 && (q.VisibleTo == nil || q.VisibleTo.MayAccess(&t)) {
				tenants = append(tenants, t)
			}
		}
		slices.SortFunc(tenants, func(a, b domain.Tenant) int { return slices.Compare(a.ID[:], b.ID[:]) })
		tenants = tenants[:min(len(tenants), q.Limit)]
		return nil
	})
	return tenants, err
}

func (p *process) ChangeTenant(ctx context.Context, id uuid.UUID, change func(*domain.Tenant) error) (t domain.Tenant, err error) {
	p.hook("change")
	err = p.step(ctx, &p.databaseAway, func() error {
		var exists bool
		if t, exists = p.rows[id]; !exists || t.Status == domain.TenantDeleted {
			return domain.TenantNotFound()
		}
		if err := change(&t); err != nil {
			return err
		}
		t.UpdatedAt = time.Now()
		p.rows[id] = t
		p.announce(domain.Change{Kind: domain.TenantChanged, ID: id})
		return nil
	})
	if err != nil {
		return domain.Tenant{}, err
	}
	return t, nil
}

func (p *process) SetAllStopped(ctx context.Context, stopped bool) (ids []uuid.UUID, err error) {
	err = p.step(ctx, &p.databaseAway, func() error {
		for id, t := range p.rows {
			if !t.Gone() && t.Stopped != stopped {
				t.Stopped = stopped
				p.rows[id] = t
				ids = append(ids, id)
			}
		}
		p.announce(domain.Change{Kind: domain.TenantsChanged})
		return nil
	})
	return ids, err
}

func (p *process) LockTenant(ctx context.Context, id uuid.UUID, fn func(context.Context) error) error {
	p.hook("lock")
	var lock chan struct{}
	err := p.step(ctx, &p.databaseAway, func() error {
		if p.locks[id] == nil {
			p.locks[id] = make(chan struct{}, 1)
		}
		lock = p.locks[id]
		return nil
	})
	if err != nil {
		return err
	}
	select {
	case lock <- struct{}{}:
	case <-ctx.Done():
		return domain.Wrap(ctx.Err(), domain.ErrUnavailable, "cancelled", "Cancelled.")
	}
	p.set(func() { p.locked[id] = true })
	defer func() {
		p.set(func() { p.locked[id] = false })
		<-lock
	}()
	return fn(ctx)
}

func (p *process) CreatePartition(ctx context.Context, id uuid.UUID) error {
	return p.step(ctx, &p.databaseAway, func() error {
		p.must(p.locked[id], "partition created without the lock")
		p.must(p.rows[id].Status != domain.TenantDeleted, "partition created for a tombstone")
		p.partitions[id] = true
		return nil
	})
}

func (p *process) ErasePartition(ctx context.Context, id uuid.UUID) error {
	p.mu.Lock()
	blocked := p.partitionsBlocked
	p.mu.Unlock()
	if blocked {
		select {
		case <-time.After(4 * time.Second):
		case <-ctx.Done():
		}
		return domain.New(domain.ErrContended, "contended", "Others read.")
	}
	return p.step(ctx, &p.databaseAway, func() error {
		_, queue := p.queues[id]
		p.must(p.locked[id] && !queue && p.rows[id].Status == domain.TenantDeleting, "partition erased at the wrong time")
		delete(p.partitions, id)
		return nil
	})
}

func (p *process) DeclareQueues(ctx context.Context, id uuid.UUID) error {
	p.hook("declare")
	return p.step(ctx, &p.brokerAway, func() error {
		p.must(p.locked[id], "queue declared without the lock")
		p.must(p.rows[id].Status != domain.TenantDeleted, "queue declared for a tombstone")
		p.queues[id] += 0
		return nil
	})
}

func (p *process) CheckQueues(_ context.Context, id uuid.UUID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checks++ // it is no step: nothing crashes there
	if _, there := p.queues[id]; !there {
		return domain.New(domain.ErrNotFound, "queue_not_found", "No queue.")
	}
	return nil
}

func (p *process) DeleteQueues(ctx context.Context, id uuid.UUID) (n int64, err error) {
	err = p.step(ctx, &p.brokerAway, func() error {
		p.must(p.locked[id] && p.consumed(id) == 0 && p.rows[id].Status == domain.TenantDeleting, "queue deleted at the wrong time")
		n = p.queues[id]
		delete(p.queues, id)
		return nil
	})
	return n, err
}

func (p *process) AwaitNoConsumers(ctx context.Context, id uuid.UUID) error {
	for {
		consumers := 0
		if err := p.step(ctx, &p.brokerAway, func() error { consumers = p.consumed(id); return nil }); err != nil || consumers == 0 {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *process) QueueDepth(ctx context.Context, id uuid.UUID) (n int64, err error) {
	err = p.step(ctx, &p.brokerAway, func() error {
		var exists bool
		if n, exists = p.queues[id]; !exists {
			return domain.New(domain.ErrUnavailable, "no_queue", "No queue.")
		}
		return nil
	})
	return n, err
}

// Owns tells which tenants are this process' own.
func (p *process) Owns(id uuid.UUID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.owned(id)
}

// owned needs mu. It is Owns.
func (p *process) owned(id uuid.UUID) bool { return p.owner == nil || p.owner(id) == p }

// wait waits for d or the end of ctx.
func wait(ctx context.Context, d time.Duration) {
	if d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
}

func (p *process) Start(ctx context.Context, t domain.Tenant) error {
	p.hook("start")
	never := false
	var starting time.Duration
	p.set(func() {
		if _, runs := p.consumers[t.ID]; !runs {
			starting = p.starting
		}
	})
	wait(ctx, starting)
	return p.step(ctx, &never, func() error {
		p.starts++
		p.consumers[t.ID] = t.Assignment()
		if _, exists := p.queues[t.ID]; !exists && !p.brokerAway {
			return domain.New(domain.ErrNotFound, "no_queue", "No queue.")
		}
		return nil
	})
}

func (p *process) Stop(ctx context.Context, id uuid.UUID) error {
	never := false
	var draining time.Duration
	p.set(func() {
		if _, runs := p.consumers[id]; runs {
			draining = p.draining[id]
		}
	})
	wait(ctx, draining)
	return p.step(ctx, &never, func() error {
		if _, runs := p.consumers[id]; runs {
			p.queues[id] += p.held[id]
			delete(p.held, id)
		}
		delete(p.consumers, id)
		return nil
	})
}

func (p *process) Resize(ctx context.Context, id uuid.UUID, workers int) error {
	never := false
	return p.step(ctx, &never, func() error {
		if a, running := p.consumers[id]; running {
			a.Workers = workers
			p.consumers[id] = a
		}
		return nil
	})
}

func (p *process) Running() map[uuid.UUID]domain.Assignment {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.consumers)
}

func (p *process) Runs(id uuid.UUID) bool {
	_, running := p.Running()[id]
	return running
}

// statuses are those of the consumers of this process.
func (p *process) statuses() []domain.ConsumerStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []domain.ConsumerStatus
	for id := range p.consumers {
		all = append(all, p.status(id))
	}
	return all
}

// status needs mu. It tells of a consumer that runs.
func (p *process) status(id uuid.UUID) domain.ConsumerStatus {
	state := domain.ConsumerRunning
	if !p.owned(id) && p.draining[id] > 0 {
		state = domain.ConsumerDraining
	}
	return domain.ConsumerStatus{TenantID: id, State: state, Workers: p.consumers[id].Workers, Replica: p.name}
}

// reports are what all processes told of their consumers, one of each tenant:
// that of its owner, if it has told any.
type reports struct {
	domain.ReportRepository // of which only one method is needed
	reader                  *process
}

func (r reports) ConsumerReports(ctx context.Context, ids []uuid.UUID, _ time.Duration) (found map[uuid.UUID]domain.ConsumerStatus, err error) {
	p := r.reader
	err = p.step(ctx, &p.reportsAway, func() error {
		found = make(map[uuid.UUID]domain.ConsumerStatus)
		for _, id := range ids {
			for _, other := range p.processes {
				if _, runs := other.consumers[id]; !runs {
					continue
				}
				if _, told := found[id]; !told || other.owned(id) {
					found[id] = other.status(id)
				}
			}
		}
		return nil
	})
	return found, err
}

func (p *process) ClaimKeys(ctx context.Context, claims []domain.IdempotencyClaim) (grants []domain.IdempotencyGrant, err error) {
	err = p.step(ctx, &p.databaseAway, func() error {
		for _, c := range claims {
			name := c.Scope.String() + c.Key
			earlier, ok := p.keys[name]
			if !ok {
				p.keys[name], earlier = c, c
			}
			grants = append(grants, domain.IdempotencyGrant{ID: earlier.ID, Confirmed: p.confirmed[name], Mismatch: earlier.Hash != c.Hash})
		}
		return nil
	})
	return grants, err
}

func (p *process) ConfirmKeys(ctx context.Context, scope uuid.UUID, keys []domain.ConfirmedKey) error {
	return p.step(ctx, &p.databaseAway, func() error {
		for _, key := range keys {
			if name := scope.String() + key.Key; p.keys[name].ID == key.ID {
				p.confirmed[name] = true
			}
		}
		return nil
	})
}

func (p *process) ReleaseKey(ctx context.Context, scope uuid.UUID, key domain.ConfirmedKey) error {
	return p.step(ctx, &p.databaseAway, func() error {
		if name := scope.String() + key.Key; p.keys[name].ID == key.ID && !p.confirmed[name] {
			delete(p.keys, name)
		}
		return nil
	})
}

func (p *process) DeleteExpiredKeys(context.Context, int) (int, error) { return 0, nil }
