package delivery

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// read reads on where there is room: from the tail in memory, or where that does
// not reach back, from the database.
func (d *dispatcher) read(ctx context.Context, now time.Time) {
	d.changed = nil
	if d.reading || !d.mayRead() {
		return
	}
	if now.Before(d.readAt) {
		d.wakeAt(d.readAt)
		return
	}
	entries, bytes := readEntries, d.service.memory.allowance(len(d.window.entries) == 0)
	if d.breaker.open() {
		entries = probeEntries
	}
	if bytes == 0 {
		d.wakeAt(now.Add(memoryAgain))
		return
	}
	view := d.tail.After(d.window.readTo, entries, bytes)
	d.last = view.Last
	switch {
	case len(view.Messages) > 0:
		d.take(d.target, view.Messages, view.Messages[len(view.Messages)-1].Seq)
		d.wakeAt(now) // there may be more, and room for it
	case view.Behind:
		d.reading = true
		r := readResult{cursor: d.window.readTo, next: view.Last}
		d.background.Go(func() { d.readDatabase(ctx, r, entries, bytes) })
	default:
		d.changed = view.Changed
	}
}

// mayRead reports whether more of the history is to be read.
func (d *dispatcher) mayRead() bool {
	switch {
	case d.stopping || d.disabled:
		return d.answeredBehind() // only to let the cursor pass it
	case d.breaker.open():
		return len(d.window.entries) == 0
	case d.target.Ordering == domain.OrderingKey && d.due.rows >= maxWaitingRows:
		return false
	}
	return d.window.hasRoom()
}

func (d *dispatcher) readDatabase(ctx context.Context, r readResult, entries, bytes int) {
	r.err = d.service.reading(ctx, func(ctx context.Context) (err error) {
		r.messages, err = d.service.o.Deliveries.ReadDeliveries(ctx, d.lane.tenant, r.cursor, entries, bytes)
		return err
	})
	if n := len(r.messages); n > 0 {
		r.next = r.messages[n-1].Seq
	}
	d.reads <- r // has room: one reads at a time
}

// handleRead takes into account what was read.
func (d *dispatcher) handleRead(ctx context.Context, r readResult) {
	d.reading = false
	switch {
	case r.err != nil && ctx.Err() == nil:
		d.service.o.Log.DebugContext(ctx, "history cannot be read for deliveries, trying on", slog.Any("error", r.err))
		d.readAt = time.Now().Add(d.readBackoff.Next())
	case r.err != nil, r.cursor != d.window.readTo: // it began again meanwhile
	case r.next <= r.cursor: // the tail did not know either
		d.readAt = time.Now().Add(d.readBackoff.Next())
	default: // where there are no messages, they are not kept any longer
		d.readBackoff.Reset()
		d.take(d.target, r.messages, r.next)
	}
}

// askDue asks for rows that are due, when there may be some and they may run.
func (d *dispatcher) askDue(ctx context.Context, now time.Time) {
	if d.due.rows > 0 { // others may have deleted some
		d.due.at(d.due.asked.Add(recheckEvery))
	}
	if d.due.asking || d.stopping || d.disabled || d.breaker.open() || len(d.due.list) > 0 || d.due.next.IsZero() {
		return
	}
	if now.Before(d.due.next) {
		d.wakeAt(d.due.next)
		return
	}
	d.ask(ctx, domain.DueQuery{Any: d.target.Ordering == domain.OrderingFIFO, Limit: dueEntries, MaxBytes: dueBytes})
}

func (d *dispatcher) ask(ctx context.Context, q domain.DueQuery) {
	q.TenantID, q.EndpointID = d.lane.tenant, d.target.ID
	if q.Any {
		q.Limit = 1
	}
	q.Except = make([]int64, 0, len(d.held))
	for seq := range d.held {
		q.Except = append(q.Except, seq)
	}
	d.due.begin(time.Now())
	changes := d.changes
	if !d.rowsAreStored() {
		changes = -1 // what it counts is not what there will be
	}
	d.background.Go(func() {
		r := dueResult{query: q, changes: changes}
		r.err = d.service.reading(ctx, func(ctx context.Context) (err error) {
			r.found, err = d.service.o.Deliveries.DueDeliveries(ctx, q)
			return err
		})
		d.dues <- r // has room: one asks at a time
	})
}

