package deadletter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// callTimeout is how long replaying and deleting may take: callers are
	// promised an answer within 6 seconds.
	callTimeout = 4500 * time.Millisecond
	// paceTimeout is how long replaying may wait for the tenant's rate, so that
	// what is published then is confirmed in time, too.
	paceTimeout = 3 * time.Second
	// markTimeout is how long it may take to note what was replayed, which is
	// done even when the time is over.
	markTimeout = 700 * time.Millisecond
	// replayBatch is how many letters are read and published at a time; the
	// repository bounds their bytes.
	replayBatch = 256

	retryAfter = time.Second
)

// MaxPageSize is the largest number of letters that a page may be asked to
// have.
const MaxPageSize = 1000

// Options configure NewService.
type Options struct {
	Letters   domain.DeadLetterRepository
	Jobs      domain.DeadLetterJobRepository
	Publisher domain.Publisher
	// Memory is what large answers hold while they are read; nil for any.
	Memory domain.AnswerMemory
	// Audit records what was done in the audit log; it may be nil.
	Audit func(ctx context.Context, e domain.AuditEntry)
	// Admit returns why nothing may be published to a tenant at the moment, or
	// nil; it must not block. Nil stands for Tenant.AcceptsMessages.
	Admit func(ctx context.Context, t domain.Tenant) error
	// Pace waits until messages of these sizes may be published to
	// the tenant, or returns why they may not, at the latest when ctx ends. Nil
	// lets as many through as Admit does.
	Pace func(ctx context.Context, t domain.Tenant, sizes []int) error
	// JobBegun is called when a job was begun, and must not block; nil where nobody
	// has to know.
	JobBegun func()
	Log      *slog.Logger
}

// Service works on recorded dead letters. It is safe for concurrent use.
type Service struct{ o Options }

// NewService returns a Service.
func NewService(o Options) *Service {
	if o.Admit == nil {
		o.Admit = func(_ context.Context, t domain.Tenant) error { return t.AcceptsMessages() }
	}
	if o.Pace == nil {
		o.Pace = func(ctx context.Context, t domain.Tenant, _ []int) error { return o.Admit(ctx, t) }
	}
	if o.Memory == nil {
		o.Memory = domain.NoAnswerMemory{}
	}
	return &Service{o: o}
}

// Replay sends letters again. Letters that die after the call began are not part of
// it.
//
// Those of deliveries go to their endpoints, and nowhere else. The others are
// published to the tenant's queue, each under the id it had, so that a message that
// is stored already is not stored twice, and with what a message can have of what it
// came with; they go at the rate at which the tenant may publish.
//
// What is not through in time, comes when the queue is full, or has nowhere to go is
// skipped and stays as it was. What is about more than domain.MaxDeadLettersAtOnce
// becomes a job. Errors, when nothing could be replayed, are those of Options.Admit
// and Options.Pace, an ErrConflict when another job runs, and ErrUnavailable; what
// was published without a confirm may arrive nevertheless.
func (s *Service) Replay(ctx context.Context, t domain.Tenant, selection domain.DeadLetterSelection) (domain.ReplayResult, error) {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	paced, end := context.WithTimeout(limited, paceTimeout)
	defer end()
	q, asked, err := s.freeze(limited, t.ID, domain.ReplayDeadLetters, selection)
	if err == nil && asked > domain.MaxDeadLettersAtOnce {
		job, err := s.begin(limited, q, domain.ReplayDeadLetters)
		s.record(ctx, t.ID, domain.AuditLettersReplay, job, 0, err)
		return domain.ReplayResult{Job: job}, timeError(err)
	}
	r := &replay{service: s, tenant: t, paced: paced}
	if err == nil {
		err = r.run(limited, q)
	}
	if err == nil {
		err = r.blocked
	}
	if r.replayed == 0 && err != nil {
		return domain.ReplayResult{}, timeError(err)
	}
	s.record(ctx, t.ID, domain.AuditLettersReplay, nil, int64(r.replayed), nil)
	if err != nil {
		s.o.Log.WarnContext(ctx, "dead letters replayed in part", slog.Int("replayed", r.replayed), slog.Any("error", err))
	}
	return domain.ReplayResult{Replayed: r.replayed, Skipped: max(0, asked-r.replayed)}, nil
}

// Delete deletes letters, whether they were replayed or not, and returns how
// many there were. Letters that die after the call began are not part of it. A filter
// that lets more than domain.MaxDeadLettersAtOnce through becomes a job. Errors are an
// ErrConflict when another job runs, and ErrUnavailable, also when the time was not
// enough for all: then the call can be repeated.
func (s *Service) Delete(ctx context.Context, tenantID uuid.UUID, selection domain.DeadLetterSelection) (domain.DeleteResult, error) {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	seqs, last := distinct(selection.Seqs), int64(0)
	switch {
	case selection.All:
		var err error
		seqs = nil
		if last, err = s.o.Letters.LastDeadLetter(limited, tenantID); err != nil {
			return domain.DeleteResult{}, timeError(fmt.Errorf("find the last dead letter: %w", err))
		}
	case !selection.Filter.Empty():
		q, asked, err := s.freeze(limited, tenantID, domain.DeleteDeadLetters, selection)
		if err == nil && asked > domain.MaxDeadLettersAtOnce {
			job, err := s.begin(limited, q, domain.DeleteDeadLetters)
			s.record(ctx, tenantID, domain.AuditLettersDelete, job, 0, err)
			return domain.DeleteResult{Job: job}, timeError(err)
		}
		if err == nil {
			q.Limit = domain.MaxDeadLettersAtOnce
			var refs []domain.DeadLetterRef
			refs, err = s.o.Letters.ListDeadLetterRefs(limited, q)
			seqs = seqsOf(refs)
		}
		if err != nil {
			return domain.DeleteResult{}, timeError(fmt.Errorf("find dead letters: %w", err))
		}
	}
	n, err := s.o.Letters.DeleteDeadLetters(limited, tenantID, seqs, last)
	s.record(ctx, tenantID, domain.AuditLettersDelete, nil, n, nil)
	switch {
	case err == nil:
		return domain.DeleteResult{Deleted: n}, nil
	case n > 0:
		return domain.DeleteResult{}, domain.Wrap(err, domain.ErrUnavailable, "purge_incomplete",
			fmt.Sprintf("%d dead letters were deleted, and not all; call again for the rest.", n)).After(retryAfter)
	}
	return domain.DeleteResult{}, timeError(fmt.Errorf("delete dead letters: %w", err))
}

