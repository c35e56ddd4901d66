package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"lanekeeper/domain"
)

const (
	// rateShare is which part of what a tenant may publish in a second a job takes at
	// a time, and rateUnit the bytes of a letter for which that counts one.
	rateShare = 8
	rateUnit  = 4 << 10
	// leastFailures is how often a letter is published and not confirmed, while
	// others are, before it is skipped.
	leastFailures = 3
)

// errEndpointBusy marks a step for which an endpoint has to get on first.
var errEndpointBusy = errors.New("an endpoint has too many deliveries that are due")

// jobTurn is a while of work on a job, by one goroutine.
type jobTurn struct {
	runner *JobRunner
	job    domain.DeadLetterJob
	// done: every letter was looked at. Lost: somebody else works on the job by now,
	// or it has ended.
	done, lost bool
	// failures counts how often letters were not confirmed while others were.
	failures map[int64]int
}

// run takes steps until ctx ends, there are no more, or something is in the way.
func (t *jobTurn) run(ctx context.Context) error {
	for ctx.Err() == nil {
		refs, err := t.list(ctx)
		if err != nil {
			return err
		}
		if len(refs) == 0 {
			t.done = true
			return nil
		}
		if t.job.Action == domain.DeleteDeadLetters {
			err = t.step(ctx, domain.DeadLetterStep{Delete: seqsOf(refs), Cursor: refs[len(refs)-1].Seq})
		} else {
			err = t.replay(ctx, refs)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *jobTurn) list(ctx context.Context) ([]domain.DeadLetterRef, error) {
	ctx, cancel := context.WithTimeout(ctx, jobCall)
	defer cancel()
	refs, err := t.runner.o.Letters.ListDeadLetterRefs(ctx, t.job.Query(jobBatch))
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return refs, nil
}

// replay takes a step with the first of these letters: those of deliveries, or those
// for the queue, whichever come first.
func (t *jobTurn) replay(ctx context.Context, refs []domain.DeadLetterRef) error {
	deliveries := refs[0].OfDelivery()
	if end := slices.IndexFunc(refs, func(r domain.DeadLetterRef) bool { return r.OfDelivery() != deliveries }); end >= 0 {
		refs = refs[:end]
	}
	if !deliveries {
		return t.publish(ctx, seqsOf(refs))
	}
	err := t.step(ctx, domain.DeadLetterStep{Reopen: refs, Cursor: refs[len(refs)-1].Seq})
	if errors.Is(err, domain.ErrLimited) {
		return errors.Join(errEndpointBusy, err)
	}
	return err
}

// publish takes a step with the first of these letters.
func (t *jobTurn) publish(ctx context.Context, seqs []int64) error {
	o := &t.runner.o
	tenant, err := o.Tenant(ctx, t.job.TenantID)
	if err != nil {
		return fmt.Errorf("look the tenant up: %w", err)
	}
	atATime := len(seqs)
	if o.Rate > 0 {
		atATime = max(1, min(atATime, o.Rate/rateShare))
	}
	letters, err := t.pick(ctx, seqs[:atATime])
	if err != nil {
		return err
	}
	step := domain.DeadLetterStep{Cursor: seqs[atATime-1]}
	if len(letters) == 0 { // they were deleted, or replayed by a call
		step.Skipped = atATime
		return t.step(ctx, step)
	}
	letters = affordable(letters, atATime)
	if err := o.Pace(ctx, tenant, sizes(letters)); err != nil {
		return err
	}
	publishing, cancel := context.WithTimeout(context.WithoutCancel(ctx), jobCall)
	defer cancel()
	confirmed, err := send(publishing, o.Publisher, tenant, letters)
	if len(confirmed) == 0 {
		return err
	}
	step.Replayed = confirmed
	t.account(&step, seqs, letters)
	return t.step(ctx, step)
}

func (t *jobTurn) pick(ctx context.Context, seqs []int64) ([]domain.DeadLetter, error) {
	ctx, cancel := context.WithTimeout(ctx, jobCall)
	defer cancel()
	letters, err := t.runner.o.Letters.PickDeadLetters(ctx, t.job.TenantID, seqs)
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	return letters, nil
}

// account says how far the job is after letters of seqs were published, of which
// those of the step were confirmed. It stops before one that was not, unless that
// happened often: then the others do not wait for it any longer. What is missing is
// gone, and nobody comes across it again.
func (t *jobTurn) account(step *domain.DeadLetterStep, seqs []int64, letters []domain.DeadLetter) {
	last := letters[len(letters)-1].Seq
	at, _ := slices.BinarySearch(seqs, last)
	step.Cursor, step.Skipped = last, at+1-len(letters)
	for i := range letters {
		seq := letters[i].Seq
		if slices.Contains(step.Replayed, seq) {
			continue
		}
		if t.failures[seq]++; t.failures[seq] < leastFailures {
			step.Cursor = seq - 1
			return
		}
		step.Skipped++
	}
}

// step takes a step, whether ctx is alive or not. What was published is marked also
// when the job is not ours any longer.
func (t *jobTurn) step(ctx context.Context, step domain.DeadLetterStep) error {
	taking, cancel := context.WithTimeout(context.WithoutCancel(ctx), jobCall)
	defer cancel()
	job, err := t.runner.o.Jobs.StepDeadLetterJob(taking, t.job, step, jobLease)
	if err == nil {
		t.job = job
		return nil
	}
	t.lost = errors.Is(err, domain.ErrConflict)
	if t.lost && len(step.Replayed) > 0 {
		if err := t.runner.o.Letters.MarkReplayed(taking, t.job.TenantID, step.Replayed); err != nil {
			return fmt.Errorf("mark as replayed: %w", err)
		}
	}
	return fmt.Errorf("take a step: %w", err)
}

// affordable returns the first letters, one at least, that count for no more than so
// many messages in the rate of their tenant.
func affordable(letters []domain.DeadLetter, units int) []domain.DeadLetter {
	for i, size := range sizes(letters) {
		units -= max(1, (size+rateUnit-1)/rateUnit)
		if units < 0 && i > 0 {
			return letters[:i]
		}
	}
	return letters
}

// seqsOf returns the ids of letters.
func seqsOf(refs []domain.DeadLetterRef) []int64 {
	seqs := make([]int64, len(refs))
	for i := range refs {
		seqs[i] = refs[i].Seq
	}
	return seqs
}
