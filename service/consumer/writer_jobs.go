package consumer

import (
	"context"
	"sync/atomic"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// Result tells what became of one message.
type Result struct {
	Outcome domain.AppendOutcome
	// Err is why the store refuses the message for good; then Outcome is
	// zero.
	Err error
}

// Store stores messages of one tenant, in order, and returns when each of
// them has a result or ctx ends. In the latter case they may still be
// stored. It is safe for concurrent use. Neither slice may be changed
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
		if j.claimed.CompareAndSwap(false, true) {
			j.messages, j.results = nil, nil // it may wait in line for long
		}
		return nil, ctx.Err()
	}
}

// job is one call of Store. Only the writer (or the goroutine that has its
// tenant set aside) touches results and left until done is closed.
type job struct {
	ctx      context.Context //nolint:containedctx // tells whether somebody still waits for this call
	messages []domain.Message
	results  []Result
	left     int
	done     chan struct{}
	// claimed tells that the writer has seen the job, or that its caller left
	// before that.
	claimed atomic.Bool
}

type row struct {
	job   *job
	index int
}

func (r row) message() *domain.Message { return &r.job.messages[r.index] }

// abandoned tells that nobody waits for the row any longer: its delivery comes
// again, or came already.
func (r row) abandoned() bool { return r.job.ctx.Err() != nil }

// finished tells whether the row has a result.
func (r row) finished() bool {
	result := &r.job.results[r.index]
	return result.Outcome != 0 || result.Err != nil
}

func (r row) finish(result Result) {
	r.job.results[r.index] = result
	r.job.left--
	if r.job.left == 0 {
		close(r.job.done)
	}
}

type messageKey struct{ tenant, id uuid.UUID }

func (w *Writer) enqueue(j *job) {
	if !j.claimed.CompareAndSwap(false, true) {
		return // nobody waits for it
	}
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
	w.trim(q)
	for i := range j.messages {
		q.rows = append(q.rows, row{j, i})
	}
	if !q.aside {
		w.waiting += len(j.messages)
		w.line(q)
	}
}

// skip takes the first n rows out of a queue.
func (w *Writer) skip(q *tenantQueue, n int) {
	if !q.aside {
		w.waiting -= n
	}
	clear(q.rows[:n]) // for the garbage collector
	q.rows = q.rows[n:]
}

// trim drops rows that nobody waits for from the front of a queue that may
// stand still for long while the broker delivers them again and again. Those
// of an older delivery are in front.
func (w *Writer) trim(q *tenantQueue) {
	n := 0
	for n < len(q.rows) && q.rows[n].abandoned() {
		n++
	}
	w.skip(q, n)
}
