package tenant

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/logger"
)

const (
	// resyncEvery is the longest time between two looks at all tenants, and
	// resyncJitter by how much of it one may be shorter.
	resyncEvery  = 12 * time.Second
	resyncJitter = 1.0 / 3
	// retryFirst and retryMax are the first and the longest pause after failures.
	retryFirst = 500 * time.Millisecond
	retryMax   = 8 * time.Second
	// queueLength is how many tenants can be enqueued in each way. The next
	// resync makes up for those that Enqueue drops; EnqueueConsumer asks for one.
	queueLength = 1024
	// cancelLag is how long the broker has to tell a consumer that its queue is
	// gone. A queue of the same name that is made before that is left without a
	// consumer, for the broker forgets the old one in silence (seen with 3.10.8).
	cancelLag = 2 * time.Second
)

// Consumers is what the Reconciler needs to know of the running consumers.
type Consumers interface {
	// Running returns the tenants that have a consumer in this process, in
	// whatever state it is, with what it was told to do.
	Running() map[uuid.UUID]domain.Assignment
	// Runs reports whether a tenant has one.
	Runs(id uuid.UUID) bool
}

// ReconcilerOptions configure NewReconciler.
type ReconcilerOptions struct {
	Tenants     domain.TenantRepository
	Provisioner *Provisioner
	Consumers   Consumers
	Log         *slog.Logger
}

// Reconciler finishes what requests and crashes left unfinished. At intervals it
// resyncs: it lists all tenants, hands those on their way to another state to
// Provisioner.Converge, and those whose consumer is not as it should be to
// Provisioner.Settle. What fails is tried again, after growing pauses, until it
// succeeds.
//
// Run is the one goroutine that owns the state. It starts at most one job a
// tenant, and one for the resync; these report to it and end with it. The other
// methods only send to it, and are safe for concurrent use.
type Reconciler struct {
	o ReconcilerOptions

	// What Enqueue, EnqueueUnlessConsumed, EnqueueConsumer, ResyncAll and Await
	// send.
	tenants   chan uuid.UUID
	delayed   chan uuid.UUID
	consumers chan uuid.UUID
	resyncs   chan struct{}
	requests  chan request
	ended     chan struct{} // closed when Run returns

	// The rest belongs to Run.
	jobs     sync.WaitGroup
	finished chan finished
	resynced chan resyncResult
	work     map[uuid.UUID]*work
	waiting  int // how many of these have failed, or are delayed
	// checked is when the queues of tenants were last wanted to be checked. It
	// belongs to the resync's job.
	checked map[uuid.UUID]time.Time
}

// NewReconciler returns a Reconciler; Run starts it.
func NewReconciler(o ReconcilerOptions) *Reconciler {
	return &Reconciler{
		o: o, tenants: make(chan uuid.UUID, queueLength), delayed: make(chan uuid.UUID, queueLength),
		consumers: make(chan uuid.UUID, queueLength), resyncs: make(chan struct{}, 1),
		requests: make(chan request), ended: make(chan struct{}),
		finished: make(chan finished), resynced: make(chan resyncResult), work: make(map[uuid.UUID]*work),
		checked: make(map[uuid.UUID]time.Time),
	}
}

// Enqueue has a tenant converged soon. It never blocks.
func (r *Reconciler) Enqueue(id uuid.UUID) {
	select {
	case r.tenants <- id:
	default:
	}
}

// EnqueueUnlessConsumed has a tenant whose queue seems to be gone converged a
// moment from now, unless it has a consumer in this process: that hears of it
// from the broker, and asks for the queue. It never blocks, and calling it again
// meanwhile adds nothing.
func (r *Reconciler) EnqueueUnlessConsumed(id uuid.UUID) {
	select {
	case r.delayed <- id:
	default:
	}
}

// EnqueueConsumer has the consumer of a tenant that was changed somewhere
// settled soon, and nothing else. It never blocks.
func (r *Reconciler) EnqueueConsumer(id uuid.UUID) {
	select {
	case r.consumers <- id:
	default:
		r.ResyncAll()
	}
}

