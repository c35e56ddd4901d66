package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
)

const (
	// passAfter and passAnswers are how long, or for how many answers, one message
	// keeps the cursor from passing others that are done.
	passAfter   = time.Second
	passAnswers = 512
	// maxWaitingRows is at how many rows an endpoint with order by key reads no more.
	maxWaitingRows = 10_000
	// readEntries and readBytes are how much is read at a time, and probeEntries how
	// many while the breaker is open.
	readEntries  = 512
	readBytes    = 512 << 10
	probeEntries = 64
	// dueEntries and dueBytes are the same of rows.
	dueEntries = 64
	dueBytes   = 1 << 20
	// repositoryTimeout bounds one read, and retryFirst and retryMax are the pauses
	// after one that failed.
	repositoryTimeout = 5 * time.Second
	retryFirst        = 100 * time.Millisecond
	retryMax          = 2 * time.Second
	// refreshAgain is after which time the keeper is asked again for an endpoint as
	// it is now.
	refreshAgain = time.Second
)

// dispatcher delivers a tenant's history to one endpoint, as the package says. Its
// goroutine is that of run, and owns all fields but those that say otherwise.
type dispatcher struct {
	service *Service
	lane    *lane
	target  *domain.DeliveryTarget
	recipient
	senders senders
	// version is that of the cursor when it was read, and url the endpoint's then.
	version int64
	url     string
	tail    domain.Tail
	changed <-chan struct{} // of the tail; nil when it need not be looked at

	ledger
	breaker *breaker
	replay  *replayer // nil when no replay runs
	limiter *rate.Limiter

	underWay, rowsUnderWay int
	lastWasRow             bool
	last                   int64 // the highest seq of the history, as far as known
	reading                bool
	asking, askAgain       bool // for a replay; again, because of what came meanwhile
	stopping, disabled     bool
	gone                   bool
	readBackoff            *backoff.Backoff
	readAt                 time.Time       // not before
	wake                   time.Time       // when something is to be done; zero for nothing
	room                   <-chan struct{} // closed when there is room for results again; nil when there is

	// Others reach it by these. Updates has room for the newest target.
	updates chan *domain.DeliveryTarget
	stop    chan struct{}
	results chan result
	reads   chan readResult
	dues    chan dueResult
	replays chan replayFound
	wakes   chan struct{}

	// gate is for deliveries that are about to begin, and stats for anybody.
	gate  gate
	stats stats

	// background are the goroutines that it started; starting ends, and with it the
	// waiting of deliveries that have not begun, when the dispatcher stops.
	background   sync.WaitGroup
	starting     context.Context //nolint:containedctx // lives as long as the dispatcher
	stopStarting context.CancelFunc
	memory       int // bytes that the service counts for it
}

// stats is what others may see of a dispatcher.
type stats struct {
	lag     atomic.Int64
	breaker atomic.Bool
}

func newDispatcher(s *Service, l *lane, target *domain.DeliveryTarget) *dispatcher {
	d := &dispatcher{
		service: s, lane: l, ledger: newLedger(), readBackoff: backoff.New(retryFirst, retryMax),
		updates: make(chan *domain.DeliveryTarget, 1), stop: make(chan struct{}),
		results: make(chan result, 2*domain.MaxEndpointConcurrency), reads: make(chan readResult, 1), dues: make(chan dueResult, 1),
		replays: make(chan replayFound, 1), wakes: make(chan struct{}, 1),
	}
	d.senders = senders{courier: s.courier, results: d.results, jobs: make(chan job), running: &d.background}
	d.use(target)
	return d
}

// use takes a target into account. What was read stays as it is.
func (d *dispatcher) use(target *domain.DeliveryTarget) {
	d.target, d.recipient = target, recipientOf(target)
	d.gate.limit.Store(int32(min(target.Slots(), domain.MaxEndpointConcurrency))) //nolint:gosec // within range
	limit := rate.Inf
	if target.Rate > 0 {
		limit = rate.Limit(target.Rate)
	}
	d.limiter = rate.NewLimiter(limit, max(1, target.Rate/20))
}

// update hands the dispatcher its endpoint as it is now. It does not block, and is
// called by one goroutine.
func (d *dispatcher) update(target *domain.DeliveryTarget) {
	select {
	case <-d.updates:
	default:
	}
	d.updates <- target
}

