package tenant

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// checkStopped and checkRunning are how often the queues of a tenant without
	// and with a consumer are checked. A consumer, and who publishes, notices by
	// itself that its queue is gone, but nobody that a binding is, or that the
	// queue is into which nothing has died yet.
	checkStopped = time.Minute
	checkRunning = 5 * time.Minute

	listPage    = 500
	listTimeout = 15 * time.Second
)

// list is the job that looks at all tenants.
func (r *Reconciler) list(ctx context.Context) {
	tasks, err := r.survey(ctx)
	select {
	case r.listed <- listing{tasks, err}:
	case <-ctx.Done():
	}
}

// survey compares what the database says with what is running here and returns
// what there is to do. When nothing is, that costs the listing only. What was
// left unfinished is finished by the replica that owns the tenant.
func (r *Reconciler) survey(ctx context.Context) (map[uuid.UUID]task, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	tenants, err := r.tenants(ctx)
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
		last = now.Add(-rand.N(every)) //nolint:gosec // spreads the tenants, guards nothing
	}
	if now.Sub(last) < every {
		return last, false
	}
	return now, true
}

// tenants returns all tenants but the tombstones.
func (r *Reconciler) tenants(ctx context.Context) ([]domain.Tenant, error) {
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
