package broker

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/domain"
	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/pkg/rabbitmq/publisher"
)

const contentTypeJSON = "application/json"

// Publisher publishes to the queues of tenants, and to those that all of them
// share. It says in the domain's words what is published and what became of it; a
// publisher.Engine does the rest. It is safe for concurrent use.
type Publisher struct {
	engine *publisher.Engine
	gate   *publishGate
	// queueMissing and confirmed are those of Options; they may be nil.
	queueMissing, confirmed func(tenantID uuid.UUID)
}

// Publish publishes the batch in order on one channel; see domain.Publisher.
func (p *Publisher) Publish(ctx context.Context, tenantID uuid.UUID, batch []domain.Outgoing) []error {
	if !p.gate.begin(tenantID) { // its queue is being deleted
		errs := make([]error, len(batch))
		for i := range errs {
			errs[i] = publishError(publisher.ErrReturned)
		}
		return errs
	}
	defer p.gate.end(tenantID)
	now, queue := time.Now(), QueueName(tenantID)
	publishings := make([]publisher.Publishing, len(batch))
	for i, m := range batch {
		publishings[i] = publisher.Publishing{Key: queue, Whole: true, Message: amqp.Publishing{
			MessageId: cmp.Or(m.MessageID, m.ID.String()), Type: shortText(m.Type), Body: m.Body, Timestamp: now,
			ContentType: contentTypeJSON, ContentEncoding: shortText(m.Encoding), DeliveryMode: amqp.Persistent,
			Headers: messageHeaders(&m, now),
		}}
	}
	errs := p.engine.Publish(ctx, queue, publishings)
	for i, err := range errs {
		errs[i] = p.outcome(tenantID, err)
		if err == nil && p.confirmed != nil {
			p.confirmed(tenantID)
		}
	}
	return errs
}

// DeadLetter publishes a dead letter to its tenant's dead-letter queue; see
// domain.Publisher. Headers of its own that are too large are left out.
func (p *Publisher) DeadLetter(ctx context.Context, letter domain.DeadLetter) error {
	queue := DeadLetterQueueName(letter.TenantID)
	return p.outcome(letter.TenantID, p.publishOne(ctx, queue, publisher.Publishing{
		Exchange: DeadExchange, Key: queue, Message: amqp.Publishing{
			// Returns are matched by the id.
			MessageId: cmp.Or(letter.MessageID, letter.ID.String()),
			Type:      shortText(letter.Type),
			Body:      letter.Body, Timestamp: time.Now(), ContentEncoding: shortText(letter.Encoding()),
			DeliveryMode: amqp.Persistent, Headers: deadLetterHeaders(&letter),
		},
	}))
}

// Requeue implements domain.DeadLetterQueues.
func (p *Publisher) Requeue(ctx context.Context, tenantID uuid.UUID, d domain.Delivery) error {
	queue := QueueName(tenantID)
	return p.outcome(tenantID, p.publishOne(ctx, queue, publisher.Publishing{Key: queue, Message: amqp.Publishing{
		// Returns are matched by the id.
		MessageId: cmp.Or(d.MessageID, uuid.NewString()),
		Type:      d.Type,
		Body:      d.Body, Timestamp: d.Published, ContentType: contentTypeJSON,
		ContentEncoding: d.Encoding, DeliveryMode: amqp.Persistent, Headers: passedOn(&d, amqp.Table{}),
	}}))
}

func (p *Publisher) publishOne(ctx context.Context, queue string, m publisher.Publishing) error {
	return p.engine.Publish(ctx, queue, []publisher.Publishing{m})[0]
}

// outcome says in the domain's words what became of a publication, and has a
// queue that does not exist made again: when the tenant's consumer is stopped
// nobody else would notice.
func (p *Publisher) outcome(tenantID uuid.UUID, err error) error {
	if errors.Is(err, publisher.ErrReturned) && p.queueMissing != nil {
		p.queueMissing(tenantID)
	}
	return publishError(err)
}

// maxShortText is in bytes.
const maxShortText = 255

// shortText returns what fits into a property that is a short text; the library
// ends the connection for anything longer.
func shortText(s string) string {
	if len(s) > maxShortText {
		return ""
	}
	return s
}

// publishError says in the domain's words what went wrong.
func publishError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, publisher.ErrReturned):
		return domain.Wrap(err, domain.ErrUnavailable, "queue_missing",
			"The tenant's queue is not there; it is being repaired.").After(retryAfter).Because(domain.ErrQueueMissing)
	case errors.Is(err, publisher.ErrBlocked):
		return domain.Wrap(err, domain.ErrUnavailable, "broker_blocked",
			"The message broker is short of resources and takes no messages; try again shortly.").After(retryAfter)
	case errors.Is(err, publisher.ErrSilent):
		return domain.Wrap(err, domain.ErrUnavailable, "queue_silent",
			"The tenant's queue does not answer, so nothing was published; try again shortly.").After(retryAfter)
	case errors.Is(err, publisher.ErrNacked):
		return domain.Wrap(err, domain.ErrUnavailable, "publish_refused",
			"The message broker refused the message: its queue is full by a policy, or cannot write; try again shortly.").After(retryAfter)
	case errors.Is(err, publisher.ErrHeaders):
		return domain.Wrap(err, domain.ErrTooLarge, "headers_too_large",
			"The headers do not fit into a frame of the message broker, which is set to small ones (frame_max).")
	case errors.Is(err, publisher.ErrAway), errors.Is(err, rabbitmq.ErrClosed):
		return unavailable(err)
	default:
		return domain.Wrap(err, domain.ErrUnavailable, "publish_unknown",
			"The broker did not confirm in time, so the outcome is unknown; retry with the same Idempotency-Key.").After(retryAfter)
	}
}
