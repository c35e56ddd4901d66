package writer

import "github.com/google/uuid"

const (
	maxBatchRows  = 1024
	maxBatchBytes = 8 << 20
	// turnRows is how many rows of one tenant go into a batch while others
	// wait.
	turnRows = 64
)

// tenantQueue holds the rows of one tenant, oldest first.
type tenantQueue struct {
	tenant uuid.UUID
	rows   []row
	queued bool // is in backlog.turns
	parked bool
	// held are the rows of a parked tenant that are tried, older than rows. They
	// belong to its goroutine while it runs.
	held []row
}

// backlog is what waits to be stored, tenant by tenant. It belongs to the
// writer's goroutine.
type backlog struct {
	queues  map[uuid.UUID]*tenantQueue
	turns   []*tenantQueue // tenants with rows, in the order of their turns
	waiting int            // rows of tenants that are not parked
	// batch is the one that was taken last, and may be under way.
	batch []row
	// tried is set when rows of the batch may have been stored before their
	// turn; see Writer.tryOthers.
	tried bool
	seen  map[messageKey]struct{} // of the batch
}

func newBacklog() *backlog {
	return &backlog{
		queues: make(map[uuid.UUID]*tenantQueue),
		batch:  make([]row, 0, maxBatchRows),
		seen:   make(map[messageKey]struct{}, maxBatchRows),
	}
}

// queue returns the queue of a tenant, a new one if there is none.
func (b *backlog) queue(tenant uuid.UUID) *tenantQueue {
	q := b.queues[tenant]
	if q == nil {
		q = &tenantQueue{tenant: tenant}
		b.queues[tenant] = q
	}
	return q
}

// parked returns the queue of a tenant that is parked, or nil.
func (b *backlog) parked(tenant uuid.UUID) *tenantQueue {
	if q := b.queues[tenant]; q != nil && q.parked {
		return q
	}
	return nil
}

// add takes the rows of a job, unless its caller has left.
func (b *backlog) add(j *job) {
	if !j.claimed.CompareAndSwap(false, true) {
		return
	}
	if len(j.messages) == 0 {
		close(j.done)
		return
	}
	q := b.queue(j.messages[0].TenantID)
	b.trim(q)
	for i := range j.messages {
		q.rows = append(q.rows, row{j, i})
	}
	if !q.parked {
		b.waiting += len(j.messages)
		b.enqueue(q)
	}
}

// enqueue gives a tenant with rows the last turn, unless it has one.
func (b *backlog) enqueue(q *tenantQueue) {
	if !q.queued && len(q.rows) > 0 {
		q.queued = true
		b.turns = append(b.turns, q)
	}
}

// park takes a tenant out of turn until unpark.
func (b *backlog) park(q *tenantQueue) {
	q.parked = true
	b.waiting -= len(q.rows)
}

// unpark gives a parked tenant a turn again, with what is held of it first.
func (b *backlog) unpark(q *tenantQueue) {
	q.parked = false
	q.rows = append(q.held, q.rows...)
	q.held = nil
	b.waiting += len(q.rows)
	if len(q.rows) == 0 {
		delete(b.queues, q.tenant)
		return
	}
	b.enqueue(q)
}

// skip takes the first n rows out of a queue.
func (b *backlog) skip(q *tenantQueue, n int) {
	if !q.parked {
		b.waiting -= n
	}
	clear(q.rows[:n]) // for the garbage collector
	q.rows = q.rows[n:]
}

// trim drops abandoned rows from the front of a queue that may stand still for
// long while the broker delivers them again and again. Those of an older
// delivery are in front.
func (b *backlog) trim(q *tenantQueue) {
	n := 0
	for n < len(q.rows) && q.rows[n].abandoned() {
		n++
	}
	b.skip(q, n)
}

// next takes a batch: turnRows of each tenant in turn, until it is full or
// nothing waits. An id that is in the batch already waits for the next one.
// Abandoned rows are dropped.
func (b *backlog) next() []row {
	batch, bytes := b.batch[:0], 0
	clear(b.seen)
	b.tried = false
	for len(b.turns) > 0 && len(batch) < maxBatchRows && bytes < maxBatchBytes {
		q := b.turns[0]
		if q.parked {
			b.turns = b.turns[1:]
			q.queued = false
			continue
		}
		most := maxBatchRows - len(batch)
		if len(b.turns) > 1 {
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
			if _, repeated = b.seen[key]; repeated {
				break
			}
			b.seen[key] = struct{}{}
			batch = append(batch, q.rows[taken])
			bytes += m.Size()
			taken++
			added++
		}
		b.skip(q, taken)
		b.turns = b.turns[1:]
		q.queued = false
		if len(q.rows) == 0 {
			delete(b.queues, q.tenant)
			continue
		}
		b.enqueue(q)
		if repeated {
			break
		}
	}
	b.batch = batch
	return batch
}

// candidate is a tenant's first row that has no result, and the queue it is in
// unless it is in the batch under way.
type candidate struct {
	row   row
	queue *tenantQueue
}

// candidates returns the tenants that can be tried on their own: those of the
// batch under way, of which other calls may have the rows in hand, and those that
// wait for their turn.
func (b *backlog) candidates() []candidate {
	var found []candidate
	known := make(map[uuid.UUID]struct{})
	add := func(r row, q *tenantQueue) {
		id := r.message().TenantID
		if _, ok := known[id]; ok {
			return
		}
		known[id] = struct{}{}
		if b.parked(id) == nil {
			found = append(found, candidate{r, q})
		}
	}
	for _, r := range b.batch {
		if !r.finished() {
			add(r, nil)
		}
	}
	for _, q := range b.turns {
		if b.trim(q); len(q.rows) > 0 {
			add(q.rows[0], q)
		}
	}
	return found
}