// ResyncAll has all tenants looked at soon. It never blocks.
func (r *Reconciler) ResyncAll() {
	select {
	case r.resyncs <- struct{}{}:
	default:
	}
}

// Await has a tenant converged now and returns what Provisioner.Converge
// says. When ctx ends before, the work goes on without it.
func (r *Reconciler) Await(ctx context.Context, id uuid.UUID) (domain.Tenant, error) {
	reply := make(chan outcome, 1)
	select {
	case r.requests <- request{id, reply}:
	case <-r.ended:
		return domain.Tenant{}, errEnded()
	case <-ctx.Done():
		return domain.Tenant{}, ctx.Err()
	}
	select {
	case done := <-reply:
		return done.tenant, done.err
	case <-r.ended:
		return domain.Tenant{}, errEnded()
	case <-ctx.Done():
		return domain.Tenant{}, ctx.Err()
	}
}

func errEnded() error {
	return domain.New(domain.ErrUnavailable, "shutting_down", "The service is shutting down.")
}

// Run works until ctx ends, and returns nil when everything it started has
// ended. It must be called once.
func (r *Reconciler) Run(ctx context.Context) error {
	defer close(r.ended)
	defer r.jobs.Wait()
	resync, due := time.NewTimer(0), time.NewTimer(0)
	defer resync.Stop()
	defer due.Stop()
	retry := backoff.New(retryFirst, retryMax)
	var problems logger.Changes
	resyncing := false // whether a job does
	resyncs := r.resyncs
	for {
		select {
		case <-ctx.Done():
			return nil
		case id := <-r.tenants:
			r.enqueue(ctx, id, converge)
		case id := <-r.delayed:
			r.enqueueDelayed(id)
		case id := <-r.consumers:
			r.enqueue(ctx, id, settle)
		case q := <-r.requests:
			r.serve(ctx, q)
		case f := <-r.finished:
			r.finish(ctx, f)
		case <-resyncs:
			resync.Reset(0)
		case <-resync.C:
			resyncing = true
			r.jobs.Go(func() { r.resync(ctx) })
		case result := <-r.resynced:
			resyncing = false
			r.reportResync(ctx, &problems, result.err)
			if result.err == nil {
				retry.Reset()
				resync.Reset(backoff.Jitter(resyncEvery, resyncJitter))
			} else {
				resync.Reset(retry.Next())
			}
			for id, t := range result.tasks {
				r.enqueue(ctx, id, t)
			}
		case <-due.C:
			r.startDue(ctx)
		}
		r.schedule(due)
		resyncs = r.resyncs
		if resyncing { // what it reads may be older than the wish
			resyncs = nil
		}
	}
}

func (r *Reconciler) reportResync(ctx context.Context, problems *logger.Changes, err error) {
	switch {
	case errors.Is(err, context.Canceled):
	case err == nil && problems.Recovered():
		r.o.Log.InfoContext(ctx, "tenants can be listed again")
	case err != nil && problems.Failed(domain.CodeOf(err)):
		r.o.Log.WarnContext(ctx, "tenants cannot be listed", slog.Any("error", err))
	}
}

// workOn returns the work of a tenant, new if need be.
func (r *Reconciler) workOn(id uuid.UUID) *work {
	w := r.work[id]
	if w == nil {
		w = &work{}
		r.work[id] = w
	}
	return w
}

// enqueue notes that something is to be done for a tenant and starts it if it
// can.
func (r *Reconciler) enqueue(ctx context.Context, id uuid.UUID, t task) {
	w := r.workOn(id)
	w.wanted = max(w.wanted, t)
	if t == converge {
		r.endDelay(w)
	}
	r.start(ctx, id, w)
}

// enqueueDelayed notes that a tenant is to be converged later, if there is nothing
// to do for it anyway.
func (r *Reconciler) enqueueDelayed(id uuid.UUID) {
	if r.work[id] == nil {
		r.work[id] = &work{wanted: converge, due: time.Now().Add(cancelLag), delayed: true}
		r.waiting++
	}
}

