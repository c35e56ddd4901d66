package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/domain"
	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/pkg/rabbitmq/topology"
)

// Queues makes, inspects and deletes the queues of tenants. What it declares can be
// consumed (prober) and outlives a broker that is killed (durabilityBarrier), and
// what it deletes was counted (publishGate). It is safe for concurrent use, but
// declares a tenant's queues for one caller in the fleet at a time; see
// domain.Topology.
type Queues struct {
	queueType, deadLetterQueueType QueueType
	// exchanges says that each tenant has an exchange, too.
	exchanges bool

	client  *topology.Client
	prober  *prober
	states  *queueStates
	barrier *durabilityBarrier
	gate    *publishGate
	log     *slog.Logger
}

// DeclareQueues declares the tenant's queues, binds them and makes sure that
// the main queue works and outlives a broker that is killed; see
// domain.Topology. A queue that exists with other arguments is used as it is.
//
// The dead-letter queue comes last: while it is missing, the main queue was
// not usable yet.
func (q *Queues) DeclareQueues(ctx context.Context, tenantID uuid.UUID) error {
	name := DeadLetterQueueName(tenantID)
	_, finished, err := q.client.Inspect(ctx, name)
	if err != nil {
		return unavailable(err)
	}
	if err := q.makeMain(ctx, tenantID, !finished); err != nil {
		return err
	}
	if err := q.ensureUsable(ctx, tenantID, finished); err != nil {
		return unavailable(err)
	}
	if err := q.declare(ctx, name, deadLetterQueueArguments(q.deadLetterQueueType)); err != nil {
		return err
	}
	if !finished && q.deadLetterQueueType == Quorum {
		if err := q.barrier.pass(ctx); err != nil {
			return unavailable(err)
		}
	}
	return q.bind(ctx, name, DeadExchange)
}

// CheckQueues implements domain.Topology. Binding once more what is bound
// changes nothing, and fails where the queue is not there.
func (q *Queues) CheckQueues(ctx context.Context, tenantID uuid.UUID) error {
	if _, err := q.counts(ctx, QueueName(tenantID)); err != nil {
		return err
	}
	if err := q.bind(ctx, DeadLetterQueueName(tenantID), DeadExchange); err != nil {
		return err
	}
	return q.makeExchange(ctx, tenantID)
}

// InspectQueues implements domain.QueueInspector. A queue that exists is
// declared once more, which changes nothing and shows whether its arguments
// are the same.
func (q *Queues) InspectQueues(ctx context.Context, tenantID uuid.UUID) (domain.QueueReport, error) {
	var report domain.QueueReport
	var err error
	if report.DeadLetter, err = q.inspect(ctx, DeadLetterQueueName(tenantID), deadLetterQueueArguments(q.deadLetterQueueType)); err != nil {
		return report, err
	}
	if report.Main, err = q.inspect(ctx, QueueName(tenantID), queueArguments(q.queueType, tenantID)); err != nil || report.Main == domain.QueueMissing {
		return report, err
	}
	q.states.invalidate(tenantID)
	switch err := q.prober.probe(ctx, tenantID, probeTimeout); {
	case errors.Is(err, errStuck):
		report.Main = domain.QueueStuck
	case err != nil:
		return report, unavailable(err)
	}
	return report, nil
}

func (q *Queues) inspect(ctx context.Context, name string, arguments amqp.Table) (domain.QueueState, error) {
	_, exists, err := q.client.Inspect(ctx, name)
	switch {
	case err != nil:
		return "", unavailable(err)
	case !exists:
		return domain.QueueMissing, nil
	}
	differs, err := q.client.Declare(ctx, name, arguments)
	switch {
	case errors.Is(err, rabbitmq.ErrLimitReached):
		return domain.QueueMissing, nil // it went meanwhile
	case err != nil:
		return "", unavailable(fmt.Errorf("inspect queue %s: %w", name, err))
	case differs:
		return domain.QueueDiffers, nil
	}
	return domain.QueueReady, nil
}

// errConsumed: the queue has a consumer, so it works.
var errConsumed = errors.New("the queue has consumers")

// ReplaceQueue implements domain.QueueInspector. A queue with
// consumers is left alone.
func (q *Queues) ReplaceQueue(ctx context.Context, tenantID uuid.UUID) error {
	q.states.invalidate(tenantID)
	name := QueueName(tenantID)
	switch found, _, err := q.client.Inspect(ctx, name); {
	case err != nil:
		return unavailable(err)
	case found.Consumers > 0:
		return unavailable(errConsumed)
	}
	if _, err := q.client.Delete(ctx, name); err != nil {
		return unavailable(err)
	}
	return q.makeMain(ctx, tenantID, false)
}

// QueueDepth returns the number of ready messages in the tenant's main queue.
// A queue that does not exist is an ErrNotFound.
func (q *Queues) QueueDepth(ctx context.Context, tenantID uuid.UUID) (int64, error) {
	counts, err := q.counts(ctx, QueueName(tenantID))
	return counts.Ready, err
}

// QueueCounts counts the ready messages and the consumers of a tenant's main
// queue. Errors are ErrNotFound and ErrUnavailable.
func (q *Queues) QueueCounts(ctx context.Context, tenantID uuid.UUID) (domain.QueueCounts, error) {
	return q.counts(ctx, QueueName(tenantID))
}

// DeadLetterDepth implements domain.DeadLetterQueues.
func (q *Queues) DeadLetterDepth(ctx context.Context, tenantID uuid.UUID) (int64, error) {
	counts, err := q.counts(ctx, DeadLetterQueueName(tenantID))
	return counts.Ready, err
}

