package writer

import (
	"context"
	"sync/atomic"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// job is one call of Store. Only the writer's goroutine, or the one that has its
// tenant parked, touches results and left until done is closed.
type job struct {
	ctx      context.Context //nolint:containedctx // ends when the caller waits no longer
	messages []domain.Message
	results  []domain.StoreResult
	left     int
	done     chan struct{}
	// claimed is set by the writer when it sees the job, or by the caller who
	// gives up before that.
	claimed atomic.Bool
}

func newJob(ctx context.Context, messages []domain.Message) *job {
	return &job{ctx: ctx, messages: messages, results: make([]domain.StoreResult, len(messages)), done: make(chan struct{}), left: len(messages)}
}

// row is one message of a job.
type row struct {
	job   *job
	index int
}

func (r row) message() *domain.Message { return &r.job.messages[r.index] }

// abandoned reports that the caller waits no longer: the message is delivered
// again, or was already.
func (r row) abandoned() bool { return r.job.ctx.Err() != nil }

// finished reports whether the row has a result.
func (r row) finished() bool {
	result := &r.job.results[r.index]
	return result.Outcome != 0 || result.Err != nil
}

func (r row) finish(result domain.StoreResult) {
	r.job.results[r.index] = result
	r.job.left--
	if r.job.left == 0 {
		close(r.job.done)
	}
}

// messageKey identifies a message among those of all tenants.
type messageKey struct{ tenant, id uuid.UUID }
