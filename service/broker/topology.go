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
	if err != nil {
		return unavailable(fmt.Errorf("bind queue %s: %w", name, err))
	}
	return nil
}

func (b *Broker) declareQueue(ctx context.Context, name string, arguments amqp.Table) error {
	err := b.topology(ctx, func(ch *rabbitmq.Channel) error { return ch.QueueDeclare(ctx, name, arguments) })
	if rabbitmq.IsPreconditionFailed(err) {
		b.options.Log.WarnContext(ctx, "queue exists with other arguments, using it as it is", slog.String("queue", name))
		return nil
	}
	if err != nil {
		return unavailable(fmt.Errorf("declare queue %s: %w", name, err))
	}
	return nil
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
	if err != nil && !rabbitmq.IsNotFound(err) {
		return discarded, unavailable(err)
	}
	for _, name := range []string{QueueName(tenantID), DeadLetterQueueName(tenantID)} {
		n, err := b.drop(ctx, name)
		if err != nil && !rabbitmq.IsNotFound(err) {
			return discarded, unavailable(err)
		}
		if name == QueueName(tenantID) {
			discarded += n
		}
	}
	return discarded, nil
}

// drop deletes a queue and returns how many ready messages the broker says
// went with it.
func (b *Broker) drop(ctx context.Context, name string) (int64, error) {
	var dropped int
	err := b.topology(ctx, func(ch *rabbitmq.Channel) (err error) {
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
	return b.depth(ctx, QueueName(tenantID))
}

func (b *Broker) depth(ctx context.Context, name string) (int64, error) {
	q, there, err := b.look(ctx, name)
	switch {
	case err != nil:
		return 0, unavailable(err)
	case !there:
		return 0, domain.New(domain.ErrNotFound, "queue_not_found", "The tenant's queue does not exist.")
	}
	return int64(q.Messages), nil
}

// idleChannels is how many channels are kept for topology work.
const idleChannels = 8

// idleChannel is an open channel that nobody uses, and its session.
type idleChannel struct {
	session *rabbitmq.Session
	channel *rabbitmq.Channel
}

// topology runs work on a channel of the control session that nobody else
// uses meanwhile: an error of the broker closes the channel. After success
// the channel is kept for the next one.
func (b *Broker) topology(ctx context.Context, work func(*rabbitmq.Channel) error) error {
	session := b.control.Session()
	if session == nil {
		return rabbitmq.ErrClosed
	}
	ch, err := b.topologyChannel(ctx, session)
	if err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	if err := work(ch); err != nil {
		ch.Close()
		return err
	}
	select {
	case b.idle <- idleChannel{session, ch}:
	default:
		ch.Close()
	}
	return nil
}

// topologyChannel takes a kept channel of this session, or opens one. Those
// of earlier sessions are gone with them.
func (b *Broker) topologyChannel(ctx context.Context, session *rabbitmq.Session) (*rabbitmq.Channel, error) {
	for {
		select {
		case kept := <-b.idle:
			if kept.session == session && !kept.channel.IsClosed() {
				return kept.channel, nil
			}
		default:
			return session.Channel(ctx)
		}
	}
}

// onChannel runs work on a channel made for it.
func onChannel(ctx context.Context, s *rabbitmq.Session, work func(*rabbitmq.Channel) error) error {
	ch, err := s.Channel(ctx)
	if err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	defer ch.Close()
	return work(ch)
}