// record has what was done to letters recorded in the audit log: how many, or the job
// that does it.
func (s *Service) record(ctx context.Context, tenantID uuid.UUID, action domain.AuditAction, job *domain.DeadLetterJob, n int64, err error) {
	after := domain.Facts{"letters": n}
	if job != nil {
		after = domain.Facts{"letters": job.Total, "job_id": job.ID.String()}
	}
	if err == nil && s.o.Audit != nil && (job != nil || n > 0) {
		s.o.Audit(ctx, domain.AuditEntry{Action: action, TenantID: tenantID, After: after})
	}
}

// Jobs returns the newest jobs of the tenant, the newest first.
func (s *Service) Jobs(ctx context.Context, tenantID uuid.UUID) ([]domain.DeadLetterJob, error) {
	return s.o.Jobs.ListDeadLetterJobs(ctx, tenantID, domain.MaxListedJobs) //nolint:wrapcheck // says what it did
}

// Job and CancelJob return a job of the tenant; the latter ends it, after what is
// under way, if it still runs. Errors are ErrNotFound and ErrUnavailable.
func (s *Service) Job(ctx context.Context, tenantID, id uuid.UUID) (domain.DeadLetterJob, error) {
	return s.o.Jobs.FindDeadLetterJob(ctx, tenantID, id) //nolint:wrapcheck // says what it did
}

// CancelJob is described with Job.
func (s *Service) CancelJob(ctx context.Context, tenantID, id uuid.UUID) (domain.DeadLetterJob, error) {
	return s.o.Jobs.CancelDeadLetterJob(ctx, tenantID, id) //nolint:wrapcheck // says what it did
}

// freeze returns what a call is about, and how many letters that are; of very many
// only that there are more than domain.MaxDeadLettersAtOnce.
func (s *Service) freeze(ctx context.Context, tenantID uuid.UUID, action domain.DeadLetterAction, selection domain.DeadLetterSelection) (q domain.DeadLetterQuery, asked int, err error) {
	q = domain.DeadLetterQuery{TenantID: tenantID, Limit: replayBatch, Replayed: action == domain.DeleteDeadLetters, Filter: selection.Filter}
	if !selection.All && selection.Filter.Empty() {
		q.Seqs = distinct(selection.Seqs)
		return q, len(q.Seqs), nil
	}
	if q.UpTo, err = s.o.Letters.LastDeadLetter(ctx, tenantID); err != nil {
		return q, 0, fmt.Errorf("find the last dead letter: %w", err)
	}
	if q.UpTo == 0 {
		q.Seqs = []int64{} // else it would be about what comes
		return q, 0, nil
	}
	counted := q
	counted.Limit = domain.MaxDeadLettersAtOnce + 1
	if asked, err = s.o.Letters.CountDeadLetters(ctx, counted); err != nil {
		return q, 0, fmt.Errorf("count dead letters: %w", err)
	}
	return q, asked, nil
}

// begin makes a job of what a call is about.
func (s *Service) begin(ctx context.Context, q domain.DeadLetterQuery, action domain.DeadLetterAction) (*domain.DeadLetterJob, error) {
	q.Limit = 0
	total, err := s.o.Letters.CountDeadLetters(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("count dead letters: %w", err)
	}
	job, err := s.o.Jobs.InsertDeadLetterJob(ctx, domain.DeadLetterJob{
		ID: uuid.Must(uuid.NewV7()), TenantID: q.TenantID, Owner: domain.Owner(ctx), Action: action, Filter: q.Filter, Last: q.UpTo, Total: int64(total),
	})
	if err != nil {
		return nil, fmt.Errorf("begin a job: %w", err)
	}
	s.o.Log.InfoContext(ctx, "job about dead letters begun",
		slog.String("job_id", job.ID.String()), slog.String("action", string(action)), slog.Int("letters", total))
	if s.o.JobBegun != nil {
		s.o.JobBegun()
	}
	return &job, nil
}

// timeError turns the end of the call's time into an error for callers.
func timeError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, domain.ErrUnavailable) {
		return domain.Wrap(err, domain.ErrUnavailable, "dead_letters_unavailable",
			"There was not enough time; try again shortly.").After(retryAfter)
	}
	return err
}

// distinct returns the numbers in order and each once, never nil.
func distinct(seqs []int64) []int64 {
	sorted := append([]int64{}, seqs...)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}
