package consumer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	maxBatchRows  = 1024
	maxBatchBytes = 8 << 20
	// turnRows is how many rows of one tenant go into a batch while others
	// wait.
	turnRows = 64
	// lingerFrom is how many rows the batch before must have had for the writer
	// to linger: when little comes, waiting for more only makes it late.
	lingerFrom = 8
	// jobQueue is how many jobs may wait to be seen by the writer.
	jobQueue = 1024
	// appendTimeout is the backstop of one transaction; the server's own
	// statement timeout comes first.
	appendTimeout = 15 * time.Second

	minStoreBackoff  = 50 * time.Millisecond
	maxStoreBackoff  = 2 * time.Second
	maxParkedBackoff = 5 * time.Second
)

// WriterOptions configure a Writer.
type WriterOptions struct {
	Repository domain.MessageRepository
	Log        *slog.Logger
	// Linger is how long the writer waits for more rows when it has few and
	// the batch before suggests that more will come.
	Linger time.Duration
	// PartitionMissing is told of tenants whose partition does not exist; it
	// must not block. It may be nil.
	PartitionMissing func(tenantID uuid.UUID)
	// ObserveBatch is told of every committed transaction; it may be nil.
	ObserveBatch func(rows int, elapsed time.Duration)
	// Committed is told, after every commit, of the tenants of which messages
	// are stored, each once. It must neither block nor keep the slice, and may
	// be called by several goroutines at a time. It may be nil.
	Committed func(tenants []uuid.UUID)
}

// Writer stores messages of all tenants by group commit: while one
// transaction is under way the rows for the next gather. One row or one
// tenant never stops it:
//
//	unavailable               all rows wait, with backoff; nothing is given up
//	refused                   the same, and tenants are tried on their own: once
//	                          one goes through, those that do not are set aside
//	contended, no partition   that tenant is set aside and tried on its own
//	rejected                  the batch is halved until the row stands alone
//
// The goroutine of Run owns all queues; others talk to it by channels.
type Writer struct {
	options WriterOptions
	jobs    chan *job
	// outage is when the store became unavailable, by the monotonic clock; nil
	// while it is there. Written by Run, read by anyone.
	outage atomic.Pointer[time.Time]

	queues  map[uuid.UUID]*tenantQueue
	turn    []*tenantQueue // tenants with rows, in the order of their turns
	marked  []*tenantQueue // set aside by the batch under way
	aside   chan *tenantQueue
	asideWG sync.WaitGroup
	asides  chan struct{} // one slot: tenants set aside are tried one at a time
	waiting int           // rows in all queues that are not set aside
	batch   []row
	seen    map[messageKey]struct{}
	touched []uuid.UUID // room for the tenants of a commit
	// tried tells that rows of the batch may be stored before it is their turn;
	// see tryOthers. trialAt is where the next trial begins.
	tried   bool
	trialAt int
	// doubted are tenants set aside although nothing was stored since that
	// tells their trouble from an outage.
	doubted map[uuid.UUID]struct{}
}

// NewWriter returns a Writer that stores nothing until Run runs.
func NewWriter(o WriterOptions) *Writer {
	return &Writer{
		options: o,
		jobs:    make(chan *job, jobQueue),
		queues:  make(map[uuid.UUID]*tenantQueue),
		aside:   make(chan *tenantQueue),
		asides:  make(chan struct{}, 1),
		batch:   make([]row, 0, maxBatchRows),
		seen:    make(map[messageKey]struct{}, maxBatchRows),
		touched: make([]uuid.UUID, 0, maxBatchRows),
		doubted: make(map[uuid.UUID]struct{}),
	}
}

// UnavailableSince returns since when the store has not been reachable, and
// false while it is.
func (w *Writer) UnavailableSince() (time.Time, bool) {
	at := w.outage.Load()
	if at == nil {
		return time.Time{}, false
	}
	return *at, true
}

// tenantQueue holds the rows of one tenant, oldest first.
type tenantQueue struct {
	tenant uuid.UUID
	rows   []row
	turn   bool // is in Writer.turn
	aside  bool
	held   []row // of a tenant set aside, older than rows; its goroutine's
}

// Run stores until ctx ends. Rows that are not stored by then are left to
// the broker, which delivers them again. Call it once.
func (w *Writer) Run(ctx context.Context) {
	defer w.asideWG.Wait()
	asideCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		if !w.gather(ctx) {
			return
		}
		batch := w.collect()
		if len(batch) == 0 {
			continue
		}
		if err := w.store(ctx, batch); err != nil {
			return
		}
		w.startAsides(asideCtx)
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
			w.enqueue(j)
			continue
		case q := <-w.aside:
			w.takeBack(q)
			continue
		default:
		}
		if w.waiting >= maxBatchRows || w.waiting > 0 && (w.options.Linger == 0 || len(w.batch) < lingerFrom) {
			return ctx.Err() == nil
		}
		if w.waiting > 0 && linger == nil {
			linger = time.After(w.options.Linger)
		}
		select {
		case j := <-w.jobs:
			w.enqueue(j)
		case q := <-w.aside:
			w.takeBack(q)
		case <-linger:
			return ctx.Err() == nil
		case <-ctx.Done():
			return false
		}
	}
}

