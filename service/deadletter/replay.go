package deadletter

import (
	"context"
	"fmt"

	"lanekeeper/domain"
)

// replay is one call of Replay on its way.
type replay struct {
	service *Service
	tenant  domain.Tenant
	// paced ends when nothing more is to be published.
	paced    context.Context //nolint:containedctx // lives as long as the call
	replayed int
	// blocked is why nothing more is published; nil as long as it is.
	blocked error
}

// run replays the letters of q. The error is one after which it makes no sense to
// go on; that the queue takes no more is none.
func (r *replay) run(ctx context.Context, q domain.DeadLetterQuery) error {
	for {
		refs, err := r.service.o.Letters.ListDeadLetterRefs(ctx, q)
		if err != nil {
			return fmt.Errorf("list dead letters: %w", err)
		}
		if len(refs) == 0 {
			return nil
		}
		q.After = refs[len(refs)-1].Seq
		var deliveries []domain.DeadLetterRef
		var others []int64
		for i := range refs {
			if refs[i].OfDelivery() {
				deliveries = append(deliveries, refs[i])
			} else {
				others = append(others, refs[i].Seq)
			}
		}
		if len(deliveries) > 0 {
			n, err := r.service.o.Letters.ReopenDeliveries(ctx, r.tenant.ID, deliveries)
			r.replayed += n
			if err != nil {
				return fmt.Errorf("reopen deliveries: %w", err)
			}
		}
		if r.blocked == nil && len(others) > 0 {
			r.blocked = r.publishAll(ctx, others)
		}
	}
}

// publishAll publishes letters, as many at a time as memory is meant for.
func (r *replay) publishAll(ctx context.Context, seqs []int64) error {
	if err := r.service.o.Admit(ctx, r.tenant); err != nil {
		return err
	}
	for len(seqs) > 0 {
		letters, err := r.service.o.Letters.PickDeadLetters(ctx, r.tenant.ID, seqs)
		if err != nil {
			return fmt.Errorf("read dead letters: %w", err)
		}
		if len(letters) == 0 { // they were deleted, or replayed by another call
			return nil
		}
		if err := r.service.o.Pace(r.paced, r.tenant, sizes(letters)); err != nil { //nolint:contextcheck // r.paced ends before ctx: no time is left, or the queue has become full
			return err
		}
		if err := r.publish(ctx, letters); err != nil {
			return err
		}
		for last := letters[len(letters)-1].Seq; len(seqs) > 0 && seqs[0] <= last; {
			seqs = seqs[1:]
		}
	}
	return nil
}

// publish publishes letters and marks those that the broker confirmed. The
// error is that of a batch of which nothing went through: then it makes no
// sense to go on.
func (r *replay) publish(ctx context.Context, letters []domain.DeadLetter) error {
	confirmed, err := send(ctx, r.service.o.Publisher, r.tenant, letters)
	if len(confirmed) == 0 {
		return err
	}
	r.replayed += len(confirmed)
	marking, cancel := context.WithTimeout(context.WithoutCancel(ctx), markTimeout)
	defer cancel()
	if err := r.service.o.Letters.MarkReplayed(marking, r.tenant.ID, confirmed); err != nil {
		// They are on their way. Replaying them again changes nothing, because
		// they keep their ids.
		return fmt.Errorf("mark as replayed: %w", err)
	}
	return nil
}

// send publishes letters and returns which of them the broker confirmed, and the
// first error of the others.
func send(ctx context.Context, publisher domain.Publisher, t domain.Tenant, letters []domain.DeadLetter) (confirmed []int64, err error) {
	batch := make([]domain.Outgoing, len(letters))
	for i := range letters {
		l := &letters[i]
		envelope := l.Envelope()
		batch[i] = domain.Outgoing{
			ID: l.ID, MessageID: l.MessageID, Type: envelope.Type, OrderingKey: envelope.OrderingKey, Headers: envelope.Headers,
			Body: l.Body, Encoding: l.Encoding(), Trace: domain.CarriedTrace(l.Headers),
		}
	}
	for i, failed := range publisher.Publish(ctx, t.ID, batch) {
		if failed == nil {
			confirmed = append(confirmed, letters[i].Seq)
		} else if err == nil {
			err = fmt.Errorf("publish: %w", failed)
		}
	}
	return confirmed, err
}

// sizes returns what the letters count for in the rate of their tenant.
func sizes(letters []domain.DeadLetter) []int {
	of := make([]int, len(letters))
	for i := range letters {
		envelope := letters[i].Envelope()
		of[i] = len(letters[i].Body) + envelope.Size()
	}
	return of
}