// run delivers until stop is closed and everything that was begun is settled, the
// endpoint is gone, or ctx ends: then what runs is aborted, and what is not settled
// is delivered again.
func (d *dispatcher) run(ctx context.Context) {
	d.tail = d.service.o.Tails.Open(d.lane.tenant)
	defer d.tail.Close()
	defer d.giveUp()
	var stopStarting context.CancelFunc
	d.starting, stopStarting = context.WithCancel(ctx)
	defer stopStarting()
	d.stopStarting = stopStarting
	if !d.open(ctx) {
		return
	}
	for ctx.Err() == nil && !d.gone {
		d.work(ctx)
		if d.stopping && d.idle() {
			return
		}
		d.await(ctx)
	}
}

// giveUp waits for what was begun, and forgets what is not settled.
func (d *dispatcher) giveUp() {
	d.background.Wait() // what they say has room
	d.service.settler.forget(len(d.outbox.drain().Attempts))
	d.service.memory.held.Add(-int64(d.memory))
}

// idle reports whether everything that was begun is settled.
func (d *dispatcher) idle() bool {
	return d.underWay == 0 && !d.reading && !d.due.asking && !d.asking && len(d.answered) == 0 && d.outbox.idle()
}

// work does whatever can be done now, and finds out when to be woken again.
func (d *dispatcher) work(ctx context.Context) {
	d.wake, d.room = time.Time{}, nil
	now := time.Now()
	d.read(ctx, now)
	d.askDue(ctx, now)
	if !d.stopping && !d.disabled {
		if d.breaker.open() {
			d.probe(ctx, now)
		} else {
			d.startAll(ctx, now)
		}
	}
	if next := d.passPins(now, pinRules{
		fifo: d.target.Ordering == domain.OrderingFIFO, stopping: d.stopping, held: d.breaker.open(), answers: d.answers,
	}); !next.IsZero() {
		d.wakeAt(next)
	}
	d.put(ctx)
}

// await waits until there may be something to do, and takes it into account.
func (d *dispatcher) await(ctx context.Context) {
	var timer <-chan time.Time
	if !d.wake.IsZero() {
		t := time.NewTimer(time.Until(d.wake))
		defer t.Stop()
		timer = t.C
	}
	stop := d.stop
	if d.stopping {
		stop = nil
	}
	select {
	case r := <-d.results:
		d.handle(ctx, r)
		for range len(d.results) { // what has come meanwhile is flushed together
			d.handle(ctx, <-d.results)
		}
	case r := <-d.reads:
		d.handleRead(ctx, r)
	case r := <-d.dues:
		d.handleDue(ctx, r)
	case s := <-d.outbox.settled:
		d.handleSettled(ctx, s)
	case target := <-d.updates:
		d.change(ctx, target)
	case <-d.wakes:
		d.due.at(time.Now())
		lookForReplay(ctx, d)
	case <-d.changed:
	case <-d.room:
	case <-timer:
	case m := <-d.replay.arrived():
		d.replay.take(d.target, m, time.Now())
	case r := <-d.replays:
		handleReplay(ctx, d, r)
	case <-stop:
		d.stopping = true
		d.stopStarting()
	case <-ctx.Done():
	}
}

// wakeAt has work done at that time at the latest.
func (d *dispatcher) wakeAt(at time.Time) {
	if d.wake.IsZero() || at.Before(d.wake) {
		d.wake = at
	}
}

// change takes the endpoint as it is now into account.
func (d *dispatcher) change(ctx context.Context, target *domain.DeliveryTarget) {
	d.use(target)
	if target.Version != d.version && !d.outbox.settling() { // else that will turn out to be stale
		d.reopen(ctx)
	}
}

// reopen begins again at the stored cursor, with what is known of messages that were
// answered or run. Lost is what did not take effect.
func (d *dispatcher) reopen(ctx context.Context, lost ...domain.Settlement) bool {
	pending := d.outbox.drain()
	d.service.settler.forget(len(pending.Attempts))
	d.delta.Attempts = append(d.delta.Attempts, pending.Attempts...)
	return d.open(ctx, append(lost, pending)...)
}