// handleDue takes into account which rows are due.
func (d *dispatcher) handleDue(ctx context.Context, r dueResult) {
	d.due.asking = false
	now := time.Now()
	if r.err != nil {
		d.due.at(now.Add(d.readBackoff.Next()))
		return
	}
	if d.recount(&r, now, d.target.Ordering == domain.OrderingKey) {
		d.reopen(ctx)
		return
	}
	if len(r.found.Deliveries) == 0 {
		now = now.Add(retryFirst) // whatever it was that should be there
		if r.query.Any && d.breaker.open() {
			d.breaker.probeAt, d.breaker.oldest = now, false
		}
	}
	if blocked := d.target.Ordering == domain.OrderingFIFO && !d.breaker.open() && r.firstIsLater(); r.found.Due && !blocked {
		d.due.at(now.Add(max(0, r.found.NextIn)))
	}
	for range d.takeFound(&r, now, d.breaker.open()) {
		d.count("expired")
	}
}

// startAll begins as many deliveries as may run.
func (d *dispatcher) startAll(ctx context.Context, now time.Time) {
	for d.slotsLeft() > 0 {
		e := d.pick(ctx, now)
		if e == nil || !d.mayBegin(now) {
			return
		}
		d.start(ctx, e)
	}
}

// mayBegin reports whether a delivery may begin now, and if not has the dispatcher
// woken when it is worth looking again. It takes from the endpoint's rate.
func (d *dispatcher) mayBegin(now time.Time) bool {
	if !d.service.alive() {
		d.wakeAt(now.Add(aliveAgain))
		return false
	}
	if ok, room := d.service.settler.hasRoom(); !ok {
		d.room = room
		return false
	}
	if wait := takeFrom(d.limiter, now); wait > 0 {
		d.wakeAt(now.Add(wait))
		return false
	}
	return true
}

// pick returns what to deliver next: rows that are due have half of the slots while
// there is something new, and a replay has what is left.
func (d *dispatcher) pick(ctx context.Context, now time.Time) *entry {
	fifo := d.target.Ordering == domain.OrderingFIFO
	row := d.due.first(func(e *entry) bool { return d.keys.idle(e.key) })
	if fifo && (row != nil || d.due.rows > 0) {
		return row
	}
	fresh := d.window.firstWaiting(func(e *entry) bool { return d.keys.free(e.key) })
	slots := int(d.gate.limit.Load())
	switch {
	case row == nil && fresh == nil:
		return d.replay.next(ctx, d, now)
	case row == nil:
		return fresh
	case fresh == nil:
		return row
	case slots == 1 && d.lastWasRow, slots > 1 && d.rowsUnderWay >= slots/2:
		return fresh
	}
	return row
}

// probe tries one delivery while the breaker is open, the oldest and the newest in
// turn.
func (d *dispatcher) probe(ctx context.Context, now time.Time) {
	b := d.breaker
	if now.Before(b.probeAt) {
		d.wakeAt(b.probeAt)
		return
	}
	free := func(e *entry) bool { return d.keys.free(e.key) }
	fifo := d.target.Ordering == domain.OrderingFIFO
	var e *entry
	switch row := d.due.first(func(e *entry) bool { return d.keys.idle(e.key) }); {
	case row != nil:
		e = row
	case d.due.rows > 0 && (b.oldest || fifo || len(d.window.entries) == 0):
		if !d.due.asking {
			d.ask(ctx, domain.DueQuery{Any: true, MaxBytes: dueBytes})
		}
		return
	case b.oldest, fifo:
		e = d.window.firstWaiting(free)
	default:
		e = d.window.lastWaiting(free)
	}
	if e == nil || d.slotsLeft() <= 0 || !d.mayBegin(now) {
		d.wakeAt(now.Add(time.Second))
		return
	}
	e.probe = true
	b.oldest = !b.oldest
	b.probeAt = now.Add(b.probeEvery)
	d.wakeAt(b.probeAt)
	d.start(ctx, e)
}

// start begins a delivery.
func (d *dispatcher) start(ctx context.Context, e *entry) {
	e.state, e.since, e.answers = entryRunning, time.Now(), d.answers
	if e.asRow = d.held[e.seq] == e; e.asRow {
		d.due.remove(e)
		d.rowsUnderWay++
	}
	d.lastWasRow = e.asRow
	d.track(e)
	d.senders.deliver(ctx, d.starting, newJob(d.service.o.Traces, d.recipient, d.target, e, &d.gate, d.service.o.Now()))
}

// track notes that something is under way for a message.
func (d *dispatcher) track(e *entry) {
	d.keys.begin(e.key)
	d.underWay++
	if e.replay == uuid.Nil || e.row {
		d.running[e.seq] = e
	}
}

