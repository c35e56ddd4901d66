package tenant

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// roundEvery is the time between two looks at all tenants, give or take a
	// fifth.
	roundEvery = 10 * time.Second
	// kicksKept is how many kicks, and how many notices, can wait. The next
	// round makes up for kicks that are dropped, and a survey for notices.
	kicksKept = 1024
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

// Reconciler finishes what requests and crashes left unfinished. In rounds it
// lists all tenants; those on their way to another state it hands to
// Provisioner.Converge, and those whose consumer is not as it should be to
// Provisioner.Settle. What fails is tried again, after growing pauses, until
// it succeeds.
//
// Run is the one goroutine that owns the state. It starts at most one job a
// tenant, and one for the listing; these report to it and end with it. Its
// other methods only send to it, and are safe for concurrent use.
type Reconciler struct {
	o ReconcilerOptions

	kicks    chan uuid.UUID
	missing  chan uuid.UUID
	notices  chan uuid.UUID
	surveys  chan struct{}
	requests chan request
	ended    chan struct{} // closed when Run returns

	// The rest belongs to Run.
	jobs     sync.WaitGroup
	finished chan finished
	listed   chan listing
	work     map[uuid.UUID]*work
	// checked is when the queues of tenants were last wanted to be checked. It
	// belongs to the listing.
	checked map[uuid.UUID]time.Time
	waiting int // how many of these have pauses, or are late
}

// task is what is to be done for a tenant; a greater one includes the lesser.
type task uint8

const (
	nothing task = iota
	check
	settle
	converge
)

// work is the state of one tenant that there is something to do for.
type work struct {
	// running is the task under way, and wanted the one to do after it.
	running, wanted task
	// pauses and due are set after a failure: nothing is begun before due,
	// unless somebody waits for it.
	pauses *backoff.ExponentialBackOff
	due    time.Time
	// late says that the work is begun when it is due, and not at all when a
	// consumer runs here by then; nothing else is known of the tenant.
	late   bool
	health health
	// waiting get the result of the next task, and served that of the one
	// under way.
	waiting, served []chan<- outcome
}

type request struct {
	id    uuid.UUID
	reply chan<- outcome // buffered
}

type outcome struct {
	tenant domain.Tenant
	err    error
}

type finished struct {
	id uuid.UUID
	outcome
}

type listing struct {
	tasks map[uuid.UUID]task
	err   error
}

// NewReconciler returns a Reconciler; Run starts it.
func NewReconciler(o ReconcilerOptions) *Reconciler {
	return &Reconciler{
		o: o, kicks: make(chan uuid.UUID, kicksKept), missing: make(chan uuid.UUID, kicksKept), notices: make(chan uuid.UUID, kicksKept),
		surveys: make(chan struct{}, 1), requests: make(chan request), ended: make(chan struct{}),
		finished: make(chan finished), listed: make(chan listing), work: make(map[uuid.UUID]*work),
		checked: make(map[uuid.UUID]time.Time),
	}
}

// Kick asks for a tenant to be looked at soon. It never blocks.
func (r *Reconciler) Kick(id uuid.UUID) {
	select {
	case r.kicks <- id:
	default:
	}
}

// KickUnlessConsumed asks for a tenant to be looked at whose queue seems to be
// gone, a moment from now, unless it has a consumer in this process: that is told
// by the broker, and asks for the queue. It never blocks, and asking again
// meanwhile adds nothing.
func (r *Reconciler) KickUnlessConsumed(id uuid.UUID) {
	select {
	case r.missing <- id:
	default:
	}
}

// Notice tells that the tenant was changed somewhere: its consumer follows
// soon, and nothing else is looked at. It never blocks.
func (r *Reconciler) Notice(id uuid.UUID) {
	select {
	case r.notices <- id:
	default:
		r.Survey()
	}
}

// Survey asks for all tenants to be looked at soon. It never blocks.
func (r *Reconciler) Survey() {
	select {
	case r.surveys <- struct{}{}:
	default:
	}
}

