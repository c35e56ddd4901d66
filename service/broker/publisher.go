package broker

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/domain"
	"lanekeeper/pkg/rabbitmq"
)

// Headers of messages that Lanekeeper publishes.
const (
	// HeaderPublished is when the message was published, in Unix
	// milliseconds; AMQP's timestamp has whole seconds only.
	HeaderPublished = "x-published-ms"
	// HeaderReason, HeaderError, HeaderAttempts and HeaderDeadLetterID tell
	// about a dead letter.
	HeaderReason       = "x-reason"
	HeaderError        = "x-error"
	HeaderAttempts     = "x-attempts"
	HeaderDeadLetterID = "x-dead-letter-id"
	// HeaderAttempt counts the transmissions of a message that comes back
	// from a retry tier.
	HeaderAttempt = "x-attempt"
)

const contentTypeJSON = "application/json"

// Publish publishes the batch in order on one channel; see domain.Publisher.
func (b *Broker) Publish(ctx context.Context, batch []domain.Outgoing) []error {
	now := time.Now()
	parcels := make([]parcel, len(batch))
	for i, m := range batch {
		parcels[i] = parcel{key: QueueName(m.TenantID), message: amqp.Publishing{
			MessageId: cmp.Or(m.MessageID, m.ID.String()), Body: m.Body, Timestamp: now,
			ContentType: contentTypeJSON, DeliveryMode: amqp.Persistent,
			Headers: amqp.Table{HeaderPublished: now.UnixMilli()},
		}}
	}
	leave, open := b.enter(batch)
	if !open {
		errs := make([]error, len(batch))
		for i := range errs {
			errs[i] = publishError(errReturned)
		}
		return errs
	}
	defer leave()
	errs := b.send(ctx, parcels)
	for i, err := range errs {
		errs[i] = publishError(err)
	}
	return errs
}

// enter notes the batch as under way for each of its tenants. It refuses the
// whole batch when the queue of one of them is being deleted.
func (b *Broker) enter(batch []domain.Outgoing) (leave func(), open bool) {
	var entered []uuid.UUID
	leave = func() {
		for _, id := range entered {
			b.traffic.leave(id)
		}
	}
	for _, m := range batch {
		if slices.Contains(entered, m.TenantID) {
			continue
		}
		if !b.traffic.enter(m.TenantID) {
			leave()
			return nil, false
		}
		entered = append(entered, m.TenantID)
	}
	return leave, true
}

// Bury publishes a dead letter to its tenant's dead-letter queue; see
// domain.Publisher. Headers of its own that are too large are left out.
func (b *Broker) Bury(ctx context.Context, letter domain.DeadLetter) error {
	p := parcel{exchange: DeadExchange, key: DeadLetterQueueName(letter.TenantID), message: amqp.Publishing{
		MessageId: letter.MessageID, Body: letter.Body, Timestamp: time.Now(),
		DeliveryMode: amqp.Persistent, Headers: deadLetterHeaders(&letter),
	}}
	if p.message.MessageId == "" {
		p.message.MessageId = letter.ID.String() // returns are matched by it
	}
	return publishError(b.send(ctx, []parcel{p})[0])
}

// Retry publishes a delivery to the retry tier for its attempt; see
// domain.Publisher.
func (b *Broker) Retry(ctx context.Context, tenantID uuid.UUID, d domain.Delivery, attempt int) error {
	tiers := retryTiers()
	headers := amqp.Table{HeaderAttempt: int64(attempt)}
	if !d.Published.IsZero() {
		headers[HeaderPublished] = d.Published.UnixMilli()
	}
	carryOver(headers, d.Headers)
	p := parcel{
		exchange: tiers[max(0, min(attempt, len(tiers))-1)].name, key: QueueName(tenantID),
		message: amqp.Publishing{
			MessageId: d.MessageID, Body: d.Body, Timestamp: d.Published,
			ContentType: contentTypeJSON, DeliveryMode: amqp.Persistent, Headers: headers,
		},
	}
	return publishError(b.send(ctx, []parcel{p})[0])
}

// send gives the parcels to the least loaded lane and waits for all confirms.
func (b *Broker) send(ctx context.Context, parcels []parcel) []error {
	errs := make([]error, len(parcels))
	r := &request{ctx: ctx, parcels: parcels, handles: make(chan handle, len(parcels))}
	if err := b.submit(ctx, r); err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	for i := range parcels {
		select {
		case h := <-r.handles:
			errs[i] = h.wait(ctx, parcels[i].label())
		default:
			select {
			case h := <-r.handles:
				errs[i] = h.wait(ctx, parcels[i].label())
			case <-ctx.Done():
				r.abandon()
				for ; i < len(errs); i++ {
					errs[i] = ctx.Err()
				}
				return errs
			}
		}
	}
	return errs
}

func (b *Broker) submit(ctx context.Context, r *request) error {
	var best *lane
	blocked := false
	for _, l := range b.lanes {
		switch l.state() {
		case Ready:
			if best == nil || l.load() < best.load() {
				best = l
			}
		case Blocked:
			blocked = true
		case Away:
		}
	}
	if best == nil {
		if blocked {
			return errBlocked
		}
		return errAway
	}
	select {
	case best.requests <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var (
	errAway    = errors.New("no connection to the broker")
	errBlocked = errors.New("the broker takes no publications: memory or disk alarm")
)

// publishError says in the domain's words what went wrong.
func publishError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errReturned):
		return domain.Wrap(err, domain.ErrUnavailable, "queue_missing",
			"The tenant's queue is not there; it is being repaired.").After(retryAfter)
	case errors.Is(err, errBlocked):
		return domain.Wrap(err, domain.ErrUnavailable, "broker_blocked",
			"The message broker is short of resources and takes no messages; try again shortly.").After(retryAfter)
	case errors.Is(err, errAway), errors.Is(err, errNacked), errors.Is(err, rabbitmq.ErrClosed):
		return unavailable(err)
	default:
		return domain.Wrap(err, domain.ErrUnavailable, "publish_unknown",
			"The broker did not confirm in time, so the outcome is unknown; retry with the same Idempotency-Key.").After(retryAfter)
	}
}
