package broker

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/domain"
	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/pkg/rabbitmq/quota"
)

// endTimeout is how long a closed subscription is waited for. Where the
// broker has not answered the closing, it ends with its connection.
const endTimeout = time.Second

// subscription is one consumer on a channel of its own. It has no goroutine: who
// calls Each reads, or, where nobody has by then, Close does. The library's channel is
// not buffered, so Each hands on at once what it gets.
type subscription struct {
	channel   *rabbitmq.Channel
	in        <-chan amqp.Delivery
	failed    <-chan *amqp.Error
	cancelled <-chan string
	closing   chan struct{}
	ended     chan struct{}
	err       error // written by the reader before ended is closed
	once      sync.Once
	release   func()
	read      atomic.Bool // somebody reads
	// afterEnd is called after the subscription has ended. It is set before anybody has
	// the subscription, and nil for nothing.
	afterEnd func()
}

func subscribe(ctx context.Context, c *rabbitmq.Connection, use channelUse, slot *quota.Slot) (*subscription, error) {
	session, err := c.AwaitAllowed(ctx)
	if err != nil {
		return nil, err
	}
	ch, err := session.Channel(ctx)
	slot.Opened()
	if err != nil {
		return nil, fmt.Errorf("open channel: %w", err)
	}
	s := &subscription{
		channel:   ch,
		failed:    ch.NotifyClose(),
		cancelled: ch.NotifyCancel(),
		closing:   make(chan struct{}), ended: make(chan struct{}),
	}
	s.in, err = consume(ctx, ch, use.queue, use.tag, use.prefetch)
	if err != nil {
		ch.Close()
		return nil, err
	}
	return s, nil
}

func consume(ctx context.Context, ch *rabbitmq.Channel, queue, tag string, prefetch int) (<-chan amqp.Delivery, error) {
	if err := ch.Qos(ctx, prefetch); err != nil {
		return nil, fmt.Errorf("set prefetch: %w", err)
	}
	deliveries, err := ch.Consume(ctx, queue, tag, false)
	if err != nil {
		return nil, fmt.Errorf("consume %s: %w", queue, err)
	}
	return deliveries, nil
}

// Each implements domain.Subscription.
func (s *subscription) Each(deliver func(domain.Delivery)) {
	if s.read.Swap(true) {
		return // it was closed before anybody read
	}
	for d := range s.in { // always ranged to its end, as the library asks
		deliver(delivery(d))
	}
	s.err = s.reason()
	close(s.ended)
	if s.afterEnd != nil {
		s.afterEnd()
	}
}

// reason returns why the library's channel ended.
func (s *subscription) reason() error {
	select {
	case <-s.closing:
		return nil
	default:
	}
	select {
	case tag, ok := <-s.cancelled:
		if ok {
			return fmt.Errorf("consumer %s cancelled by the broker", tag)
		}
	default:
	}
	select {
	case err, ok := <-s.failed:
		if ok && err != nil {
			return fmt.Errorf("channel closed: %w", err)
		}
	default:
	}
	return rabbitmq.ErrClosed
}

// Done implements domain.Subscription.
func (s *subscription) Done() <-chan struct{} { return s.ended }

// Err implements domain.Subscription.
func (s *subscription) Err() error { return s.err }

// Ack implements domain.Subscription.
func (s *subscription) Ack(tag uint64, multiple bool) error {
	if err := s.channel.Ack(tag, multiple); err != nil {
		return fmt.Errorf("ack: %w", err)
	}
	return nil
}

// Close implements domain.Subscription. The channel is closed without
// cancelling first: a cancel would hand the queue to the next single active
// consumer while deliveries are still unacknowledged.
func (s *subscription) Close() error {
	s.once.Do(func() {
		close(s.closing)
		if !s.read.Load() {
			go s.Each(func(domain.Delivery) {}) // ends with the channel
		}
		s.channel.Close()
		s.release()
	})
	select {
	case <-s.ended:
		return nil
	case <-time.After(endTimeout):
		return fmt.Errorf("subscription did not end: %w", rabbitmq.ErrClosed)
	}
}

func delivery(d amqp.Delivery) domain.Delivery {
	published, here := d.Timestamp, time.Time{}
	// Through its exchange a tenant's own client publishes, which may claim anything.
	if ms, ok := d.Headers[HeaderPublished].(int64); ok && !isTenantExchange(d.Exchange) {
		here = time.UnixMilli(ms)
		published = here
	}
	for name, value := range d.Headers {
		if number, ok := value.(amqp.Decimal); ok {
			d.Headers[name] = decimalText(number) // a type of the library's
		}
	}
	return domain.Delivery{
		Tag: d.DeliveryTag, MessageID: d.MessageId, Type: d.Type, Body: d.Body, Encoding: d.ContentEncoding, Headers: d.Headers,
		Published: published, PublishedHere: here, Refusal: refusal(d.Headers),
	}
}

// refusal is for messages whose headers the library could not read.
func refusal(headers amqp.Table) domain.Refusal {
	if why := text(headers[rabbitmq.HeaderUnreadable]); why != "" {
		return domain.Refusal{Reason: domain.ReasonInvalidHeaders, Error: bounded(why)}
	}
	return domain.Refusal{}
}
