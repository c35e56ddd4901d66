package delivery

import (
	"time"

	"lanekeeper/domain"
)

// recheckEvery is how often rows are counted of which none is due.
const recheckEvery = time.Minute

// dueRows is what a dispatcher knows of the rows of its endpoint: those that are due
// and wait for a slot, and when it has to ask for more. It belongs to the goroutine
// of the dispatcher.
type dueRows struct {
	rows   int // all there are, those that are about to be made or deleted included
	list   []*entry
	next   time.Time // when to ask; zero for never
	asking bool
	asked  time.Time // when that was last
	// ended are the rows that ended since then: the answer may be from before.
	ended map[int64]struct{}
}

// begin notes that it is asked.
func (r *dueRows) begin(now time.Time) {
	r.asking, r.asked, r.next = true, now, time.Time{}
	r.ended = make(map[int64]struct{})
}

func (r *dueRows) noteEnded(seq int64) {
	if r.asking {
		r.ended[seq] = struct{}{}
	}
}

func (r *dueRows) hasEnded(seq int64) bool {
	_, ended := r.ended[seq]
	return ended
}

// vanished reports whether there are fewer rows than there should be, by a count that
// ends at a limit.
func (r *dueRows) vanished(n int) bool { return n < min(r.rows, domain.MaxCountedDeliveries) }

// at has rows asked for at that time at the latest.
func (r *dueRows) at(t time.Time) {
	if r.next.IsZero() || t.Before(r.next) {
		r.next = t
	}
}

// counted notes how many rows there are, which are counted up to a limit.
func (r *dueRows) counted(n int) {
	if n < domain.MaxCountedDeliveries || r.rows < n {
		r.rows = n
	}
}

// first returns the first row that waits and may run; nil for none.
func (r *dueRows) first(may func(*entry) bool) *entry {
	for _, e := range r.list {
		if may(e) {
			return e
		}
	}
	return nil
}

// bytes returns how much the rows take that wait for a slot.
func (r *dueRows) bytes() (n int) {
	for _, e := range r.list {
		n += e.size()
	}
	return n
}

func (r *dueRows) remove(e *entry) {
	for i := range r.list {
		if r.list[i] == e {
			r.list = append(r.list[:i], r.list[i+1:]...)
			return
		}
	}
}

// dueResult is the answer to a question for rows.
type dueResult struct {
	query domain.DueQuery
	// changes is what the ledger counted when it was asked.
	changes int
	found   domain.DueDeliveries
	err     error
}

// firstIsLater reports whether the first row that was found is not due: in fifo order
// it keeps all others from being delivered, whether they are due or not.
func (r *dueResult) firstIsLater() bool {
	return len(r.found.Deliveries) > 0 && r.found.Deliveries[0].NextIn > 0
}

// readResult is what was read of the history.
type readResult struct {
	messages []domain.Message
	// cursor is after what it was read, and next up to where: at least up to what was
	// known to be there.
	cursor, next int64
	err          error
}
