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
//	unavailable          all rows wait, with backoff; nothing is given up
//	contended, no partition   that tenant is set aside and tried on its own
//	rejected             the batch is halved until the row stands alone
//
// The goroutine of Run owns all queues; others talk to it by channels.
type Writer struct {
	options WriterOptions
	jobs    chan *job
	// outage is when the store became unavailable, in Unix nanoseconds; zero
	// while it is there. Written by Run, read by anyone.
	outage atomic.Int64

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
	}
}

// Result tells what became of one message.
type Result struct {
	Outcome domain.AppendOutcome
	// Err is why the store refuses the message for good; then Outcome is
	// zero.
	Err error
}

// Store stores messages of one tenant, in order, and returns when each of
// them has a result or ctx ends. In the latter case they may still be
// stored. It is safe for concurrent use. The slice must not be changed
// afterwards.
func (w *Writer) Store(ctx context.Context, messages []domain.Message) ([]Result, error) {
	j := &job{ctx: ctx, messages: messages, results: make([]Result, len(messages)), done: make(chan struct{}), left: len(messages)}
	select {
	case w.jobs <- j:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-j.done:
		return j.results, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// UnavailableSince returns since when the store has not been reachable, and
// false while it is.
func (w *Writer) UnavailableSince() (time.Time, bool) {
	at := w.outage.Load()
	return time.Unix(0, at), at != 0
}

// job is one call of Store. Only the writer (or the goroutine that has its
// tenant set aside) touches results and left until done is closed.
type job struct {
	ctx      context.Context //nolint:containedctx // tells whether somebody still waits for this call
	messages []domain.Message
	results  []Result
	left     int
	done     chan struct{}
}

type row struct {
	job   *job
	index int
}

func (r row) message() *domain.Message { return &r.job.messages[r.index] }

func (r row) finish(result Result) {
	r.job.results[r.index] = result
	r.job.left--
	if r.job.left == 0 {
		close(r.job.done)
	}
}

type messageKey struct{ tenant, id uuid.UUID }

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

func (w *Writer) enqueue(j *job) {
	if len(j.messages) == 0 {
		close(j.done)
		return
	}
	tenant := j.messages[0].TenantID
	q := w.queues[tenant]
	if q == nil {
		q = &tenantQueue{tenant: tenant}
		w.queues[tenant] = q
	}
	for i := range j.messages {
		q.rows = append(q.rows, row{j, i})
	}
	if !q.aside {
		w.waiting += len(j.messages)
		w.line(q)
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
// next one.
func (w *Writer) collect() []row {
	batch, bytes := w.batch[:0], 0
	clear(w.seen)
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
		taken := 0
		repeated := false
		for taken < len(q.rows) && taken < most && bytes < maxBatchBytes {
			m := q.rows[taken].message()
			key := messageKey{m.TenantID, m.ID}
			if _, repeated = w.seen[key]; repeated {
				break
			}
			w.seen[key] = struct{}{}
			batch = append(batch, q.rows[taken])
			bytes += len(m.Payload)
			taken++
		}
		q.rows = q.rows[taken:]
		w.waiting -= taken
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
	if batch = w.withoutMarked(batch); len(batch) == 0 {
		return nil
	}
	outcomes, err := w.append(ctx, batch)
	switch {
	case err == nil:
		for i, r := range batch {
			r.finish(Result{Outcome: outcomes[i]})
		}
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, domain.ErrContended), errors.Is(err, domain.ErrPartitionMissing):
		return w.divide(ctx, batch, err)
	default:
		return w.halve(ctx, batch, err)
	}
}

// divide tries each tenant of the batch on its own, and marks the one that
// fails alone.
func (w *Writer) divide(ctx context.Context, batch []row, cause error) error {
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
	for _, id := range order {
		if err := w.store(ctx, byTenant[id]); err != nil {
			return err
		}
	}
	return nil
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
	if batch = w.withoutMarked(batch); len(batch) == 0 {
		return nil
	}
	outcomes, err := w.append(ctx, batch)
	switch {
	case err == nil:
		batch[0].finish(Result{Outcome: outcomes[0]})
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, domain.ErrContended), errors.Is(err, domain.ErrPartitionMissing):
		w.mark(ctx, batch[0].message().TenantID, batch, err)
	default:
		batch[0].finish(Result{Err: cause})
	}
	return nil
}

// append runs one transaction, and waits with backoff for as long as the
// store is unavailable.
func (w *Writer) append(ctx context.Context, batch []row) ([]domain.AppendOutcome, error) {
	outcomes, err := w.attempt(ctx, batch, w.touched)
	if err == nil || !errors.Is(err, domain.ErrUnavailable) {
		return outcomes, err
	}
	w.outage.Store(time.Now().UnixNano())
	defer w.outage.Store(0)
	w.options.Log.WarnContext(ctx, "store unavailable, holding deliveries", slog.Int("rows", len(batch)), slog.Any("error", err))
	for wait := minStoreBackoff; ; wait = min(2*wait, maxStoreBackoff) {
		select {
		case <-time.After(jitter(wait)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		outcomes, err = w.attempt(ctx, batch, w.touched)
		if err == nil || !errors.Is(err, domain.ErrUnavailable) {
			w.options.Log.InfoContext(ctx, "store available again")
			return outcomes, err
		}
	}
}
