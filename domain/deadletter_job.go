package domain

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// MaxDeadLettersAtOnce is how many dead letters a call itself works on; what is about
// more becomes a job.
const MaxDeadLettersAtOnce = 1000

// MaxListedJobs is how many of a tenant's jobs, and of an endpoint's replays, are
// listed: the newest.
const MaxListedJobs = 20

// DeadLetterAction is what a job does with letters.
type DeadLetterAction string

// The actions of jobs.
const (
	ReplayDeadLetters DeadLetterAction = "replay"
	DeleteDeadLetters DeadLetterAction = "delete"
)

// DeadLetterJobState is how far a job is.
//
//	running --every letter was looked at--> done
//	running --a caller--> canceled
type DeadLetterJobState string

// The states of a job.
const (
	DeadLetterJobRunning  DeadLetterJobState = "running"
	DeadLetterJobDone     DeadLetterJobState = "done"
	DeadLetterJobCanceled DeadLetterJobState = "canceled"
)

// DeadLetterJob replays or deletes many of a tenant's dead letters: those that there
// were when it began. It goes on whatever becomes of the process that began it.
type DeadLetterJob struct {
	ID       uuid.UUID
	TenantID uuid.UUID
	// Owner is towards whose share of the process it counts.
	Owner  string
	Action DeadLetterAction
	Filter DeadLetterFilter
	// Last is the highest Seq that it is about.
	Last  int64
	State DeadLetterJobState
	// Total counts the letters when it began, Done those that were looked at, and
	// Skipped those of them that stayed as they were or were gone.
	Total, Done, Skipped int64
	// WaitsFor says, in words for the tenant, why it does not get on; "" when it does.
	WaitsFor string
	// Cursor is up to which letter it has got, and Turn counts how often somebody
	// began to work on it: whoever did last may go on.
	Cursor, Turn int64
	CreatedAt    time.Time
	// EndedAt is zero while it runs.
	EndedAt time.Time
}

// Query asks for letters that the job has not looked at yet.
func (j *DeadLetterJob) Query(limit int) DeadLetterQuery {
	return DeadLetterQuery{
		TenantID: j.TenantID, After: j.Cursor, UpTo: j.Last, Limit: limit, Replayed: j.Action == DeleteDeadLetters, Filter: j.Filter,
	}
}

// DeadLetterJobNotFound is the answer for a job that the tenant does not have.
func DeadLetterJobNotFound() error {
	return New(ErrNotFound, "dead_letter_job_not_found", "There is no such job.")
}

// DeadLetterStep is a part of a job, which takes effect as a whole, together with how
// far the job is then.
type DeadLetterStep struct {
	// Cursor is up to which letter the job has got.
	Cursor int64
	// Replayed are letters that were published and are to be marked, Reopen those
	// whose deliveries are to begin anew, Delete those to be deleted.
	Replayed []int64
	Reopen   []DeadLetterRef
	Delete   []int64
	// Skipped counts letters that are left as they are.
	Skipped int
}

// Size returns how many letters the step is about.
func (s *DeadLetterStep) Size() int {
	return len(s.Replayed) + len(s.Reopen) + len(s.Delete) + s.Skipped
}

// DeadLetterJobRepository keeps jobs. Methods are safe for concurrent use; the clock
// that counts is that of the database.
type DeadLetterJobRepository interface {
	// InsertDeadLetterJob begins a job and returns it. ErrConflict (code
	// dead_letter_job_running) when the tenant has one that runs, ErrNotFound for a
	// tenant that is gone.
	InsertDeadLetterJob(ctx context.Context, j DeadLetterJob) (DeadLetterJob, error)
	// FindDeadLetterJob returns ErrNotFound where there is none.
	FindDeadLetterJob(ctx context.Context, tenantID, id uuid.UUID) (DeadLetterJob, error)
	// ListDeadLetterJobs returns the newest jobs of a tenant, the newest first.
	ListDeadLetterJobs(ctx context.Context, tenantID uuid.UUID, limit int) ([]DeadLetterJob, error)
	// CancelDeadLetterJob ends a job that runs, after the step that is under way; one
	// that has ended stays as it is.
	CancelDeadLetterJob(ctx context.Context, tenantID, id uuid.UUID) (DeadLetterJob, error)
	// TakeDeadLetterJob begins a turn on a job that runs and on which nobody works:
	// of the owner whose last turn is longest ago. Within lease a step has to follow,
	// or else others may take the job. False means that there is none.
	TakeDeadLetterJob(ctx context.Context, lease time.Duration) (j DeadLetterJob, ok bool, err error)
	// StepDeadLetterJob takes a step and returns the job as it is then. It is an
	// ErrConflict when somebody else has begun a turn or the job does not run any
	// longer, and an ErrLimited when an endpoint has to get on first: then nothing
	// has changed.
	StepDeadLetterJob(ctx context.Context, j DeadLetterJob, step DeadLetterStep, lease time.Duration) (DeadLetterJob, error)
	// PauseDeadLetterJob ends a turn; the next one begins after pause at the
	// earliest. It changes nothing when the turn has ended already.
	PauseDeadLetterJob(ctx context.Context, j DeadLetterJob, pause time.Duration, waitsFor string) error
	// FinishDeadLetterJob ends a job of which every letter was looked at: those that
	// are missing from Done are gone. It changes nothing when the turn has ended.
	FinishDeadLetterJob(ctx context.Context, j DeadLetterJob) error
	// DeleteOldDeadLetterJobs deletes at most limit jobs that ended longer ago than
	// age, and returns how many it were.
	DeleteOldDeadLetterJobs(ctx context.Context, age time.Duration, limit int) (int, error)
}
