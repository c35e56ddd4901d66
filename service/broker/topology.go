package broker

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/domain"
	"lanekeeper/pkg/rabbitmq"
)

// DeclareQueues declares the tenant's queues, binds them and makes sure that
// the main queue works and outlives a broker that is killed; see
// domain.Topology. A queue that exists with other arguments is used as it is.
//
// The dead-letter queue comes last: while it is missing, the main queue was
// not usable yet.
func (b *Broker) DeclareQueues(ctx context.Context, tenantID uuid.UUID) error {
	name := DeadLetterQueueName(tenantID)
	_, finished, err := b.look(ctx, name)
	if err != nil {
		return unavailable(err)
	}
	if err := b.makeMain(ctx, tenantID, !finished); err != nil {
		return err
	}
	if err := b.ensureUsable(ctx, tenantID, finished); err != nil {
		return unavailable(err)
	}
	if err := b.declareQueue(ctx, name, deadLetterQueueArguments(b.options.DeadLetterQueueType)); err != nil {
		return err
	}
	if !finished && b.options.DeadLetterQueueType == Quorum {
		if err := b.seal(ctx); err != nil {
			return unavailable(err)
		}
	}
	return b.bind(ctx, name, DeadExchange)
}

// CheckQueues implements domain.Topology. Binding once more what is bound
// changes nothing, and fails where the queue is not there.
func (b *Broker) CheckQueues(ctx context.Context, tenantID uuid.UUID) error {
	for _, bound := range []struct{ queue, exchange string }{
		{QueueName(tenantID), ReturnExchange}, {DeadLetterQueueName(tenantID), DeadExchange},
	} {
		if err := b.bind(ctx, bound.queue, bound.exchange); err != nil {
			return err
		}
	}
	return nil
}

// declareMain declares the tenant's main queue and binds it to where messages
// come home from the retry tiers.
func (b *Broker) declareMain(ctx context.Context, tenantID uuid.UUID) error {
	return b.makeMain(ctx, tenantID, false)
}

// makeMain is declareMain for a queue that may exist and not be sealed. While
// it is not, this process publishes nothing to it.
func (b *Broker) makeMain(ctx context.Context, tenantID uuid.UUID, fresh bool) error {
	name, made := QueueName(tenantID), false
	if !fresh {
		_, there, err := b.look(ctx, name)
		if err != nil {
			return unavailable(err)
		}
		if made = !there; made {
			b.prober.missing(tenantID)
		}
		fresh = b.prober.unsealed(tenantID)
	}
	if fresh {
		open := b.traffic.close(tenantID)
		defer open()
	}
	if err := b.declareQueue(ctx, name, queueArguments(b.options.QueueType, tenantID)); err != nil {
		return err
	}
	if fresh && b.options.QueueType == Quorum {
		if err := b.seal(ctx); err != nil {
			return unavailable(err)
		}
	}
	if made { // else the broker may have been killed since it was
		b.prober.sealed(tenantID)
	}
	return b.bind(ctx, name, ReturnExchange)
}

// bind binds a queue by its own name.
func (b *Broker) bind(ctx context.Context, name, exchange string) error {
	err := b.topology(ctx, func(ch *rabbitmq.Channel) error { return ch.QueueBind(ctx, name, name, exchange) })
	if err == nil {
		return nil
	}
	cause := fmt.Errorf("bind queue %s: %w", name, err)
	if rabbitmq.IsNotFound(err) { // the queue, or what all tenants share
		switch _, there, lookErr := b.look(ctx, name); {
		case lookErr != nil:
			cause = lookErr
		case !there:
			return domain.Wrap(cause, domain.ErrNotFound, "queue_not_found", "The tenant's queue does not exist.")
		}
	}
	return unavailable(cause)
}

func (b *Broker) declareQueue(ctx context.Context, name string, arguments amqp.Table) error {
	differs, err := b.tryDeclare(ctx, name, arguments)
	if err != nil {
		return unavailable(fmt.Errorf("declare queue %s: %w", name, err))
	}
	if differs {
		b.options.Log.WarnContext(ctx, "queue exists with other arguments, using it as it is", slog.String("queue", name))
	}
	return nil
}

// tryDeclare declares a queue, and reports whether it exists with other
// arguments. The broker gives the same answer to that and to a queue for which
// there is no room, or whose arguments it does not like; only a look tells them
// apart.
func (b *Broker) tryDeclare(ctx context.Context, name string, arguments amqp.Table) (differs bool, err error) {
	err = b.change(ctx, func(ch *rabbitmq.Channel) error { return ch.QueueDeclare(ctx, name, arguments) })
	if !rabbitmq.IsPreconditionFailed(err) {
		return false, err
	}
	switch _, there, lookErr := b.look(ctx, name); {
	case lookErr != nil:
		return false, lookErr
	case !there:
		return false, noRoom(err)
	}
	return true, nil
}

// DeleteQueues deletes the tenant's queues and returns how many messages were
// dropped with its main queue, those included that this process was still
// publishing and that consumers were giving back. It waits some seconds for
// both. Queues that do not exist are no error.
func (b *Broker) DeleteQueues(ctx context.Context, tenantID uuid.UUID) (int64, error) {
	b.prober.forget(tenantID)
	open := b.traffic.close(tenantID)
	defer open()
	discarded, err := b.empty(ctx, tenantID)
	if err != nil && !rabbitmq.IsNotFound(err) { // somebody else deleted it meanwhile
		return discarded, unavailable(err)
	}
	for _, name := range []string{QueueName(tenantID), DeadLetterQueueName(tenantID)} {
		n, err := b.drop(ctx, name)
		if err != nil {
			return discarded, unavailable(err)
		}
		if name == QueueName(tenantID) {
			discarded += n
		}
	}
	return discarded, nil
}

// drop deletes a queue and returns how many ready messages the broker says
// went with it. A queue that does not exist is no error for the broker: that it
// is not found means here that the node it is on is down, and that it will come
// back with that.
func (b *Broker) drop(ctx context.Context, name string) (int64, error) {
	var dropped int
	err := b.change(ctx, func(ch *rabbitmq.Channel) (err error) {
		dropped, err = ch.QueueDelete(ctx, name)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("delete queue %s: %w", name, err)
	}
	return int64(dropped), nil
}

// QueueDepth returns the number of ready messages in the tenant's main queue.
// A queue that does not exist is an ErrNotFound.
func (b *Broker) QueueDepth(ctx context.Context, tenantID uuid.UUID) (int64, error) {
	q, err := b.counts(ctx, QueueName(tenantID))
	return q.Ready, err
}

// QueueCounts counts the ready messages and the consumers of a tenant's main
// queue. Errors are ErrNotFound and ErrUnavailable.
func (b *Broker) QueueCounts(ctx context.Context, tenantID uuid.UUID) (domain.QueueCounts, error) {
	return b.counts(ctx, QueueName(tenantID))
}

func (b *Broker) counts(ctx context.Context, name string) (domain.QueueCounts, error) {
	q, there, err := b.look(ctx, name)
	switch {
	case err != nil:
		return domain.QueueCounts{}, unavailable(err)
	case !there:
		return domain.QueueCounts{}, domain.New(domain.ErrNotFound, "queue_not_found", "The tenant's queue does not exist.")
	}
	return domain.QueueCounts{Ready: int64(q.Messages), Consumers: q.Consumers}, nil
}
