package consumer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// trialFrom is how often in a row a batch is refused before tenants are
	// tried on their own; trialTenants how many at a time, and trialTime for how
	// long.
	trialFrom    = 2
	trialTenants = 16
	trialTime    = 500 * time.Millisecond
	// maxDoubted is how many tenants are set aside when all that there are were
	// refused. When it is more, it is an outage.
	maxDoubted = 8
)

// isRefusal tells whether the store was there and took nothing, which may be
// about one tenant's storage or about all of them.
func isRefusal(err error) bool {
	return errors.Is(err, domain.ErrUnavailable) && errors.Is(err, domain.ErrStoreRefuses)
}

// append runs one transaction, and waits with backoff for as long as the
// store is unavailable. It returns a refusal only when it is not an outage.
func (w *Writer) append(ctx context.Context, batch []row) ([]domain.AppendOutcome, error) {
	outcomes, err := w.attempt(ctx, batch, w.touched)
	if err == nil || !errors.Is(err, domain.ErrUnavailable) {
		return outcomes, err
	}
	w.outage.Store(new(time.Now()))
	defer w.outage.Store(nil)
	w.options.Log.WarnContext(ctx, "store unavailable, holding deliveries", slog.Int("rows", len(batch)), slog.Any("error", err))
	refusals := 0
	for wait := minStoreBackoff; ; wait = min(2*wait, maxStoreBackoff) {
		if refusals++; !isRefusal(err) {
			refusals = 0
		}
		if refusals >= trialFrom && w.tryOthers(ctx) {
			return nil, err
		}
		if !w.pause(ctx, jitter(wait), refusals > 0) {
			return nil, ctx.Err()
		}
		outcomes, err = w.attempt(ctx, batch, w.touched)
		if err == nil || !errors.Is(err, domain.ErrUnavailable) {
			w.options.Log.InfoContext(ctx, "store available again")
			return outcomes, err
		}
	}
}

// pause waits. It takes what comes meanwhile when the store refuses: that may
// be stored. False means that ctx ended.
func (w *Writer) pause(ctx context.Context, d time.Duration, refused bool) bool {
	jobs := w.jobs
	if !refused {
		jobs = nil
	}
	over := time.After(d)
	for {
		select {
		case j := <-jobs:
			w.enqueue(j)
		case <-over:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// candidate is a tenant's first row that has no result, and the queue it is in
// unless it is in the batch under way.
type candidate struct {
	row   row
	queue *tenantQueue
}

// tryOthers tries a few tenants on their own, others every time, and tells
// whether the refusal of a batch is about some tenants: one row was stored, or
// there are too few tenants to tell. An outage of the store costs trialTenants
// small transactions for each wait, however many tenants there are.
func (w *Writer) tryOthers(ctx context.Context) bool {
	candidates := w.candidates()
	refused, other := []uuid.UUID(nil), 0
	begun := time.Now()
	for range min(len(candidates), trialTenants) {
		if time.Since(begun) > trialTime {
			break
		}
		c := candidates[w.trialAt%len(candidates)]
		w.trialAt++
		outcomes, err := w.attempt(ctx, []row{c.row}, nil)
		switch {
		case err == nil && outcomes[0] == domain.AppendStored:
			if w.tried = true; c.queue != nil {
				w.skip(c.queue, 1)
			}
			w.finish([]row{c.row}, outcomes)
			return true
		case isRefusal(err):
			refused = append(refused, c.row.message().TenantID)
		case errors.Is(err, domain.ErrUnavailable):
			return false
		default: // nothing was written, which proves nothing
			other++
		}
	}
	if len(refused) == 0 || len(refused)+other < len(candidates) {
		return false
	}
	return w.doubt(refused)
}

// doubt tells whether the tenants are so few that each may be refused on its
// own, together with those that were before and with nothing stored since.
func (w *Writer) doubt(tenants []uuid.UUID) bool {
	fresh := 0
	for _, id := range tenants {
		if _, ok := w.doubted[id]; !ok {
			fresh++
		}
	}
	if len(w.doubted)+fresh > maxDoubted {
		return false
	}
	for _, id := range tenants {
		w.doubted[id] = struct{}{}
	}
	return true
}

// candidates returns the tenants that can be tried: those of the batch under
// way, of which other calls may have the rows in hand, and those in line.
func (w *Writer) candidates() []candidate {
	var found []candidate
	known := make(map[uuid.UUID]struct{})
	add := func(r row, q *tenantQueue) {
		id := r.message().TenantID
		if _, ok := known[id]; ok {
			return
		}
		known[id] = struct{}{}
		if own := w.queues[id]; own == nil || !own.aside {
			found = append(found, candidate{r, q})
		}
	}
	for _, r := range w.batch {
		if !r.finished() {
			add(r, nil)
		}
	}
	for _, q := range w.turn {
		if w.trim(q); len(q.rows) > 0 {
			add(q.rows[0], q)
		}
	}
	return found
}