// endDelay has delayed work start as soon as it can.
func (r *Reconciler) endDelay(w *work) {
	if w.delayed {
		w.delayed, w.due = false, time.Time{}
		r.waiting--
	}
}

// serve has a caller of Await get the result of the tenant's next task.
func (r *Reconciler) serve(ctx context.Context, q request) {
	w := r.workOn(q.id)
	w.waiting = append(w.waiting, q.reply)
	w.due = time.Time{}
	r.enqueue(ctx, q.id, converge)
}

// startDue starts what has waited for long enough.
func (r *Reconciler) startDue(ctx context.Context) {
	for id, w := range r.work {
		if w.delayed && w.startable() && r.o.Consumers.Runs(id) {
			r.waiting--
			delete(r.work, id)
			continue
		}
		r.start(ctx, id, w)
	}
}

// start starts the job for the tenant's next task, if it may start now.
func (r *Reconciler) start(ctx context.Context, id uuid.UUID, w *work) {
	if !w.startable() {
		return
	}
	r.endDelay(w)
	w.running, w.wanted = w.wanted, nothing
	w.served, w.waiting = w.waiting, nil
	t := w.running
	r.jobs.Go(func() {
		f := finished{id: id, outcome: r.perform(ctx, id, t)}
		select {
		case r.finished <- f:
		case <-ctx.Done():
		}
	})
}

func (r *Reconciler) perform(ctx context.Context, id uuid.UUID, t task) outcome {
	switch t {
	case converge:
		reached, err := r.o.Provisioner.Converge(ctx, id)
		return outcome{reached, err}
	case check:
		return outcome{err: r.o.Provisioner.checkInTurn(ctx, id)}
	case settle, nothing:
	}
	return outcome{err: r.o.Provisioner.settleInTurn(ctx, id)}
}

// finish takes in what became of a task.
func (r *Reconciler) finish(ctx context.Context, f finished) {
	w := r.work[f.id]
	for _, reply := range w.served {
		reply <- f.outcome
	}
	task := w.running
	w.running, w.served = nothing, nil
	err := f.err
	if errors.Is(err, domain.ErrNotFound) && task == converge {
		err = nil // there is no such tenant, so there is nothing to do
	}
	r.report(domain.WithTenantID(ctx, f.id), w, err)
	switch {
	case err != nil:
		r.retryLater(w, task, err)
	case w.retry != nil:
		w.retry, w.due = nil, time.Time{}
		r.waiting--
	}
	if err == nil && w.wanted == nothing {
		delete(r.work, f.id)
		return
	}
	r.start(ctx, f.id, w)
}

func (r *Reconciler) report(ctx context.Context, w *work, err error) {
	switch {
	case errors.Is(err, context.Canceled):
	case err == nil && w.problems.Recovered():
		r.o.Log.InfoContext(ctx, "tenant is as it should be")
	case err != nil && w.problems.Failed(domain.CodeOf(err)):
		r.o.Log.WarnContext(ctx, "tenant is not as it should be yet", slog.Any("error", err))
	}
}

// retryLater has a task that failed done again after a pause, or at once when a
// caller waits for it.
func (r *Reconciler) retryLater(w *work, failed task, err error) {
	if w.retry == nil {
		w.retry = backoff.New(retryFirst, retryMax)
		r.waiting++
	}
	w.due = time.Now().Add(w.retry.Next())
	w.wanted = max(w.wanted, failed)
	if errors.Is(err, domain.ErrNotFound) {
		w.wanted = converge // the queue is missing
	}
	if len(w.waiting) > 0 {
		w.due = time.Time{}
	}
}

// schedule sets the timer to when the next tenant is due. Only what failed, or
// is delayed, is not started at once.
func (r *Reconciler) schedule(due *time.Timer) {
	if r.waiting == 0 {
		due.Stop()
		return
	}
	var next time.Time
	for _, w := range r.work {
		if w.running == nothing && w.wanted != nothing && (next.IsZero() || w.due.Before(next)) {
			next = w.due
		}
	}
	if next.IsZero() {
		due.Stop()
		return
	}
	due.Reset(time.Until(next))
}
