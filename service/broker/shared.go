package broker

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/logger"
	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/pkg/rabbitmq/topology"
)

const (
	// checkSharedEvery is how often it is made sure that what all tenants share
	// still exists. No message for a tier that does not exist gets on, so it is
	// about as long as the pauses between its attempts grow.
	checkSharedEvery   = 5 * time.Second
	checkSharedTimeout = 10 * time.Second
)

// sharedTopology declares the exchanges and queues that all tenants share, and keeps
// them. It is safe for concurrent use.
type sharedTopology struct {
	client    *topology.Client
	control   *rabbitmq.Connection
	queueType QueueType
	log       *slog.Logger
}

// declareExchanges declares the exchanges that all tenants share. Every
// session that publishes begins with it: publishing to an exchange that does
// not exist would close the channel for everybody on it.
func declareExchanges(ctx context.Context, s *rabbitmq.Session) error {
	return topology.OnChannel(ctx, s, func(ch *rabbitmq.Channel) error { return makeExchanges(ctx, ch) })
}

func makeExchanges(ctx context.Context, ch *rabbitmq.Channel) error {
	for _, e := range sharedExchanges() {
		if err := ch.ExchangeDeclare(ctx, e.name, e.kind, e.arguments); err != nil {
			return fmt.Errorf("declare exchange %s: %w", e.name, err)
		}
	}
	return nil
}

type exchange struct {
	name, kind string
	arguments  amqp.Table
}

func sharedExchanges() []exchange {
	exchanges := []exchange{
		{name: DeadExchange, kind: amqp.ExchangeDirect},
		{name: UnroutedExchange, kind: amqp.ExchangeFanout},
		{name: ReturnExchange, kind: amqp.ExchangeDirect, arguments: amqp.Table{"alternate-exchange": UnroutedExchange}},
	}
	for _, t := range retryTiers() {
		exchanges = append(exchanges, exchange{name: t.name, kind: amqp.ExchangeFanout})
	}
	return exchanges
}

// sharedBindings returns the exchange of each queue that all tenants share.
func sharedBindings() map[string]string {
	bindings := map[string]string{OrphanQueue: UnroutedExchange}
	for _, t := range retryTiers() {
		bindings[t.name] = t.name
	}
	return bindings
}

// declare declares everything that all tenants share, on a session. A queue that
// exists with other arguments is used as it is.
func (t *sharedTopology) declare(ctx context.Context, s *rabbitmq.Session) error {
	if err := declareExchanges(ctx, s); err != nil {
		return err
	}
	queues := map[string]amqp.Table{OrphanQueue: orphanArguments(t.queueType)}
	for _, tier := range retryTiers() {
		queues[tier.name] = tierArguments(t.queueType, tier.wait)
	}
	bindings := sharedBindings()
	fresh := false
	for name, arguments := range queues {
		_, exists, err := topology.InspectOn(ctx, s, name)
		if err != nil {
			return err //nolint:wrapcheck // says what failed
		}
		fresh = fresh || !exists
		err = topology.OnChannel(ctx, s, func(ch *rabbitmq.Channel) error { return ch.QueueDeclare(ctx, name, arguments) })
		if rabbitmq.IsPreconditionFailed(err) {
			// It exists with other arguments, or there is no room for it.
			if _, exists, inspectErr := topology.InspectOn(ctx, s, name); exists || inspectErr != nil {
				err = inspectErr
			}
		}
		if err != nil {
			return fmt.Errorf("declare queue %s: %w", name, err)
		}
		err = topology.OnChannel(ctx, s, func(ch *rabbitmq.Channel) error { return ch.QueueBind(ctx, name, "", bindings[name]) })
		if err != nil {
			return fmt.Errorf("bind queue %s: %w", name, err)
		}
	}
	if fresh && t.queueType == Quorum {
		return passBarrierOn(ctx, s)
	}
	return nil
}

// keep declares again what all tenants share when some of it was deleted, until ctx
// ends.
func (t *sharedTopology) keep(ctx context.Context) {
	failures := logger.Changes{Remind: time.Minute}
	for backoff.Sleep(ctx, checkSharedEvery) == nil {
		switch err := t.check(ctx); {
		case err == nil:
			failures.Recovered()
		case ctx.Err() == nil && failures.Failed(rabbitmq.Reason(err)):
			t.log.WarnContext(ctx, "what all tenants share cannot be made sure of", slog.Any("error", err))
		}
	}
}

// check binds once more what is bound already, which fails where the queue or the
// exchange is missing, and declares everything again then.
func (t *sharedTopology) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkSharedTimeout)
	defer cancel()
	session := t.control.Session()
	if session == nil {
		return nil // it begins with declaring everything
	}
	if err := t.client.Do(ctx, func(ch *rabbitmq.Channel) error { return makeExchanges(ctx, ch) }); err != nil {
		return err //nolint:wrapcheck // says what failed
	}
	err := t.client.Do(ctx, func(ch *rabbitmq.Channel) error {
		for name, exchange := range sharedBindings() {
			if err := ch.QueueBind(ctx, name, "", exchange); err != nil {
				return fmt.Errorf("bind queue %s: %w", name, err)
			}
		}
		return nil
	})
	if !rabbitmq.IsNotFound(err) {
		return err //nolint:wrapcheck // says what failed
	}
	t.log.WarnContext(ctx, "somebody deleted what all tenants share, declaring it again", slog.Any("error", err))
	return t.declare(ctx, session)
}