func (q *Queues) counts(ctx context.Context, name string) (domain.QueueCounts, error) {
	found, exists, err := q.client.Inspect(ctx, name)
	switch {
	case err != nil:
		return domain.QueueCounts{}, unavailable(err)
	case !exists:
		return domain.QueueCounts{}, domain.New(domain.ErrNotFound, "queue_not_found", "The tenant's queue does not exist.")
	}
	return domain.QueueCounts{Ready: int64(found.Messages), Consumers: found.Consumers}, nil
}

// makeMain declares the tenant's main queue. Fresh says that the queue may exist
// without having passed the barrier. While it has not, this process publishes
// nothing to it.
func (q *Queues) makeMain(ctx context.Context, tenantID uuid.UUID, fresh bool) error {
	name, made := QueueName(tenantID), false
	if !fresh {
		_, exists, err := q.client.Inspect(ctx, name)
		if err != nil {
			return unavailable(err)
		}
		if made = !exists; made {
			q.states.missing(tenantID)
		}
		fresh = q.states.isNotDurable(tenantID)
	}
	if fresh {
		reopen := q.gate.close(tenantID)
		defer reopen()
	}
	if err := q.declare(ctx, name, queueArguments(q.queueType, tenantID)); err != nil {
		return err
	}
	if fresh && q.queueType == Quorum {
		if err := q.barrier.pass(ctx); err != nil {
			return unavailable(err)
		}
	}
	if made { // else the broker may have been killed since it was
		q.states.madeDurable(tenantID)
	}
	return q.makeExchange(ctx, tenantID)
}

// makeExchange declares the tenant's exchange and binds its queue, where tenants have
// one; both change nothing when they are there. Publishing to an exchange without a
// binding is confirmed, and the message is gone: so whoever makes the queue binds it,
// and whoever checks the queues, too.
func (q *Queues) makeExchange(ctx context.Context, tenantID uuid.UUID) error {
	if !q.exchanges {
		return nil
	}
	exchange := ExchangeName(tenantID)
	err := q.client.Do(ctx, func(ch *rabbitmq.Channel) error {
		if err := ch.ExchangeDeclare(ctx, exchange, amqp.ExchangeFanout, nil); err != nil {
			return fmt.Errorf("declare exchange %s: %w", exchange, err)
		}
		return nil
	})
	if err != nil {
		return unavailable(err)
	}
	return q.bind(ctx, QueueName(tenantID), exchange)
}

// ensureUsable makes sure that the tenant's queue, which was just declared,
// can be consumed. One that cannot is replaced only when it is certain that
// nothing was confirmed to anybody in it: that it is empty cannot be seen from
// here. While its leader is not there a queue with messages looks empty, too,
// and the broker refuses to delete a quorum queue on the condition that it is.
// Finished says that the queue was usable once.
func (q *Queues) ensureUsable(ctx context.Context, id uuid.UUID, finished bool) error {
	q.assumeUsable(ctx, id)
	name := QueueName(id)
	if q.states.mayHold(id, finished) {
		err := q.prober.probe(ctx, id, probeTimeout)
		if errors.Is(err, errStuck) {
			q.log.ErrorContext(ctx, "queue cannot be consumed, and may hold messages: it is not replaced", slog.String("queue", name))
		}
		return err
	}
	err := q.prober.probe(ctx, id, youngProbe)
	if !errors.Is(err, errStuck) {
		return err
	}
	reopen := q.gate.close(id) // nothing shall be confirmed between the trial and the deletion
	defer reopen()
	if err = q.gate.awaitIdle(ctx, id); err != nil {
		return err
	}
	if err = q.prober.probe(ctx, id, secondYoungProbe); !errors.Is(err, errStuck) {
		return err
	}
	q.log.WarnContext(ctx, "queue cannot be consumed and was never used, replacing it", slog.String("queue", name))
	if _, err := q.client.Delete(ctx, name); err != nil {
		return err //nolint:wrapcheck // says what failed
	}
	if err := q.makeMain(ctx, id, false); err != nil {
		return err
	}
	return q.prober.probe(ctx, id, replacedProbe)
}

// assumeUsable takes a queue for one that works when it has consumers, or messages
// that are ready: one that is stuck shows neither. To try it out would hurt: of
// messages that come back to a queue the last one to come back is delivered
// last, so the one that the trial gives back would change places with those of
// a consumer that has just gone.
func (q *Queues) assumeUsable(ctx context.Context, tenantID uuid.UUID) {
	if q.states.isProven(tenantID) {
		return
	}
	switch found, _, err := q.client.Inspect(ctx, QueueName(tenantID)); {
	case err != nil:
		q.log.DebugContext(ctx, "queue cannot be inspected, trying it out", slog.Any("error", err))
	case found.Messages > 0 || found.Consumers > 0:
		q.states.prove(tenantID)
	}
}

// bind binds a queue by its own name.
func (q *Queues) bind(ctx context.Context, name, exchange string) error {
	err := q.client.Bind(ctx, name, name, exchange)
	if err == nil {
		return nil
	}
	cause := err
	if rabbitmq.IsNotFound(err) { // the queue, or what all tenants share
		switch _, exists, inspectErr := q.client.Inspect(ctx, name); {
		case inspectErr != nil:
			cause = inspectErr
		case !exists:
			return domain.Wrap(cause, domain.ErrNotFound, "queue_not_found", "The tenant's queue does not exist.")
		}
	}
	return unavailable(cause)
}

func (q *Queues) declare(ctx context.Context, name string, arguments amqp.Table) error {
	differs, err := q.client.Declare(ctx, name, arguments)
	if err != nil {
		return unavailable(err)
	}
	if differs {
		q.log.WarnContext(ctx, "queue exists with other arguments, using it as it is", slog.String("queue", name))
	}
	return nil
}
