package delivery

import (
	"sync"

	"lanekeeper/domain"
)

// outbox has what a dispatcher wants to be settled. The dispatcher puts it in, the
// settler takes it out; one settlement is under way at a time.
type outbox struct {
	mu       sync.Mutex // guards the rest; nothing waits while it is held
	pending  domain.Settlement
	dirty    bool
	underWay bool
	rows     bool // what is under way changes rows
	queued   bool // the settler has it on its list
	// settled has room for one: the dispatcher is told what became of what was
	// under way.
	settled chan settled
}

// settled is what became of a settlement.
type settled struct {
	settlement domain.Settlement
	outcome    domain.SettleOutcome // 0 when it was given up
}

func newOutbox() *outbox { return &outbox{settled: make(chan settled, 1)} }

// put lets change work on what is pending. It reports whether the settler has to
// be told, and how many results were added.
func (o *outbox) put(change func(*domain.Settlement)) (tell bool, added int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := len(o.pending.Attempts)
	change(&o.pending)
	o.dirty = true
	tell = !o.queued && !o.underWay
	o.queued = o.queued || tell
	return tell, len(o.pending.Attempts) - before
}

// take returns what is to be settled now; false for nothing.
func (o *outbox) take() (domain.Settlement, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queued = false
	if !o.dirty || o.underWay {
		return domain.Settlement{}, false
	}
	s := o.pending
	o.pending = domain.Settlement{}
	o.dirty, o.underWay, o.rows = false, true, changesRows(&s)
	return s, true
}

// finish tells the dispatcher what became of what was taken. Nothing is taken
// until the dispatcher has seen it.
func (o *outbox) finish(s settled) { o.settled <- s } // has room

// seen lets the next settlement be taken. It reports whether the settler has to be
// told that there is one.
func (o *outbox) seen() (tell bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.underWay, o.rows = false, false
	tell = o.dirty && !o.queued
	o.queued = o.queued || tell
	return tell
}

// settling reports whether a settlement is under way.
func (o *outbox) settling() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.underWay
}

// idle reports whether nothing is pending or under way.
func (o *outbox) idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.dirty && !o.underWay
}

// rowsAreStored reports whether nothing that changes rows is pending or under way.
func (o *outbox) rowsAreStored() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.rows && !changesRows(&o.pending)
}

func changesRows(s *domain.Settlement) bool { return len(s.Open)+len(s.Done)+len(s.GivenUp) > 0 }

// drain takes what is pending out, without settling it.
func (o *outbox) drain() domain.Settlement {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.pending
	o.pending, o.dirty = domain.Settlement{}, false
	return s
}