// handle takes into account what became of a delivery.
func (d *dispatcher) handle(ctx context.Context, r result) {
	e := r.job.entry
	d.underWay--
	if e.asRow {
		d.rowsUnderWay--
		e.asRow = false
	}
	if d.running[e.seq] == e {
		delete(d.running, e.seq)
	}
	d.keys.end(e.key)
	switch {
	case r.letterPublished:
		d.finished(e)
		return
	case !r.sent:
		d.again(e)
		return
	}
	d.answers++
	now, local := d.service.o.Now(), time.Now()
	a := attemptOf(d.target, e, &r.answer)
	a.Ago = local.Sub(r.ended) + r.answer.Duration
	d.service.o.Metrics.ObserveDelivery(r.answer.Duration.Seconds())
	if r.answer.Err == nil {
		d.count("delivered")
		d.delta.Attempts = append(d.delta.Attempts, a)
		if d.breaker.succeeded() {
			d.healthChanged(ctx)
		}
		d.finished(e)
		return
	}
	d.failed(ctx, e, r, a, now, local)
}

// failed takes a failed attempt into account.
func (d *dispatcher) failed(ctx context.Context, e *entry, r result, a domain.Attempt, now, local time.Time) {
	if r.job.destination.String() != d.target.URL { // it says nothing of where the endpoint is now
		d.count("probed")
		a.Probe = true
		d.delta.Attempts = append(d.delta.Attempts, a)
		d.again(e)
		return
	}
	counts, changed := d.breaker.failure(e.seq, now, local)
	if changed {
		d.healthChanged(ctx)
	}
	attempts := e.attempts + 1
	v, wait := judge(d.target, counts, attempts, r.answer.Status, r.answer.RetryAfter)
	row := domain.OpenDelivery{Attempts: e.attempts, LastStatus: r.answer.Status, LastError: a.Error}
	switch v {
	case verdictUncounted:
		d.count("probed")
		a.Probe = true
		if e.row {
			row.NextIn = jittered(d.breaker.probeEvery)
			d.opened(e, row)
		} else {
			d.again(e)
		}
	case verdictRetry:
		d.count("failed")
		row.Attempts, row.NextIn = attempts, jittered(wait)
		a.NextIn = row.NextIn
		leaveOpen(d, e, row, local)
	case verdictGone:
		d.count("gone")
		d.disable(ctx, "the endpoint answered 410 Gone")
		leaveOpen(d, e, row, local)
	case verdictGiveUp:
		d.count("given_up")
		d.letDie(ctx, e, letterOf(d.target, e, attempts, r.answer.Status, a.Error))
	}
	d.delta.Attempts = append(d.delta.Attempts, a)
	if limit := d.service.o.DisableAfter; limit > 0 && d.breaker.failingFor(now) >= limit {
		d.disable(ctx, "every attempt failed for "+limit.String())
	}
}

// letDie makes a dead letter of a message, in the store, or in the queue where they
// are left there.
func (d *dispatcher) letDie(ctx context.Context, e *entry, letter domain.DeadLetter) {
	if d.service.o.Letters == nil {
		d.gaveUp(e, letter)
		return
	}
	e.state = entryRunning
	d.track(e)
	d.background.Go(func() {
		d.results <- result{job: job{entry: e}, letterPublished: d.service.publishLetter(ctx, letter)}
	})
}

// again has a message wait that was not delivered. Where others of its key have rows
// by now, which wait for it, it gets one, too: the rows of a key come first.
func (d *dispatcher) again(e *entry) {
	e.probe = false
	switch {
	case d.held[e.seq] == e:
		e.state = entryWaiting
		d.due.list = append(d.due.list, e)
	case e.in == nil:
	case d.keys.rows[e.key] > 0:
		e.state = entryWaiting
		d.pass(e, false)
	default:
		e.in.again(e)
	}
}

func (d *dispatcher) count(outcome string) {
	d.service.o.Metrics.AddDeliveries(d.lane.tenant, outcome, 1)
}

// put hands what is to be settled to the settler.
func (d *dispatcher) put(ctx context.Context) {
	if stopped := d.target.Ordering == domain.OrderingKey && d.due.rows >= maxWaitingRows; stopped != d.breaker.health.ReadingStopped {
		d.breaker.health.ReadingStopped = stopped
		d.healthChanged(ctx)
	}
	d.delta.Replay = mergeReplay(d.delta.Replay, d.replay.progress())
	urgent := len(d.delta.Keys) > 0 // others wait for them
	tell, added := d.flush(domain.Settlement{TenantID: d.lane.tenant, EndpointID: d.target.ID, Epoch: d.lane.epoch, Version: d.version})
	if tell || added > 0 || urgent {
		d.service.settler.add(d.outbox, tell, added, urgent)
	}
	bytes := d.window.bytes + d.due.bytes() + d.replay.bytes()
	d.service.memory.held.Add(int64(bytes - d.memory))
	d.memory = bytes
	d.stats.lag.Store(max(0, d.last-d.window.cursor()) + int64(d.due.rows))
}
