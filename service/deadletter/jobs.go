package deadletter

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
)

const (
	// jobsAtATime is how many jobs a process works on at a time, and turnTime for how
	// long at most before others get their turn.
	jobsAtATime = 4
	turnTime    = 5 * time.Second
	// jobPoll is how often a process that has nothing to do looks for jobs that others
	// left.
	jobPoll = 2 * time.Second
	// jobLease is for how long a job is left alone after a step: longer than the next
	// one takes, which is four times jobCall, and what is left of the turn.
	jobLease = 20 * time.Second
	// jobCall is how long each call may take that a step consists of.
	jobCall = 3 * time.Second
	// jobBatch is how many letters a step is about.
	jobBatch = 256
	// busyPause is after which time a job goes on that an endpoint held up, and
	// otherPause and longestPause the same of others.
	busyPause    = 250 * time.Millisecond
	otherPause   = time.Second
	longestPause = 10 * time.Second
)

// JobOptions configure a JobRunner.
type JobOptions struct {
	Letters   domain.DeadLetterRepository
	Jobs      domain.DeadLetterJobRepository
	Publisher domain.Publisher
	// Tenant returns a tenant as it is now.
	Tenant func(ctx context.Context, id uuid.UUID) (domain.Tenant, error)
	// Pace is that of Options.
	Pace func(ctx context.Context, t domain.Tenant, sizes []int) error
	// Rate is how many messages a tenant may publish in a second, where one counts
	// for each 4 KiB begun; 0 for any number. A job takes them in small parts, so that
	// others get in between.
	Rate int
	Log  *slog.Logger
}

// JobRunner works on the jobs of all tenants, together with those of other replicas.
// What it does not finish, because the process ends, others go on with.
type JobRunner struct {
	o     JobOptions
	begun chan struct{} // has room for one for each job at a time
}

// NewJobRunner returns a JobRunner that does nothing until Run runs.
func NewJobRunner(o JobOptions) *JobRunner {
	return &JobRunner{o: o, begun: make(chan struct{}, jobsAtATime)}
}

// Wake says that a job was begun. It does not block, and is safe for concurrent use.
func (r *JobRunner) Wake() {
	select {
	case r.begun <- struct{}{}:
	default: // all of them look already
	}
}

// Run works on jobs until ctx ends, and returns when the steps that are under way
// have taken effect.
func (r *JobRunner) Run(ctx context.Context) {
	var workers sync.WaitGroup
	defer workers.Wait()
	for range jobsAtATime {
		workers.Go(func() {
			for ctx.Err() == nil {
				r.await(ctx, r.once(ctx))
			}
		})
	}
}

// await waits for that time, or until a job was begun.
func (r *JobRunner) await(ctx context.Context, pause time.Duration) {
	if pause <= 0 {
		return
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.begun:
	case <-ctx.Done():
	}
}

// once has a turn on a job if there is one, and returns after which time to look for
// the next.
func (r *JobRunner) once(ctx context.Context) time.Duration {
	limited, cancel := context.WithTimeout(ctx, jobCall)
	defer cancel()
	job, ok, err := r.o.Jobs.TakeDeadLetterJob(limited, jobLease)
	if err != nil && ctx.Err() == nil {
		r.o.Log.DebugContext(ctx, "jobs about dead letters not looked for, trying again later", slog.Any("error", err))
	}
	if err != nil || !ok {
		return backoff.Jitter(jobPoll, 1.0/4)
	}
	return r.turn(domain.WithTenantID(domain.WithOwner(ctx, job.Owner), job.TenantID), job)
}

// turn works on a job for a while, and returns as once does.
func (r *JobRunner) turn(ctx context.Context, job domain.DeadLetterJob) time.Duration {
	limited, cancel := context.WithTimeout(ctx, turnTime)
	defer cancel()
	t := &jobTurn{runner: r, job: job, failures: make(map[int64]int)}
	err := t.run(limited)
	over := limited.Err() != nil
	ending, end := context.WithTimeout(context.WithoutCancel(ctx), jobCall)
	defer end()
	pause, waitsFor := time.Duration(0), t.job.WaitsFor // "" once a step was taken
	switch {
	case t.lost:
		return 0
	case t.done:
		if err = r.o.Jobs.FinishDeadLetterJob(ending, t.job); err == nil {
			r.o.Log.InfoContext(ctx, "job about dead letters done", slog.String("job_id", job.ID.String()))
		}
	case err != nil && !over:
		pause, waitsFor = pauseAfter(err)
		r.o.Log.DebugContext(ctx, "job about dead letters waits", slog.String("job_id", job.ID.String()), slog.Any("error", err))
		fallthrough
	default:
		err = r.o.Jobs.PauseDeadLetterJob(ending, t.job, pause, waitsFor)
	}
	if err != nil {
		r.o.Log.DebugContext(ctx, "turn on a job about dead letters not ended", slog.Any("error", err))
	}
	return min(pause, jobPoll)
}

// pauseAfter returns for how long a job is left alone after an error, and what of the
// error is meant for the tenant.
func pauseAfter(err error) (pause time.Duration, waitsFor string) {
	known, ok := errors.AsType[*domain.Error](err)
	switch {
	case !ok:
		return otherPause, ""
	case errors.Is(err, errEndpointBusy):
		return busyPause, known.Message
	case known.RetryAfter > 0:
		return min(known.RetryAfter, longestPause), known.Message
	}
	return otherPause, known.Message
}