// open reads where to go on, and begins there; false when there is nothing to go on
// with. Lost is what was to be settled and was not.
func (d *dispatcher) open(ctx context.Context, lost ...domain.Settlement) bool {
	retries := backoff.New(retryFirst, retryMax)
	for {
		limited, cancel := context.WithTimeout(ctx, repositoryTimeout)
		start, err := d.service.o.Deliveries.StartDelivery(limited, d.lane.tenant, d.target.ID)
		if err == nil && d.stopping && start.Version != d.target.Version { // nobody tells it any more
			var now *domain.DeliveryTarget
			if now, err = d.lane.target(limited, d.target.ID); err == nil {
				d.use(now)
			}
		}
		cancel()
		switch {
		case ctx.Err() != nil:
			return false
		case errors.Is(err, domain.ErrNotFound):
			d.gone = true
			return false
		case err == nil && start.Version == d.target.Version:
			d.begin(start, lost)
			return true
		case err == nil && !d.stopping:
			if !d.awaitUpdate(ctx) {
				return false
			}
			continue
		}
		if retries.Wait(ctx) != nil || d.stopsNow() && d.breaker == nil {
			return false
		}
	}
}

// stopsNow reports whether the dispatcher is to stop.
func (d *dispatcher) stopsNow() bool {
	select {
	case <-d.stop:
		d.stopping = true
	default:
	}
	return d.stopping
}

// awaitUpdate asks for the endpoint as it is now and waits for it. False means that
// ctx ended.
func (d *dispatcher) awaitUpdate(ctx context.Context) bool {
	d.service.refresh(d.lane.tenant)
	again := time.NewTimer(refreshAgain)
	defer again.Stop()
	select {
	case target := <-d.updates:
		d.use(target)
	case <-again.C:
	case <-d.stop:
		d.stopping = true
	case <-ctx.Done():
		return false
	}
	return true
}

// begin begins at the stored cursor. Lost is what was to be settled and was not.
func (d *dispatcher) begin(start domain.DeliveryStart, lost []domain.Settlement) {
	now := time.Now()
	if d.breaker == nil || d.target.URL != d.url || d.disabled && start.Version != d.version {
		d.startAfresh(start.Health, lost, now)
	}
	d.stats.breaker.Store(d.breaker.open())
	d.version, d.url = start.Version, d.target.URL
	d.reset(start, d.target.Ordering == domain.OrderingKey, lost...)
	if start.Due {
		d.due.at(now.Add(start.NextIn))
	}
	if d.replay == nil && start.Replay != nil {
		d.replay = newReplayer(start.Replay)
	}
}

// startAfresh knows no more of failures than what is stored: what it knew is not about
// the endpoint as it is now. That goes for what was to be settled and was not, too.
func (d *dispatcher) startAfresh(stored domain.EndpointHealth, lost []domain.Settlement, now time.Time) {
	d.breaker = newBreaker(stored, d.service.o.ProbeEvery, now)
	d.disabled = false
	d.delta.Health, d.delta.Disable = nil, ""
	for i := range lost {
		lost[i].Health, lost[i].Disable = nil, ""
	}
}

// slotsLeft returns how many more deliveries may begin.
func (d *dispatcher) slotsLeft() int { return int(d.gate.limit.Load()) - d.underWay }

// handleSettled takes into account what became of a settlement.
func (d *dispatcher) handleSettled(ctx context.Context, s settled) {
	switch s.outcome {
	case domain.SettleDone:
		if next := d.settled(&s.settlement); next >= 0 {
			d.due.at(time.Now().Add(next))
		}
		if d.target.Version != d.version && !d.reopen(ctx) { // changed while it was under way
			return
		}
	case domain.SettleStale:
		s.settlement.Attempts = nil // they are recorded
		if !d.reopen(ctx, s.settlement) {
			return
		}
	case domain.SettleLost:
		d.lane.lost()
	case domain.SettleGone:
		d.gone = true
	default: // the settler has ended
		d.gone = true
	}
	if d.outbox.seen() {
		d.service.settler.add(d.outbox, true, 0, false)
	}
}

// healthChanged has the health remembered.
func (d *dispatcher) healthChanged(ctx context.Context) {
	h := d.breaker.health
	d.delta.Health = &h
	if d.stats.breaker.Swap(d.breaker.open()) != d.breaker.open() {
		d.service.o.Log.InfoContext(ctx, "breaker of an endpoint", slog.Bool("open", d.breaker.open()), slog.String("endpoint_id", d.target.ID.String()))
	}
}

// disable has the endpoint disabled, and begins nothing more.
func (d *dispatcher) disable(ctx context.Context, reason string) {
	if d.disabled {
		return
	}
	d.disabled, d.delta.Disable = true, reason
	d.service.o.Log.WarnContext(ctx, "endpoint disabled", slog.String("endpoint_id", d.target.ID.String()), slog.String("reason", reason))
}
