package deadletter

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// jobs is a repository of jobs in memory, of letters of a world. All fields are
// guarded by the world's lock.
type jobs struct {
	w *world

	all map[uuid.UUID]*storedJob
	// before is asked before every step; busy are endpoints with too many deliveries
	// that are due.
	before func(step domain.DeadLetterStep) error
	after  func() error // the reply is lost
	busy   map[uuid.UUID]bool
	steps  []domain.DeadLetterStep
	pauses []string
}

type storedJob struct {
	domain.DeadLetterJob

	due time.Time
}

func newJobs(w *world) *jobs {
	return &jobs{
		w: w, all: make(map[uuid.UUID]*storedJob), busy: make(map[uuid.UUID]bool),
		before: func(domain.DeadLetterStep) error { return nil }, after: func() error { return nil },
	}
}

// service and runner are what works on them.
func (j *jobs) service(begun func()) *Service {
	return NewService(Options{Letters: j.w, Jobs: j, Publisher: j.w, JobBegun: begun, Log: slog.New(slog.DiscardHandler)})
}

func (j *jobs) runner(rate int, pace func(context.Context, domain.Tenant, []int) error) *JobRunner {
	if pace == nil {
		pace = func(_ context.Context, t domain.Tenant, _ []int) error { return t.AcceptsMessages() }
	}
	return NewJobRunner(JobOptions{
		Letters: j.w, Jobs: j, Publisher: j.w, Pace: pace, Rate: rate, Log: slog.New(slog.DiscardHandler),
		Tenant: func(_ context.Context, id uuid.UUID) (domain.Tenant, error) {
			return domain.Tenant{ID: id, Status: domain.TenantActive}, nil
		},
	})
}

func (j *jobs) InsertDeadLetterJob(_ context.Context, job domain.DeadLetterJob) (domain.DeadLetterJob, error) {
	j.w.mu.Lock()
	defer j.w.mu.Unlock()
	for _, other := range j.all {
		if other.TenantID == job.TenantID && other.State == domain.DeadLetterJobRunning {
			return job, domain.New(domain.ErrConflict, "dead_letter_job_running", "One runs.")
		}
	}
	job.State = domain.DeadLetterJobRunning
	j.all[job.ID] = &storedJob{job, time.Now()}
	return job, nil
}

func (j *jobs) FindDeadLetterJob(_ context.Context, tenantID, id uuid.UUID) (domain.DeadLetterJob, error) {
	j.w.mu.Lock()
	defer j.w.mu.Unlock()
	if job := j.all[id]; job != nil && job.TenantID == tenantID {
		return job.DeadLetterJob, nil
	}
	return domain.DeadLetterJob{}, domain.DeadLetterJobNotFound()
}

func (j *jobs) ListDeadLetterJobs(_ context.Context, tenantID uuid.UUID, limit int) (listed []domain.DeadLetterJob, err error) {
	j.w.mu.Lock()
	defer j.w.mu.Unlock()
	for _, job := range j.all {
		if job.TenantID == tenantID && len(listed) < limit {
			listed = append(listed, job.DeadLetterJob)
		}
	}
	return listed, nil
}

func (j *jobs) CancelDeadLetterJob(ctx context.Context, tenantID, id uuid.UUID) (domain.DeadLetterJob, error) {
	if _, err := j.FindDeadLetterJob(ctx, tenantID, id); err != nil {
		return domain.DeadLetterJob{}, err
	}
	j.w.mu.Lock()
	defer j.w.mu.Unlock()
	if job := j.all[id]; job.State == domain.DeadLetterJobRunning {
		job.State = domain.DeadLetterJobCanceled
	}
	return j.all[id].DeadLetterJob, nil
}

func (j *jobs) TakeDeadLetterJob(_ context.Context, lease time.Duration) (domain.DeadLetterJob, bool, error) {
	j.w.mu.Lock()
	defer j.w.mu.Unlock()
	for _, job := range j.all {
		if job.State == domain.DeadLetterJobRunning && !job.due.After(time.Now()) {
			job.Turn++
			job.due = time.Now().Add(lease)
			return job.DeadLetterJob, true, nil
		}
	}
	return domain.DeadLetterJob{}, false, nil
}

// ours returns the job as it is stored; nil when the turn is over.
func (j *jobs) ours(job *domain.DeadLetterJob) *storedJob {
	stored := j.all[job.ID]
	if stored.Turn != job.Turn || stored.State != domain.DeadLetterJobRunning {
		return nil
	}
	return stored
}

func (j *jobs) StepDeadLetterJob(ctx context.Context, job domain.DeadLetterJob, step domain.DeadLetterStep, lease time.Duration) (domain.DeadLetterJob, error) {
	if err := j.before(step); err != nil {
		return job, err
	}
	j.w.mu.Lock()
	stored := j.ours(&job)
	busy := slices.ContainsFunc(step.Reopen, func(r domain.DeadLetterRef) bool { return j.busy[r.EndpointID] })
	j.w.mu.Unlock()
	switch {
	case stored == nil:
		return job, domain.New(domain.ErrConflict, "dead_letter_job_lost", "Lost.")
	case busy:
		return job, domain.New(domain.ErrLimited, "endpoint_busy", "It is busy.")
	}
	reopened, err := j.w.ReopenDeliveries(ctx, job.TenantID, step.Reopen)
	if err != nil {
		return job, err
	}
	if err := j.w.MarkReplayed(ctx, job.TenantID, step.Replayed); err != nil {
		return job, err
	}
	deleted := int64(0)
	if len(step.Delete) > 0 {
		if deleted, err = j.w.DeleteDeadLetters(ctx, job.TenantID, step.Delete, 0); err != nil {
			return job, err
		}
	}
	j.w.mu.Lock()
	defer j.w.mu.Unlock()
	j.steps = append(j.steps, step)
	stored.Cursor = max(stored.Cursor, step.Cursor)
	stored.Done += int64(step.Size())
	stored.Skipped += int64(step.Skipped+len(step.Reopen)-reopened+len(step.Delete)) - deleted
	stored.due, stored.WaitsFor = time.Now().Add(lease), ""
	return stored.DeadLetterJob, j.after()
}

func (j *jobs) PauseDeadLetterJob(_ context.Context, job domain.DeadLetterJob, pause time.Duration, waitsFor string) error {
	j.w.mu.Lock()
	defer j.w.mu.Unlock()
	if stored := j.ours(&job); stored != nil {
		stored.due, stored.WaitsFor = time.Now().Add(pause), waitsFor
		j.pauses = append(j.pauses, waitsFor)
	}
	return nil
}

func (j *jobs) FinishDeadLetterJob(_ context.Context, job domain.DeadLetterJob) error {
	j.w.mu.Lock()
	defer j.w.mu.Unlock()
	if stored := j.ours(&job); stored != nil {
		stored.State = domain.DeadLetterJobDone
		stored.Skipped += max(0, stored.Total-stored.Done)
		stored.Done = max(stored.Done, stored.Total)
	}
	return nil
}

func (j *jobs) DeleteOldDeadLetterJobs(context.Context, time.Duration, int) (int, error) {
	return 0, nil
}
