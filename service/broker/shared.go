package broker

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/pkg/rabbitmq"
)

// declareExchanges declares the exchanges that all tenants share. Every
// session that publishes begins with it: publishing to an exchange that does
// not exist would close the channel for everybody on it.
func declareExchanges(ctx context.Context, s *rabbitmq.Session) error {
	return onChannel(ctx, s, func(ch *rabbitmq.Channel) error { return makeExchanges(ctx, ch) })
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

// declareShared declares everything that all tenants share, on the control
// connection. A queue that exists with other arguments is used as it is.
func (b *Broker) declareShared(ctx context.Context, s *rabbitmq.Session) error {
	if err := declareExchanges(ctx, s); err != nil {
		return err
	}
	queues := map[string]amqp.Table{OrphanQueue: orphanArguments(b.options.QueueType)}
	for _, t := range retryTiers() {
		queues[t.name] = tierArguments(b.options.QueueType, t.wait)
	}
	bindings := sharedBindings()
	fresh := false
	for name, arguments := range queues {
		_, there, err := lookOn(ctx, s, name)
		if err != nil {
			return err
		}
		fresh = fresh || !there
		err = onChannel(ctx, s, func(ch *rabbitmq.Channel) error { return ch.QueueDeclare(ctx, name, arguments) })
		if rabbitmq.IsPreconditionFailed(err) {
			// It exists with other arguments, or there is no room for it.
			if _, there, lookErr := lookOn(ctx, s, name); there || lookErr != nil {
				err = lookErr
			}
		}
		if err != nil {
			return fmt.Errorf("declare queue %s: %w", name, err)
		}
		err = onChannel(ctx, s, func(ch *rabbitmq.Channel) error { return ch.QueueBind(ctx, name, "", bindings[name]) })
		if err != nil {
			return fmt.Errorf("bind queue %s: %w", name, err)
		}
	}
	if fresh && b.options.QueueType == Quorum {
		return sealSession(ctx, s)
	}
	return nil
}

const (
	// mendEvery is how often it is made sure that what all tenants share is
	// still there. Nobody gets on with a message for a tier that is not, so it
	// is about as long as the pauses between its attempts grow.
	mendEvery   = 5 * time.Second
	mendTimeout = 10 * time.Second
)

// keepShared declares again what all tenants share when somebody has deleted
// some of it, until ctx ends.
func (b *Broker) keepShared(ctx context.Context) {
	tick := time.NewTicker(mendEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := b.mendShared(ctx); err != nil && ctx.Err() == nil {
			b.options.Log.WarnContext(ctx, "what all tenants share cannot be made sure of", slog.Any("error", err))
		}
	}
}

// mendShared looks by binding once more what is bound already, which fails
// where one of both is missing.
func (b *Broker) mendShared(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, mendTimeout)
	defer cancel()
	session := b.control.Session()
	if session == nil {
		return nil // it begins with declaring everything
	}
	if err := b.topology(ctx, func(ch *rabbitmq.Channel) error { return makeExchanges(ctx, ch) }); err != nil {
		return err
	}
	err := b.topology(ctx, func(ch *rabbitmq.Channel) error {
		for name, exchange := range sharedBindings() {
			if err := ch.QueueBind(ctx, name, "", exchange); err != nil {
				return fmt.Errorf("bind queue %s: %w", name, err)
			}
		}
		return nil
	})
	if !rabbitmq.IsNotFound(err) {
		return err
	}
	b.options.Log.WarnContext(ctx, "somebody deleted what all tenants share, declaring it again", slog.Any("error", err))
	return b.declareShared(ctx, session)
}
