package consumer

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// A tenant that stands in the others' way is set aside:
//
//	in line --contended, no partition, refused--> marked --batch is through--> aside
//	aside --its rows stored, or refused--> in line
//
// While aside, a goroutine of its own tries the rows in held with backoff,
// one tenant at a time, so that waiting for a lock costs the others nothing.
// What arrives meanwhile waits in rows. Only that goroutine touches the
// tenant's jobs until the queue comes back through Writer.aside.

// mark notes that the tenant is to be set aside with these rows.
func (w *Writer) mark(ctx context.Context, tenant uuid.UUID, rows []row, cause error) {
	q := w.queues[tenant]
	if q == nil {
		q = &tenantQueue{tenant: tenant}
		w.queues[tenant] = q
	}
	if !q.aside {
		q.aside = true
		w.waiting -= len(q.rows)
		w.marked = append(w.marked, q)
		w.options.Log.WarnContext(domain.WithTenantID(ctx, tenant), "tenant set aside by the writer", slog.Any("error", cause))
	}
	q.held = append(q.held, rows...)
	w.reportMissing(tenant, cause)
}

func (w *Writer) reportMissing(tenant uuid.UUID, cause error) {
	if errors.Is(cause, domain.ErrPartitionMissing) && w.options.PartitionMissing != nil {
		w.options.PartitionMissing(tenant)
	}
}

// pending returns the rows that have no result yet and whose tenants are not
// marked. Those of marked tenants go to them, so that the order within a tenant
// is kept.
func (w *Writer) pending(batch []row) []row {
	if len(w.marked) == 0 && !w.tried {
		return batch
	}
	kept := make([]row, 0, len(batch))
	for _, r := range batch {
		if r.finished() {
			continue
		}
		if q := w.queues[r.message().TenantID]; q != nil && q.aside {
			q.held = append(q.held, r)
		} else {
			kept = append(kept, r)
		}
	}
	return kept
}

// startAsides sets the marked tenants aside, once the batch is through.
func (w *Writer) startAsides(ctx context.Context) {
	for _, q := range w.marked {
		w.asideWG.Go(func() { w.tryAlone(ctx, q) })
	}
	w.marked = w.marked[:0]
}

// tryAlone stores what is held of one tenant, for as long as it takes, or as
// somebody waits for it.
func (w *Writer) tryAlone(ctx context.Context, q *tenantQueue) {
	for wait := minStoreBackoff; len(q.held) > 0; wait = min(2*wait, maxParkedBackoff) {
		select {
		case <-time.After(jitter(wait)):
		case <-ctx.Done():
			return
		}
		if q.held = slices.DeleteFunc(q.held, row.abandoned); len(q.held) == 0 {
			break
		}
		outcomes, err := w.attemptAlone(ctx, q.held)
		if err == nil {
			for i, r := range q.held {
				r.finish(Result{Outcome: outcomes[i]})
			}
			q.held = nil
			w.options.Log.InfoContext(domain.WithTenantID(ctx, q.tenant), "tenant set aside is stored again")
			break
		}
		if errors.Is(err, domain.ErrRejected) {
			break // the writer finds out which row it is
		}
		w.reportMissing(q.tenant, err)
	}
	select {
	case w.aside <- q:
	case <-ctx.Done():
	}
}

func (w *Writer) attemptAlone(ctx context.Context, rows []row) ([]domain.AppendOutcome, error) {
	select {
	case w.asides <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-w.asides }()
	return w.attempt(ctx, rows, nil)
}

// takeBack puts a tenant that was set aside in line again.
func (w *Writer) takeBack(q *tenantQueue) {
	q.aside = false
	delete(w.doubted, q.tenant)
	q.rows = append(q.held, q.rows...)
	q.held = nil
	w.waiting += len(q.rows)
	if len(q.rows) == 0 {
		delete(w.queues, q.tenant)
		return
	}
	w.line(q)
}

// jitter returns a duration between half of d and d.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1) //nolint:gosec // spreads retries, guards nothing
}
