package writer

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/tracing"
)

const (
	// lingerFrom is how many rows the batch before must have had for the writer
	// to linger: when little comes, waiting for more only makes it late.
	lingerFrom = 8
	// maxJobs is how many jobs may wait to be seen by the writer.
	maxJobs = 1024
)

// Options configure a Writer.
type Options struct {
	Repository domain.MessageRepository
	Log        *slog.Logger
	// Linger is how long the writer waits for more rows when it has few and
	// the batch before suggests that more will come.
	Linger time.Duration
	// PartitionMissing is called for tenants whose partition does not exist; it
	// must not block. It may be nil.
	PartitionMissing func(tenantID uuid.UUID)
	// ObserveBatch is called for every committed transaction; it may be nil.
	ObserveBatch func(rows int, elapsed time.Duration)
	// Committed is called after every commit by which messages are stored. It must
	// neither block nor keep the slices, and may be called by several goroutines
	// at a time. It may be nil.
	Committed func(c Commit)
	// Uncertain is called, under the same terms, with the tenants of a transaction
	// that failed: it may have been committed all the same.
	Uncertain func(tenants []uuid.UUID)
	// Failed is called for every transaction that failed, with a word for the reason:
	// "unavailable", "contended", "partition_missing", or "rejected" where a row is
	// refused as it is. It must not block, and may be called by several goroutines at
	// a time. It may be nil.
	Failed func(reason string)
	// Traces makes spans of commits; nil for none.
	Traces *tracing.Tracer
}

// Writer stores messages of all tenants by group commit; see the package. The
// goroutine of Run owns the backlog; others reach it by channels. Store and
// UnavailableSince are safe for concurrent use.
type Writer struct {
	options Options
	jobs    chan *job
	// outage is since when the store is unavailable, by the monotonic clock; nil
	// while it is there. Written by Run, read by anyone.
	outage atomic.Pointer[domain.StoreTrouble]
	// troubles are those of tenants that are parked.
	troubles *troubles

	transactions *transactions
	backlog      *backlog
	parking      *parking
	touched      []uuid.UUID // room for the tenants of a commit
	trialAt      int         // where the next trial of tryOthers begins
	// suspects are tenants that were parked although it may be an outage, because
	// nothing was stored since.
	suspects map[uuid.UUID]struct{}
}

var _ domain.MessageWriter = (*Writer)(nil)

// New returns a Writer that stores nothing until Run runs.
func New(o Options) *Writer {
	w := &Writer{
		options:      o,
		jobs:         make(chan *job, maxJobs),
		transactions: &transactions{repository: o.Repository, observe: o.ObserveBatch, committed: o.Committed, uncertain: o.Uncertain, failed: o.Failed, traces: o.Traces},
		backlog:      newBacklog(),
		touched:      make([]uuid.UUID, 0, maxBatchRows),
		suspects:     make(map[uuid.UUID]struct{}),
		troubles:     newTroubles(),
	}
	w.parking = &parking{
		transactions: w.transactions, log: o.Log, failed: w.noteTrouble,
		returned: make(chan *tenantQueue), slot: make(chan struct{}, 1),
	}
	return w
}

// Store implements domain.MessageWriter.
func (w *Writer) Store(ctx context.Context, messages []domain.Message) ([]domain.StoreResult, error) {
	j := newJob(ctx, messages)
	select {
	case w.jobs <- j:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-j.done:
		return j.results, nil
	case <-ctx.Done():
		if j.claimed.CompareAndSwap(false, true) {
			j.messages, j.results = nil, nil // it may wait to be seen for long
		}
		return nil, ctx.Err()
	}
}

// UnavailableSince implements domain.MessageWriter.
func (w *Writer) UnavailableSince() (time.Time, bool) {
	at := w.outage.Load()
	if at == nil {
		return time.Time{}, false
	}
	return at.Since, true
}

// Run stores until ctx ends. Rows that are not stored by then are left to
// the broker, which delivers them again. Call it once.
func (w *Writer) Run(ctx context.Context) {
	defer w.parking.wg.Wait()
	parkingCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		if !w.gather(ctx) {
			return
		}
		batch := w.backlog.next()
		if len(batch) == 0 {
			continue
		}
		if err := w.store(ctx, batch); err != nil {
			return
		}
		w.parking.start(parkingCtx)
	}
}

// gather blocks until a row waits, and then takes all that has come, so that
// no tenant's rows are hidden behind those of another. With few rows it
// lingers for more, unless the batch before was small. False means that ctx
// ended.
func (w *Writer) gather(ctx context.Context) bool {
	var linger <-chan time.Time
	for {
		select {
		case j := <-w.jobs:
			w.backlog.add(j)
			continue
		case q := <-w.parking.returned:
			w.unpark(q)
			continue
		default:
		}
		waiting := w.backlog.waiting
		if waiting >= maxBatchRows || waiting > 0 && (w.options.Linger == 0 || len(w.backlog.batch) < lingerFrom) {
			return ctx.Err() == nil
		}
		if waiting > 0 && linger == nil {
			linger = time.After(w.options.Linger)
		}
		select {
		case j := <-w.jobs:
			w.backlog.add(j)
		case q := <-w.parking.returned:
			w.unpark(q)
		case <-linger:
			return ctx.Err() == nil
		case <-ctx.Done():
			return false
		}
	}
}

