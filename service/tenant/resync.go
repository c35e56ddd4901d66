package tenant

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
)

const (
	// checkStopped and checkRunning are how often the queues of a tenant without
	// and with a consumer are checked. Consumers and publishers notice by
	// themselves that a queue is gone, but nobody notices that a binding is, or
	// the queue for dead letters while nothing dies.
	checkStopped = time.Minute
	checkRunning = 5 * time.Minute

	listPage    = 500
	listTimeout = 15 * time.Second
)

// resync is the job that looks at all tenants.
func (r *Reconciler) resync(ctx context.Context) {
	tasks, err := r.compareAll(ctx)
	select {
	case r.resynced <- resyncResult{tasks, err}:
	case <-ctx.Done():
	}
}

// compareAll compares what the database says with what is running here and returns
// what there is to do. When nothing is, that costs the listing only. What was
// left unfinished is finished by the replica that owns the tenant.
func (r *Reconciler) compareAll(ctx context.Context) (map[uuid.UUID]task, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	tenants, err := r.listTenants(ctx)
	if err != nil {
		return nil, err
	}
	// Tenants that are not in the list are settled too: that reads them again
	// and so finds out whether they are gone or new.
	running := r.o.Consumers.Running()
	tasks := make(map[uuid.UUID]task)
	checked := make(map[uuid.UUID]time.Time, len(tenants))
	for _, t := range tenants {
		assigned, runs := running[t.ID]
		delete(running, t.ID)
		switch {
		case (t.Status == domain.TenantProvisioning || t.Status == domain.TenantDeleting) && r.o.Provisioner.owns(t.ID):
			tasks[t.ID] = converge
		case runs != r.o.Provisioner.consumes(&t) || runs && assigned != t.Assignment():
			tasks[t.ID] = settle
		case t.Status == domain.TenantActive && r.o.Provisioner.owns(t.ID):
			var due bool
			if checked[t.ID], due = r.checkDue(t.ID, runs); due {
				tasks[t.ID] = check
			}
		}
	}
	r.checked = checked
	for id := range running {
		tasks[id] = settle
	}
	return tasks, nil
}

// checkDue reports whether the tenant's queues are to be checked now, and
// returns when they were last. The first time is some time ago, so that not all
// of them are due at once.
func (r *Reconciler) checkDue(id uuid.UUID, runs bool) (last time.Time, due bool) {
	every := checkStopped
	if runs {
		every = checkRunning
	}
	now := time.Now()
	last, known := r.checked[id]
	if !known {
		last = now.Add(-backoff.Jitter(every, 1))
	}
	if now.Sub(last) < every {
		return last, false
	}
	return now, true
}

// listTenants returns all tenants but the tombstones.
func (r *Reconciler) listTenants(ctx context.Context) ([]domain.Tenant, error) {
	var all []domain.Tenant
	q := domain.TenantQuery{Limit: listPage}
	for {
		page, err := r.o.Tenants.ListTenants(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("list tenants: %w", err)
		}
		all = append(all, page...)
		if len(page) < listPage {
			return all, nil
		}
		q.After = page[len(page)-1].ID
	}
}
