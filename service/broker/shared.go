package broker

import (
	"context"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/pkg/rabbitmq"
)

// declareExchanges declares the exchanges that all tenants share. Every
// session that publishes begins with it: publishing to an exchange that does
// not exist would close the channel for everybody on it.
func declareExchanges(ctx context.Context, s *rabbitmq.Session) error {
	return onChannel(ctx, s, func(ch *amqp.Channel) error {
		for _, e := range sharedExchanges() {
			if err := ch.ExchangeDeclare(e.name, e.kind, true, false, false, false, e.arguments); err != nil {
				return fmt.Errorf("declare exchange %s: %w", e.name, err)
			}
		}
		return nil
	})
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

// declareShared declares everything that all tenants share, on the control
// connection. A queue that exists with other arguments is used as it is.
func (b *Broker) declareShared(ctx context.Context, s *rabbitmq.Session) error {
	if err := declareExchanges(ctx, s); err != nil {
		return err
	}
	queues := map[string]amqp.Table{OrphanQueue: orphanArguments(b.options.QueueType)}
	bindings := map[string]string{OrphanQueue: UnroutedExchange}
	for _, t := range retryTiers() {
		queues[t.name] = tierArguments(b.options.QueueType, t.wait)
		bindings[t.name] = t.name
	}
	fresh := false
	for name, arguments := range queues {
		_, there, err := lookOn(ctx, s, name)
		if err != nil {
			return err
		}
		fresh = fresh || !there
		err = onChannel(ctx, s, func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(name, true, false, false, false, arguments)
			return err
		})
		if err != nil && !rabbitmq.IsPreconditionFailed(err) {
			return fmt.Errorf("declare queue %s: %w", name, err)
		}
		err = onChannel(ctx, s, func(ch *amqp.Channel) error { return ch.QueueBind(name, "", bindings[name], false, nil) })
		if err != nil {
			return fmt.Errorf("bind queue %s: %w", name, err)
		}
	}
	if fresh && b.options.QueueType == Quorum {
		return sealSession(ctx, s)
	}
	return nil
}