// Await has a tenant looked at now and returns what Provisioner.Converge
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
	round, retry := time.NewTimer(0), time.NewTimer(0)
	defer round.Stop()
	defer retry.Stop()
	failures := newPauses()
	var list health
	listing := false // whether a job is listing
	surveys := r.surveys
	for {
		select {
		case <-ctx.Done():
			return nil
		case id := <-r.kicks:
			r.want(ctx, id, converge)
		case id := <-r.missing:
			r.wantLate(id)
		case id := <-r.notices:
			r.want(ctx, id, settle)
		case q := <-r.requests:
			r.serve(ctx, q)
		case f := <-r.finished:
			r.finish(ctx, f)
		case <-surveys:
			round.Reset(0)
		case <-round.C:
			listing = true
			r.jobs.Go(func() { r.list(ctx) })
		case l := <-r.listed:
			listing = false
			if l.err == nil {
				failures.Reset()
				round.Reset(roundEvery + time.Duration((rand.Float64()-0.5)*0.4*float64(roundEvery))) //nolint:gosec // jitter
			} else {
				round.Reset(failures.NextBackOff())
			}
			switch list.note(l.err) {
			case failing:
				r.o.Log.WarnContext(ctx, "tenants cannot be listed", slog.Any("error", l.err))
			case recovered:
				r.o.Log.InfoContext(ctx, "tenants can be listed again")
			case unchanged:
			}
			for id, t := range l.tasks {
				r.want(ctx, id, t)
			}
		case <-retry.C:
			for id, w := range r.work {
				if w.late && !time.Now().Before(w.due) && r.o.Consumers.Runs(id) {
					r.waiting--
					delete(r.work, id)
					continue
				}
				r.begin(ctx, id, w)
			}
		}
		r.schedule(retry)
		surveys = r.surveys
		if listing { // what it reads may be older than the wish
			surveys = nil
		}
	}
}

// want notes that something is to be done for a tenant and begins it if it
// can.
func (r *Reconciler) want(ctx context.Context, id uuid.UUID, t task) {
	w := r.work[id]
	if w == nil {
		w = &work{}
		r.work[id] = w
	}
	w.wanted = max(w.wanted, t)
	if t == converge {
		r.onTime(w)
	}
	r.begin(ctx, id, w)
}

// wantLate notes that a tenant is to be looked at later, if there is nothing to
// do for it anyway.
func (r *Reconciler) wantLate(id uuid.UUID) {
	if r.work[id] == nil {
		r.work[id] = &work{wanted: converge, due: time.Now().Add(cancelLag), late: true}
		r.waiting++
	}
}

// onTime has late work begin as soon as it can.
func (r *Reconciler) onTime(w *work) {
	if w.late {
		w.late, w.due = false, time.Time{}
		r.waiting--
	}
}

func (r *Reconciler) serve(ctx context.Context, q request) {
	w := r.work[q.id]
	if w == nil {
		w = &work{}
		r.work[q.id] = w
	}
	w.waiting = append(w.waiting, q.reply)
	w.due = time.Time{}
	r.want(ctx, q.id, converge)
}

func (r *Reconciler) begin(ctx context.Context, id uuid.UUID, w *work) {
	if w.running != nothing || w.wanted == nothing || time.Now().Before(w.due) {
		return
	}
	r.onTime(w)
	w.running, w.wanted = w.wanted, nothing
	w.served, w.waiting = w.waiting, nil
	t := w.running
	r.jobs.Go(func() {
		f := finished{id: id, outcome: r.do(ctx, id, t)}
		select {
		case r.finished <- f:
		case <-ctx.Done():
		}
	})
}

func (r *Reconciler) do(ctx context.Context, id uuid.UUID, t task) outcome {
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

func (r *Reconciler) finish(ctx context.Context, f finished) {
	w := r.work[f.id]
	for _, reply := range w.served {
		reply <- f.outcome
	}
	failed := w.running
	w.running, w.served = nothing, nil
	err := f.err
	if errors.Is(err, domain.ErrNotFound) && failed == converge {
		err = nil // there is no such tenant, so there is nothing to do
	}
	tenantCtx := domain.WithTenantID(ctx, f.id)
	switch w.health.note(err) {
	case failing:
		r.o.Log.WarnContext(tenantCtx, "tenant is not as it should be yet", slog.Any("error", err))
	case recovered:
		r.o.Log.InfoContext(tenantCtx, "tenant is as it should be")
	case unchanged:
	}
	if err != nil {
		if w.pauses == nil {
			w.pauses = newPauses()
			r.waiting++
		}
		w.due = time.Now().Add(w.pauses.NextBackOff())
		w.wanted = max(w.wanted, failed)
		if errors.Is(err, domain.ErrNotFound) {
			w.wanted = converge // the queue is missing
		}
		if len(w.waiting) > 0 {
			w.due = time.Time{}
		}
		r.begin(ctx, f.id, w)
		return
	}
	if w.pauses != nil {
		w.pauses, w.due = nil, time.Time{}
		r.waiting--
	}
	if w.wanted == nothing {
		delete(r.work, f.id)
		return
	}
	r.begin(ctx, f.id, w)
}

// schedule sets the timer to when the next tenant is due. Only what failed, or
// is late, is not begun at once.
func (r *Reconciler) schedule(retry *time.Timer) {
	if r.waiting == 0 {
		retry.Stop()
		return
	}
	var next time.Time
	for _, w := range r.work {
		if w.running == nothing && w.wanted != nothing && (next.IsZero() || w.due.Before(next)) {
			next = w.due
		}
	}
	if next.IsZero() {
		retry.Stop()
		return
	}
	retry.Reset(time.Until(next))
}