// line puts a tenant with rows at the end of the line.
func (w *Writer) line(q *tenantQueue) {
	if !q.turn && len(q.rows) > 0 {
		q.turn = true
		w.turn = append(w.turn, q)
	}
}

// collect takes the next batch: turnRows of each tenant in turn, until it is
// full or nobody waits. An id that is in the batch already waits for the
// next one. Rows that nobody waits for any longer are dropped.
func (w *Writer) collect() []row {
	batch, bytes := w.batch[:0], 0
	clear(w.seen)
	w.tried = false
	for len(w.turn) > 0 && len(batch) < maxBatchRows && bytes < maxBatchBytes {
		q := w.turn[0]
		if q.aside {
			w.turn = w.turn[1:]
			q.turn = false
			continue
		}
		most := maxBatchRows - len(batch)
		if len(w.turn) > 1 {
			most = min(most, turnRows)
		}
		taken, added := 0, 0
		repeated := false
		for taken < len(q.rows) && added < most && bytes < maxBatchBytes {
			if q.rows[taken].abandoned() {
				taken++
				continue
			}
			m := q.rows[taken].message()
			key := messageKey{m.TenantID, m.ID}
			if _, repeated = w.seen[key]; repeated {
				break
			}
			w.seen[key] = struct{}{}
			batch = append(batch, q.rows[taken])
			bytes += len(m.Payload)
			taken++
			added++
		}
		w.skip(q, taken)
		w.turn = w.turn[1:]
		q.turn = false
		if len(q.rows) == 0 {
			delete(w.queues, q.tenant)
			continue
		}
		w.line(q)
		if repeated {
			break
		}
	}
	w.batch = batch
	return batch
}

// store stores a batch, or as much of it as the store takes; tenants that
// have to be tried on their own are marked to be set aside. The only error is
// that ctx ended.
func (w *Writer) store(ctx context.Context, batch []row) error {
	if batch = w.pending(batch); len(batch) == 0 {
		return nil
	}
	outcomes, err := w.append(ctx, batch)
	switch {
	case err == nil:
		w.finish(batch, outcomes)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case isOneTenants(err):
		return w.divide(ctx, batch, err)
	default:
		return w.halve(ctx, batch, err)
	}
}

// finish gives every row of a batch that was committed its outcome.
func (w *Writer) finish(batch []row, outcomes []domain.AppendOutcome) {
	for i, r := range batch {
		if outcomes[i] == domain.AppendStored && len(w.doubted) > 0 {
			clear(w.doubted)
		}
		r.finish(Result{Outcome: outcomes[i]})
	}
}

// giveUp tells who waits for it that a row cannot be stored. What is a fault of
// the service's own is for those who run it, and not to be overlooked.
func (w *Writer) giveUp(ctx context.Context, r row, cause error) {
	level := slog.LevelWarn
	if errors.Is(cause, domain.ErrStoreFault) {
		level = slog.LevelError
	}
	m := r.message()
	w.options.Log.Log(domain.WithTenantID(ctx, m.TenantID), level, "message cannot be stored and is given up",
		slog.String("message_id", m.ID.String()), slog.Any("error", cause))
	r.finish(Result{Err: cause})
}

// isOneTenants tells whether an error may be about one tenant of a batch.
func isOneTenants(err error) bool {
	return errors.Is(err, domain.ErrContended) || errors.Is(err, domain.ErrPartitionMissing) || isRefusal(err)
}

// divide tries each tenant of the batch on its own, and marks the one that
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
		w.mark(ctx, order[0], batch, cause)
		return nil
	}
	store := w.store
	if isRefusal(cause) {
		store = w.storeAlone
	}
	for _, id := range order {
		if err := store(ctx, byTenant[id]); err != nil {
			return err
		}
	}
	return nil
}

// storeAlone stores rows of one tenant, and marks it when they are refused:
// others were not.
func (w *Writer) storeAlone(ctx context.Context, rows []row) error {
	if rows = w.pending(rows); len(rows) == 0 {
		return nil
	}
	outcomes, err := w.attempt(ctx, rows, w.touched)
	switch {
	case err == nil:
		w.finish(rows, outcomes)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case isRefusal(err):
		w.mark(ctx, rows[0].message().TenantID, rows, err)
		return nil
	}
	return w.store(ctx, rows)
}

// halve finds the rows that the store refuses. One that fails alone, twice,
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
	outcomes, err := w.append(ctx, batch)
	switch {
	case err == nil:
		w.finish(batch, outcomes)
	case ctx.Err() != nil:
		return ctx.Err()
	case isOneTenants(err):
		return w.divide(ctx, batch, err)
	default:
		w.giveUp(ctx, batch[0], cause)
	}
	return nil
}