// store stores a batch, or as much of it as the store takes; tenants that
// have to be tried on their own are parked. The only error is that ctx ended.
func (w *Writer) store(ctx context.Context, batch []row) error {
	if batch = w.pending(batch); len(batch) == 0 {
		return nil
	}
	appended, err := w.append(ctx, batch)
	switch {
	case err == nil:
		w.finish(batch, appended)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case isOneTenants(err):
		return w.divide(ctx, batch, err)
	default:
		return w.halve(ctx, batch, err)
	}
}

// pending returns the rows that have no result yet and whose tenants are not
// parked. Those of parked tenants go to them, so that the order within a tenant
// is kept.
func (w *Writer) pending(batch []row) []row {
	if len(w.parking.fresh) == 0 && !w.backlog.tried {
		return batch
	}
	kept := make([]row, 0, len(batch))
	for _, r := range batch {
		if r.finished() {
			continue
		}
		if q := w.backlog.parked(r.message().TenantID); q != nil {
			q.held = append(q.held, r)
		} else {
			kept = append(kept, r)
		}
	}
	return kept
}

// finish gives every row of a batch that was committed its outcome.
func (w *Writer) finish(batch []row, appended []domain.AppendResult) {
	for i, r := range batch {
		if appended[i].Outcome == domain.AppendStored && len(w.suspects) > 0 {
			clear(w.suspects)
		}
		r.finish(domain.StoreResult{Outcome: appended[i].Outcome})
	}
}

// giveUp finishes a row that cannot be stored. A fault of the service's own is
// for its operators, and not to be overlooked.
func (w *Writer) giveUp(ctx context.Context, r row, cause error) {
	level := slog.LevelWarn
	if errors.Is(cause, domain.ErrStoreFault) {
		level = slog.LevelError
	}
	m := r.message()
	w.options.Log.Log(domain.WithTenantID(ctx, m.TenantID), level, "message cannot be stored and is given up",
		slog.String("message_id", m.ID.String()), slog.Any("error", cause))
	r.finish(domain.StoreResult{Err: cause})
}

// isOneTenants reports whether an error may be about one tenant of a batch.
func isOneTenants(err error) bool {
	return errors.Is(err, domain.ErrContended) || errors.Is(err, domain.ErrPartitionMissing) || errors.Is(err, domain.ErrStoreRefuses)
}

// divide tries each tenant of the batch on its own, and parks the one that
// fails alone.
func (w *Writer) divide(ctx context.Context, batch []row, cause error) error {
	if batch = w.pending(batch); len(batch) == 0 {
		return nil // all of it went through on trial
	}
	byTenant := make(map[uuid.UUID][]row)
	var order []uuid.UUID
	for _, r := range batch {
		id := r.message().TenantID
		if byTenant[id] == nil {
			order = append(order, id)
		}
		byTenant[id] = append(byTenant[id], r)
	}
	if len(order) == 1 {
		w.park(ctx, order[0], batch, cause)
		return nil
	}
	store := w.store
	if errors.Is(cause, domain.ErrStoreRefuses) {
		store = w.storeAlone
	}
	for _, id := range order {
		if err := store(ctx, byTenant[id]); err != nil {
			return err
		}
	}
	return nil
}

// storeAlone stores rows of one tenant, and parks it when they are refused:
// others were not.
func (w *Writer) storeAlone(ctx context.Context, rows []row) error {
	if rows = w.pending(rows); len(rows) == 0 {
		return nil
	}
	appended, err := w.transactions.run(ctx, rows, w.touched)
	switch {
	case err == nil:
		w.finish(rows, appended)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, domain.ErrStoreRefuses):
		w.park(ctx, rows[0].message().TenantID, rows, err)
		return nil
	}
	return w.store(ctx, rows)
}

// halve finds the rows that the store rejects. One that fails alone, twice,
// is given up.
func (w *Writer) halve(ctx context.Context, batch []row, cause error) error {
	if len(batch) > 1 {
		middle := len(batch) / 2
		if err := w.store(ctx, batch[:middle]); err != nil {
			return err
		}
		return w.store(ctx, batch[middle:])
	}
	if batch = w.pending(batch); len(batch) == 0 {
		return nil
	}
	appended, err := w.append(ctx, batch)
	switch {
	case err == nil:
		w.finish(batch, appended)
	case ctx.Err() != nil:
		return ctx.Err()
	case isOneTenants(err):
		return w.divide(ctx, batch, err)
	default:
		w.giveUp(ctx, batch[0], cause)
	}
	return nil
}

// park takes a tenant out of the others' way, with these rows. It is tried on
// its own once the batch is through.
func (w *Writer) park(ctx context.Context, tenant uuid.UUID, rows []row, cause error) {
	q := w.backlog.queue(tenant)
	if !q.parked {
		w.backlog.park(q)
		w.parking.fresh = append(w.parking.fresh, q)
		w.options.Log.WarnContext(domain.WithTenantID(ctx, tenant), "tenant parked by the writer", slog.Any("error", cause))
	}
	q.held = append(q.held, rows...)
	w.noteTrouble(q, cause)
}

// unpark lets a tenant take turns again.
func (w *Writer) unpark(q *tenantQueue) {
	delete(w.suspects, q.tenant)
	w.troubles.end(q.tenant)
	w.backlog.unpark(q)
}

// noteTrouble notes why a parked tenant is not stored, and calls for its partition if
// that is what is missing. It is safe for concurrent use.
func (w *Writer) noteTrouble(q *tenantQueue, cause error) {
	w.troubles.note(q.tenant, troubleOf(cause))
	if errors.Is(cause, domain.ErrPartitionMissing) && w.options.PartitionMissing != nil {
		w.options.PartitionMissing(q.tenant)
	}
}
