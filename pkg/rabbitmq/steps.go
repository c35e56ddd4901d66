package rabbitmq

import (
	"context"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Qos has the broker deliver so many messages at a time.
func (c *Channel) Qos(ctx context.Context, prefetch int) error {
	return c.do(ctx, func() error { return c.raw.Qos(prefetch, 0, false) })
}

// Consume begins to consume the queue. The deliveries have to be read until
// they end.
func (c *Channel) Consume(ctx context.Context, queue, tag string, autoAck bool) (<-chan amqp.Delivery, error) {
	return step(ctx, c, func() (<-chan amqp.Delivery, error) {
		return c.raw.Consume(queue, tag, autoAck, false, false, false, nil)
	})
}

// Confirm has the broker confirm what is published.
func (c *Channel) Confirm(ctx context.Context) error {
	return c.do(ctx, func() error { return c.raw.Confirm(false) })
}

// ExchangeDeclare declares a durable exchange.
func (c *Channel) ExchangeDeclare(ctx context.Context, name, kind string, arguments amqp.Table) error {
	return c.do(ctx, func() error { return c.raw.ExchangeDeclare(name, kind, true, false, false, false, arguments) })
}

// ExchangeDelete deletes an exchange and its bindings. One that is not there is no
// error.
func (c *Channel) ExchangeDelete(ctx context.Context, name string) error {
	return c.do(ctx, func() error { return c.raw.ExchangeDelete(name, false, false) })
}

// QueueDeclare declares a durable queue.
func (c *Channel) QueueDeclare(ctx context.Context, name string, arguments amqp.Table) error {
	return c.do(ctx, func() error {
		_, err := c.raw.QueueDeclare(name, true, false, false, false, arguments)
		return err
	})
}

// QueueDeclarePassive returns what the broker says of a queue that exists.
func (c *Channel) QueueDeclarePassive(ctx context.Context, name string) (amqp.Queue, error) {
	return step(ctx, c, func() (amqp.Queue, error) {
		return c.raw.QueueDeclarePassive(name, true, false, false, false, nil)
	})
}

// QueueBind binds a queue to an exchange.
func (c *Channel) QueueBind(ctx context.Context, name, key, exchange string) error {
	return c.do(ctx, func() error { return c.raw.QueueBind(name, key, exchange, false, nil) })
}

// QueuePurge drops what is ready in the queue, and returns how much that was.
func (c *Channel) QueuePurge(ctx context.Context, name string) (int, error) {
	return step(ctx, c, func() (int, error) { return c.raw.QueuePurge(name, false) })
}

// QueueDelete deletes the queue and returns how many messages the broker says
// were in it.
func (c *Channel) QueueDelete(ctx context.Context, name string) (int, error) {
	return step(ctx, c, func() (int, error) { return c.raw.QueueDelete(name, false, false, false) })
}

func (c *Channel) do(ctx context.Context, operation func() error) error {
	_, err := step(ctx, c, func() (struct{}, error) { return struct{}{}, operation() })
	return err
}

// Publish writes a message, mandatory, on a channel that confirms. It is
// bounded by the write deadline of the connection, and for the channel's
// owner only.
func (c *Channel) Publish(exchange, key string, message *amqp.Publishing) (*amqp.DeferredConfirmation, error) {
	if c.IsClosed() {
		return nil, ErrClosed
	}
	return c.raw.PublishWithDeferredConfirm(exchange, key, true, false, *message)
}

// Ack acknowledges a delivery, or all up to that one. It waits for no answer,
// and is for the channel's owner only.
func (c *Channel) Ack(tag uint64, multiple bool) error {
	if c.IsClosed() {
		return ErrClosed
	}
	return c.raw.Ack(tag, multiple)
}

// NotifyClose returns what receives the reason when the broker or the
// connection ends the channel, and is closed then.
func (c *Channel) NotifyClose() <-chan *amqp.Error {
	return c.raw.NotifyClose(make(chan *amqp.Error, 1))
}

// NotifyCancel returns what receives the tag of a consumer that the broker
// cancels.
func (c *Channel) NotifyCancel() <-chan string { return c.raw.NotifyCancel(make(chan string, 1)) }

// NotifyReturn returns what receives returned messages, as many as room
// without being read.
func (c *Channel) NotifyReturn(room int) <-chan amqp.Return {
	return c.raw.NotifyReturn(make(chan amqp.Return, room))
}
