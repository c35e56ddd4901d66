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
	Publisher domain.Publisher
	// Memory is what large answers hold while they are read; nil for any.
	Memory domain.AnswerMemory
	// Admit returns why nothing may be published to a tenant at the moment, or
	// nil; it must not block. Nil stands for Tenant.AcceptsMessages.
	Admit func(t domain.Tenant) error
	// Pace waits until messages of these sizes may be published to
	// the tenant, or returns why they may not, at the latest when ctx ends. Nil
	// lets as many through as Admit does.
	Pace func(ctx context.Context, t domain.Tenant, sizes []int) error
	Log  *slog.Logger
}

// Service works on recorded dead letters. It is safe for concurrent use.
type Service struct{ o Options }

// NewService returns a Service.
func NewService(o Options) *Service {
	if o.Admit == nil {
		o.Admit = func(t domain.Tenant) error { return t.AcceptsMessages() }
	}
	if o.Pace == nil {
		o.Pace = func(_ context.Context, t domain.Tenant, _ []int) error { return o.Admit(t) }
	}
	if o.Memory == nil {
		o.Memory = domain.NoAnswerMemory{}
	}
	return &Service{o: o}
}

// Replay publishes letters to the tenant's queue again, each under the id it
// had, so that a message that is stored already is not stored twice, and with
// what a message can have of what it came with. Letters
// that die after the call began are not part of it. They go at the rate at which
// the tenant may publish. What is not through in time, or comes when the queue is
// full, is skipped and stays as it was. Errors are those of Options.Admit and
// Options.Pace, and ErrUnavailable when nothing could be replayed; what was
// published without a confirm may arrive nevertheless.
func (s *Service) Replay(ctx context.Context, t domain.Tenant, selection domain.DeadLetterSelection) (domain.ReplayResult, error) {
	if err := s.o.Admit(t); err != nil {
		return domain.ReplayResult{}, err
	}
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	paced, end := context.WithTimeout(limited, paceTimeout)
	defer end()
	r := &replay{service: s, tenantID: t.ID}
	asked, err := r.begin(limited, selection)
	for err == nil {
		var letters []domain.DeadLetter
		if letters, err = r.next(limited); err != nil || len(letters) == 0 {
			break
		}
		if err = s.o.Pace(paced, t, sizes(letters)); err != nil { // no time is left, or the queue has become full
			break
		}
		err = r.publish(limited, letters)
	}
	if r.replayed == 0 && err != nil {
		return domain.ReplayResult{}, timeError(err)
	}
	if err != nil {
		s.o.Log.WarnContext(ctx, "dead letters replayed in part", slog.Int("replayed", r.replayed), slog.Any("error", err))
	}
	return domain.ReplayResult{Replayed: r.replayed, Skipped: max(0, asked-r.replayed)}, nil
}

// Delete deletes letters, whether they were replayed or not, and returns how
// many there were. Letters that die after the call began are not part of it.
// Errors are ErrUnavailable, also when the time was not enough for all: then
// the call can be repeated.
func (s *Service) Delete(ctx context.Context, tenantID uuid.UUID, selection domain.DeadLetterSelection) (int64, error) {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	seqs, last := distinct(selection.Seqs), int64(0)
	if selection.All {
		var err error
		seqs = nil
		if last, err = s.o.Letters.LastDeadLetter(limited, tenantID); err != nil {
			return 0, timeError(fmt.Errorf("find the last dead letter: %w", err))
		}
	}
	n, err := s.o.Letters.DeleteDeadLetters(limited, tenantID, seqs, last)
	switch {
	case err == nil:
		return n, nil
	case n > 0:
		return n, domain.Wrap(err, domain.ErrUnavailable, "purge_incomplete",
			fmt.Sprintf("%d dead letters were deleted, and not all; call again for the rest.", n)).After(retryAfter)
	}
	return 0, timeError(fmt.Errorf("delete dead letters: %w", err))
}

// replay is one call of Replay on its way.
type replay struct {
	service  *Service
	tenantID uuid.UUID
	// all is set when the letters up to last are meant, else those of seqs.
	all  bool
	last int64
	seqs []int64
	// after is the last letter that was read.
	after    int64
	replayed int
}

// begin freezes what is asked for, and returns how many that are.
func (r *replay) begin(ctx context.Context, selection domain.DeadLetterSelection) (int, error) {
	if !selection.All {
		r.seqs = distinct(selection.Seqs)
		return len(r.seqs), nil
	}
	letters := r.service.o.Letters
	r.all = true
	var err error
	if r.last, err = letters.LastDeadLetter(ctx, r.tenantID); err != nil {
		return 0, fmt.Errorf("find the last dead letter: %w", err)
	}
	asked, err := letters.CountDeadLetters(ctx, r.tenantID, r.last)
	if err != nil {
		return 0, fmt.Errorf("count dead letters: %w", err)
	}
	return asked, nil
}

// next returns the next letters that are not replayed yet; none at the end.
func (r *replay) next(ctx context.Context) ([]domain.DeadLetter, error) {
	var letters []domain.DeadLetter
	var err error
	switch at, _ := slices.BinarySearch(r.seqs, r.after+1); {
	case r.all && r.last > r.after:
		letters, _, err = r.service.o.Letters.ListDeadLetters(ctx, domain.DeadLetterQuery{
			TenantID: r.tenantID, After: r.after, UpTo: r.last, Limit: replayBatch,
		})
	case !r.all && at < len(r.seqs):
		letters, err = r.service.o.Letters.PickDeadLetters(ctx, r.tenantID, r.seqs[at:min(at+replayBatch, len(r.seqs))])
		if err == nil && len(letters) == 0 { // none of these
			r.after = r.seqs[min(at+replayBatch, len(r.seqs))-1]
			return r.next(ctx)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	if n := len(letters); n > 0 {
		r.after = letters[n-1].Seq
	}
	return letters, nil
}

// publish publishes letters and marks those that the broker confirmed. The
// error is that of a batch of which nothing went through: then it makes no
// sense to go on.
func (r *replay) publish(ctx context.Context, letters []domain.DeadLetter) error {
	s := r.service
	batch := make([]domain.Outgoing, len(letters))
	for i := range letters {
		l := &letters[i]
		envelope := l.Envelope()
		batch[i] = domain.Outgoing{
			ID: l.ID, MessageID: l.MessageID, Type: envelope.Type, OrderingKey: envelope.OrderingKey, Headers: envelope.Headers,
			Body: l.Body, Encoding: l.Encoding(),
		}
	}
	var confirmed []int64
	var errs error
	for i, err := range s.o.Publisher.Publish(ctx, r.tenantID, batch) {
		if err == nil {
			confirmed = append(confirmed, letters[i].Seq)
		} else if errs == nil {
			errs = fmt.Errorf("publish: %w", err)
		}
	}
	if len(confirmed) == 0 {
		return errs
	}
	r.replayed += len(confirmed)
	marking, cancel := context.WithTimeout(context.WithoutCancel(ctx), markTimeout)
	defer cancel()
	if err := s.o.Letters.MarkReplayed(marking, r.tenantID, confirmed); err != nil {
		// They are on their way. Replaying them again changes nothing, because
		// they keep their ids.
		return fmt.Errorf("mark as replayed: %w", err)
	}
	return nil
}

func sizes(letters []domain.DeadLetter) []int {
	of := make([]int, len(letters))
	for i := range letters {
		envelope := letters[i].Envelope()
		of[i] = len(letters[i].Body) + envelope.Size()
	}
	return of
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
