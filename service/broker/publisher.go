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
	// HeaderDiedAt is when it died, in Unix milliseconds.
	HeaderDiedAt = "x-buried-ms"
	// HeaderAttempt counts the transmissions of a message that comes back
	// from a retry tier.
	HeaderAttempt = "x-attempt"
)

const contentTypeJSON = "application/json"

// Publish publishes the batch in order on one channel; see domain.Publisher.
func (b *Broker) Publish(ctx context.Context, tenantID uuid.UUID, batch []domain.Outgoing) []error {
	now := time.Now()
	parcels := make([]parcel, len(batch))
	for i, m := range batch {
		parcels[i] = parcel{key: QueueName(tenantID), message: amqp.Publishing{
			MessageId: cmp.Or(m.MessageID, m.ID.String()), Body: m.Body, Timestamp: now,
			ContentType: contentTypeJSON, ContentEncoding: shortText(m.Encoding), DeliveryMode: amqp.Persistent,
			Headers: amqp.Table{HeaderPublished: now.UnixMilli()},
		}}
	}
	if !b.traffic.enter(tenantID) { // its queue is being deleted
		errs := make([]error, len(batch))
		fill(errs, publishError(errReturned))
		return errs
	}
	defer b.traffic.leave(tenantID)
	errs := b.send(ctx, parcels)
	for i, err := range errs {
		errs[i] = b.published(tenantID, err)
		if err == nil && b.options.Confirmed != nil {
			b.options.Confirmed(tenantID)
		}
	}
	return errs
}

// DeadLetter publishes a dead letter to its tenant's dead-letter queue; see
// domain.Publisher. Headers of its own that are too large are left out.
func (b *Broker) DeadLetter(ctx context.Context, letter domain.DeadLetter) error {
	p := parcel{exchange: DeadExchange, key: DeadLetterQueueName(letter.TenantID), message: amqp.Publishing{
		MessageId: letter.MessageID, Body: letter.Body, Timestamp: time.Now(), ContentEncoding: shortText(letter.Encoding()),
		DeliveryMode: amqp.Persistent, Headers: deadLetterHeaders(&letter),
	}}
	if p.message.MessageId == "" {
		p.message.MessageId = letter.ID.String() // returns are matched by it
	}
	return b.published(letter.TenantID, b.send(ctx, []parcel{p})[0])
}

// shortText returns what fits into a property that is a short text; the library
// ends the connection for anything longer.
func shortText(s string) string {
	if len(s) > maxShortText {
		return ""
	}
	return s
}

// maxShortText is in bytes.
const maxShortText = 255

// Retry publishes a delivery to the retry tier for its attempt; see
// domain.Publisher.
func (b *Broker) Retry(ctx context.Context, tenantID uuid.UUID, d domain.Delivery, attempt int) error {
	tiers := retryTiers()
	headers := amqp.Table{HeaderAttempt: int64(attempt)}
	if !d.PublishedHere.IsZero() { // a sender's timestamp does not become ours
		headers[HeaderPublished] = d.PublishedHere.UnixMilli()
	}
	carryOver(headers, d.Headers)
	p := parcel{
		exchange: tiers[max(0, min(attempt, len(tiers))-1)].name, key: QueueName(tenantID),
		message: amqp.Publishing{
			MessageId: d.MessageID, Body: d.Body, Timestamp: d.Published,
			ContentType: contentTypeJSON, DeliveryMode: amqp.Persistent, Headers: headers,
		},
	}
	return publishError(b.send(ctx, []parcel{p})[0]) // keepShared looks after the tiers
}

// published says in the domain's words what became of a publication, and has a
// queue that is not there made again: a tenant whose consumer is stopped has
// nobody else who would notice.
func (b *Broker) published(tenantID uuid.UUID, err error) error {
	if errors.Is(err, errReturned) && b.options.QueueMissing != nil {
		b.options.QueueMissing(tenantID)
	}
	return publishError(err)
}

// maxRounds bounds how often a message is published that a channel did not
// confirm before it was replaced.
const maxRounds = 5

// send publishes the parcels, which are all for one queue, in order, and waits
// for all confirms. What has to be published again follows when the rest is
// settled.
func (b *Broker) send(ctx context.Context, parcels []parcel) []error {
	errs := make([]error, len(parcels))
	if len(parcels) == 0 {
		return errs
	}
	b.sendOnce(ctx, parcels, errs)
	for round := 1; slices.Contains(errs, errAgain); round++ {
		var again []int
		var part []parcel
		for i, err := range errs {
			if err == errAgain { //nolint:errorlint // a mark of our own
				again, part = append(again, i), append(part, parcels[i])
			}
		}
		outcome := make([]error, len(part))
		if round < maxRounds {
			b.sendOnce(ctx, part, outcome)
		} else {
			fill(outcome, errUnknown)
		}
		for n, i := range again {
			errs[i] = outcome[n]
		}
	}
	return errs
}

// sendOnce publishes the parcels on one channel.
func (b *Broker) sendOnce(ctx context.Context, parcels []parcel, errs []error) {
	r := newRequest(ctx, parcels)
	s, err := b.quarantine.enter(ctx, r.queue)
	if err != nil {
		fill(errs, err)
		return
	}
	if s != nil {
		defer b.quarantine.leave(s)
	}
	if err := b.submit(ctx, r, s); err != nil {
		fill(errs, err)
		return
	}
	for i := range parcels {
		var h handle
		select {
		case h = <-r.handles:
		default:
			select {
			case h = <-r.handles:
			case <-ctx.Done():
				r.abandon(i)
				fill(errs[i:], ctx.Err())
				return
			}
		}
		errs[i] = h.wait(ctx, &parcels[i])
		if s != nil && (errs[i] == nil || errors.Is(errs[i], errReturned)) {
			b.quarantine.acquit(s)
		}
	}
}

func fill(errs []error, err error) {
	for i := range errs {
		errs[i] = err
	}
}

// submit gives the request to the suspect's lane, if it is for one, else to the
// least loaded.
func (b *Broker) submit(ctx context.Context, r *request, s *suspect) error {
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
	if s != nil {
		best = s.lane
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
			"The tenant's queue is not there; it is being repaired.").After(retryAfter).Because(domain.ErrQueueMissing)
	case errors.Is(err, errBlocked):
		return domain.Wrap(err, domain.ErrUnavailable, "broker_blocked",
			"The message broker is short of resources and takes no messages; try again shortly.").After(retryAfter)
	case errors.Is(err, errSilent):
		return domain.Wrap(err, domain.ErrUnavailable, "queue_silent",
			"The tenant's queue does not answer, so nothing was published; try again shortly.").After(retryAfter)
	case errors.Is(err, errNacked):
		return domain.Wrap(err, domain.ErrUnavailable, "publish_refused",
			"The message broker refused the message: its queue is full by a policy, or cannot write; try again shortly.").After(retryAfter)
	case errors.Is(err, errAway), errors.Is(err, rabbitmq.ErrClosed):
		return unavailable(err)
	default:
		return domain.Wrap(err, domain.ErrUnavailable, "publish_unknown",
			"The broker did not confirm in time, so the outcome is unknown; retry with the same Idempotency-Key.").After(retryAfter)
	}
}
