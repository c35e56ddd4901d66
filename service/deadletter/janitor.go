package deadletter

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/janitor"
)

const (
	// sweepEvery is how often old letters are deleted, and sweepChunk how many
	// in one statement.
	sweepEvery = time.Minute
	sweepChunk = 500
	// countEvery is how often the letters are counted, for the metrics.
	countEvery   = 15 * time.Second
	countTimeout = 5 * time.Second
	// keepJobs is how long callers can see what became of a job.
	keepJobs = 7 * 24 * time.Hour
)

// JanitorOptions configure a Janitor.
type JanitorOptions struct {
	Letters domain.DeadLetterRepository
	Jobs    domain.DeadLetterJobRepository
	// KeepReplayed and KeepOthers are how long letters are kept after they
	// were replayed, or recorded and not replayed; zero is for ever.
	KeepReplayed, KeepOthers time.Duration
	Log                      *slog.Logger
}

// Janitor deletes old letters, and counts the others.
type Janitor struct {
	o JanitorOptions
	// waiting is how many letters each tenant has, as last counted. Written by
	// Run, read by anyone.
	waiting atomic.Pointer[map[uuid.UUID]int64]
}

// NewJanitor returns a Janitor that does nothing until Run runs.
func NewJanitor(o JanitorOptions) *Janitor { return &Janitor{o: o} }

// Run deletes and counts at intervals until ctx ends. Any number of replicas may
// do so.
func (j *Janitor) Run(ctx context.Context) {
	var sweeping sync.WaitGroup
	defer sweeping.Wait()
	sweeping.Go(func() { janitor.Run(ctx, sweepEvery, j.deleteOld) })
	j.count(ctx)
	janitor.Run(ctx, countEvery, j.count)
}

// Waiting returns how many letters of the tenant were not replayed, as last
// counted; false while that is not known. It is safe for concurrent use.
func (j *Janitor) Waiting(tenantID uuid.UUID) (int64, bool) {
	counted := j.waiting.Load()
	if counted == nil {
		return 0, false
	}
	return (*counted)[tenantID], true
}

// deleteOld is one round. Tenants whose letters cannot be deleted are left to the
// next one, so that the others do not wait for them.
func (j *Janitor) deleteOld(ctx context.Context) {
	err := janitor.SweepPast(ctx, sweepChunk, func(ctx context.Context, limit int, skip []uuid.UUID) (int, []uuid.UUID, error) {
		n, blocked, err := j.o.Letters.DeleteOldDeadLetters(ctx, j.o.KeepReplayed, j.o.KeepOthers, limit, skip)
		for _, tenantID := range blocked {
			j.o.Log.WarnContext(domain.WithTenantID(ctx, tenantID), "old dead letters of a tenant not deleted, trying again later")
		}
		return n, blocked, err //nolint:wrapcheck // logged below
	})
	if err != nil {
		j.o.Log.DebugContext(ctx, "old dead letters not deleted, trying again later", slog.Any("error", err))
	}
	err = janitor.Sweep(ctx, sweepChunk, func(ctx context.Context, limit int) (int, error) {
		return j.o.Jobs.DeleteOldDeadLetterJobs(ctx, keepJobs, limit) //nolint:wrapcheck // logged below
	})
	if err != nil {
		j.o.Log.DebugContext(ctx, "old jobs about dead letters not deleted, trying again later", slog.Any("error", err))
	}
}

func (j *Janitor) count(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	waiting, err := j.o.Letters.WaitingDeadLetters(ctx)
	if err != nil {
		j.o.Log.DebugContext(ctx, "dead letters not counted, trying again later", slog.Any("error", err))
		j.waiting.Store(nil)
		return
	}
	j.waiting.Store(&waiting)
}
