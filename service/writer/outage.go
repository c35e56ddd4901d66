package writer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
)

const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 2 * time.Second
	// trialFrom is how often in a row a batch is refused before tenants are
	// tried on their own; trialTenants how many at a time, and trialTime for how
	// long.
	trialFrom    = 2
	trialTenants = 16
	trialTime    = 500 * time.Millisecond
	// maxSuspects is how many tenants are parked when all that there are were
	// refused. When it is more, it is an outage.
	maxSuspects = 8
)

// append runs one transaction, and waits with backoff for as long as the
// store is unavailable. It returns a refusal only when it is not an outage.
func (w *Writer) append(ctx context.Context, batch []row) ([]domain.AppendResult, error) {
	appended, err := w.transactions.run(ctx, batch, w.touched)
	if err == nil || !errors.Is(err, domain.ErrUnavailable) {
		return appended, err
	}
	since := time.Now()
	w.outage.Store(&domain.StoreTrouble{Kind: troubleOf(err), Since: since})
	defer w.outage.Store(nil)
	w.options.Log.WarnContext(ctx, "store unavailable, holding deliveries", slog.Int("rows", len(batch)), slog.Any("error", err))
	refusals := 0
	retries := backoff.New(minBackoff, maxBackoff)
	for {
		if refusals++; !errors.Is(err, domain.ErrStoreRefuses) {
			refusals = 0
		}
		if refusals >= trialFrom && w.tryOthers(ctx) {
			return nil, err
		}
		if !w.backOff(ctx, retries.Next(), refusals > 0) {
			return nil, ctx.Err()
		}
		appended, err = w.transactions.run(ctx, batch, w.touched)
		if err == nil || !errors.Is(err, domain.ErrUnavailable) {
			w.options.Log.InfoContext(ctx, "store available again")
			return appended, err
		}
		w.outage.Store(&domain.StoreTrouble{Kind: troubleOf(err), Since: since})
	}
}

// backOff waits. It takes what comes meanwhile when the store refuses: that may
// be stored. False means that ctx ended.
func (w *Writer) backOff(ctx context.Context, d time.Duration, refused bool) bool {
	jobs := w.jobs
	if !refused {
		jobs = nil
	}
	over := time.After(d)
	for {
		select {
		case j := <-jobs:
			w.backlog.add(j)
		case <-over:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// tryOthers tries a few tenants on their own, others every time, and reports
// whether the refusal of a batch is about some tenants: one row was stored, or
// there are too few tenants to tell. An outage of the store costs trialTenants
// small transactions for each wait, however many tenants there are.
func (w *Writer) tryOthers(ctx context.Context) bool {
	candidates := w.backlog.candidates()
	refused, other := []uuid.UUID(nil), 0
	begun := time.Now()
	for range min(len(candidates), trialTenants) {
		if time.Since(begun) > trialTime {
			break
		}
		c := candidates[w.trialAt%len(candidates)]
		w.trialAt++
		appended, err := w.transactions.run(ctx, []row{c.row}, nil)
		switch {
		case err == nil && appended[0].Outcome == domain.AppendStored:
			if w.backlog.tried = true; c.queue != nil {
				w.backlog.skip(c.queue, 1)
			}
			w.finish([]row{c.row}, appended)
			return true
		case errors.Is(err, domain.ErrStoreRefuses):
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
	return w.assumeTenantFault(refused)
}

// assumeTenantFault reports whether the tenants are so few that each may be
// refused on its own, together with those that were before and with nothing
// stored since.
func (w *Writer) assumeTenantFault(tenants []uuid.UUID) bool {
	fresh := 0
	for _, id := range tenants {
		if _, ok := w.suspects[id]; !ok {
			fresh++
		}
	}
	if len(w.suspects)+fresh > maxSuspects {
		return false
	}
	for _, id := range tenants {
		w.suspects[id] = struct{}{}
	}
	return true
}

// Trouble implements domain.MessageWriter.
func (w *Writer) Trouble(tenantID uuid.UUID) domain.StoreTrouble {
	if outage := w.outage.Load(); outage != nil {
		return *outage
	}
	return w.troubles.of(tenantID)
}
