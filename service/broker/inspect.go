package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/domain"
)

var _ domain.QueueInspector = (*Broker)(nil)

// InspectQueues implements domain.QueueInspector. A queue that exists is
// declared once more, which changes nothing and tells whether its arguments
// are the same.
func (b *Broker) InspectQueues(ctx context.Context, tenantID uuid.UUID) (domain.QueueReport, error) {
	var report domain.QueueReport
	var err error
	if report.DeadLetter, err = b.inspect(ctx, DeadLetterQueueName(tenantID), deadLetterQueueArguments(b.options.DeadLetterQueueType)); err != nil {
		return report, err
	}
	if report.Main, err = b.inspect(ctx, QueueName(tenantID), queueArguments(b.options.QueueType, tenantID)); err != nil || report.Main == domain.QueueMissing {
		return report, err
	}
	b.prober.doubt(tenantID)
	switch err := b.prober.probe(ctx, tenantID, probeTimeout); {
	case errors.Is(err, errStuck):
		report.Main = domain.QueueStuck
	case err != nil:
		return report, unavailable(err)
	}
	return report, nil
}

func (b *Broker) inspect(ctx context.Context, name string, arguments amqp.Table) (domain.QueueState, error) {
	_, there, err := b.look(ctx, name)
	switch {
	case err != nil:
		return "", unavailable(err)
	case !there:
		return domain.QueueMissing, nil
	}
	differs, err := b.tryDeclare(ctx, name, arguments)
	switch {
	case errors.Is(err, errNoRoom):
		return domain.QueueMissing, nil // it went meanwhile
	case err != nil:
		return "", unavailable(fmt.Errorf("inspect queue %s: %w", name, err))
	case differs:
		return domain.QueueDiffers, nil
	}
	return domain.QueueReady, nil
}

// errConsumed: somebody consumes the queue, so it works.
var errConsumed = errors.New("the queue has consumers")

// ReplaceQueue implements domain.QueueInspector. A queue that somebody
// consumes is left alone.
func (b *Broker) ReplaceQueue(ctx context.Context, tenantID uuid.UUID) error {
	b.prober.doubt(tenantID)
	name := QueueName(tenantID)
	switch q, _, err := b.look(ctx, name); {
	case err != nil:
		return unavailable(err)
	case q.Consumers > 0:
		return unavailable(errConsumed)
	}
	if _, err := b.drop(ctx, name); err != nil {
		return unavailable(err)
	}
	return b.declareMain(ctx, tenantID)
}
