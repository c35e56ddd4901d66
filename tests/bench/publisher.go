package main

import (
	"context"
	"fmt"
	"sync/atomic"

	amqp "github.com/rabbitmq/amqp091-go"
)

// inFlight is how many publications of a channel may be unconfirmed at most.
const inFlight = 256

// publisher publishes on one channel in confirm mode, in the same way as the
// service: persistent, mandatory. It is safe for concurrent use.
type publisher struct {
	channel  *amqp.Channel
	body     []byte
	returned atomic.Int64
}

func newPublisher(connection *amqp.Connection) (*publisher, error) {
	channel, err := connection.Channel()
	if err != nil {
		return nil, fmt.Errorf("open channel: %w", err)
	}
	if err := channel.Confirm(false); err != nil {
		return nil, fmt.Errorf("set confirm mode: %w", err)
	}
	p := &publisher{channel: channel, body: payload()}
	returns := channel.NotifyReturn(make(chan amqp.Return, inFlight))
	go func() { // ends when the connection is closed
		for range returns {
			p.returned.Add(1)
		}
	}()
	return p, nil
}

// send publishes count messages to the queues that name names, so many of them
// unconfirmed at a time, and returns when all are confirmed.
func (p *publisher) send(ctx context.Context, count, unconfirmed int, name func(int) string) error {
	window := make([]*amqp.DeferredConfirmation, min(count, unconfirmed))
	for k := range count + len(window) {
		slot := &window[k%len(window)]
		if *slot != nil {
			if err := p.confirmed(ctx, *slot); err != nil {
				return err
			}
		}
		if k >= count {
			continue
		}
		var err error
		if *slot, err = p.publish(name(k)); err != nil {
			return err
		}
	}
	return nil
}

func (p *publisher) publish(queue string) (*amqp.DeferredConfirmation, error) {
	confirm, err := p.channel.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{
		DeliveryMode: amqp.Persistent, ContentType: "application/json", Body: p.body,
	})
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	return confirm, nil
}

func (p *publisher) confirmed(ctx context.Context, confirm *amqp.DeferredConfirmation) error {
	acked, err := confirm.WaitContext(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("wait for the confirm: %w", err)
	case !acked:
		return fmt.Errorf("%w: refused", errBroker)
	case p.returned.Load() > 0:
		return fmt.Errorf("%w: returned", errBroker)
	}
	return nil
}
