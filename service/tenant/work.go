package tenant

import (
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/logger"
)

// task is what is to be done for a tenant; a greater one includes the lesser.
type task uint8

const (
	nothing task = iota
	check
	settle
	converge
)

// work is the state of one tenant that there is something to do for. It belongs
// to the Reconciler's goroutine.
type work struct {
	// running is the task under way, and wanted the one to do after it.
	running, wanted task
	// retry and due are set after a failure: nothing is started before due,
	// unless a caller waits for it.
	retry *backoff.Backoff
	due   time.Time
	// delayed says that the work is started when it is due, and not at all when a
	// consumer runs here by then; nothing else is known of the tenant.
	delayed  bool
	problems logger.Changes
	// waiting get the result of the next task, and served that of the one
	// under way.
	waiting, served []chan<- outcome
}

// startable reports whether the next task may be started now.
func (w *work) startable() bool {
	return w.running == nothing && w.wanted != nothing && !time.Now().Before(w.due)
}

// request is a call that waits for a tenant's next task.
type request struct {
	id    uuid.UUID
	reply chan<- outcome // buffered
}

type outcome struct {
	tenant domain.Tenant
	err    error
}

// finished is a task that has ended.
type finished struct {
	id uuid.UUID
	outcome
}

// resyncResult is what a look at all tenants has found to do.
type resyncResult struct {
	tasks map[uuid.UUID]task
	err   error
}
