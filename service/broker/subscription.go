package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/domain"
	"lanekeeper/pkg/rabbitmq"
)

const (
	// channelsPerConnection bounds how many tenants one lost connection hits.
	channelsPerConnection = 500
	// endTimeout is how long a closed subscription is waited for. Where the
	// broker has not answered the closing, it ends with its connection.
	endTimeout = time.Second
	// subscribeTimeout bounds a subscription, the probing included.
	subscribeTimeout = probeTimeout + 10*time.Second
)

// subscribers spreads subscriptions over connections. Run owns the goroutines
// of the connections; the lock guards the list and the counts only.
type subscribers struct {
	connect func(n int) *rabbitmq.Connection
	added   chan *rabbitmq.Connection

	mu   sync.Mutex
	load []*consumeConnection
}

type consumeConnection struct {
	connection *rabbitmq.Connection
	channels   int // guarded by subscribers.mu
}

func newSubscribers(connect func(n int) *rabbitmq.Connection) *subscribers {
	return &subscribers{connect: connect, added: make(chan *rabbitmq.Connection)}
}

// run runs the connections as they are added, until ctx ends.
func (s *subscribers) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case c := <-s.added:
			wg.Go(func() { c.Run(ctx) })
		case <-ctx.Done():
			return
		}
	}
}

// acquire returns a connection with room for one more channel.
func (s *subscribers) acquire(ctx context.Context) (*consumeConnection, error) {
	s.mu.Lock()
	for _, c := range s.load {
		if c.channels < channelsPerConnection {
			c.channels++
			s.mu.Unlock()
			return c, nil
		}
	}
	c := &consumeConnection{connection: s.connect(len(s.load) + 1), channels: 1}
	s.load = append(s.load, c)
	s.mu.Unlock()
	select {
	case s.added <- c.connection:
		return c, nil
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		s.remove(c)
		return nil, ctx.Err()
	}
}

// remove takes out a connection that never ran; the lock is held.
func (s *subscribers) remove(gone *consumeConnection) {
	for i, c := range s.load {
		if c == gone {
			s.load = append(s.load[:i], s.load[i+1:]...)
			return
		}
	}
}

func (s *subscribers) release(c *consumeConnection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.channels--
}

// Subscribe subscribes to the tenant's main queue; see domain.Subscriber.
func (b *Broker) Subscribe(ctx context.Context, tenantID uuid.UUID, tag string, prefetch int) (domain.Subscription, error) {
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	if err := b.prober.probe(ctx, tenantID, probeTimeout); err != nil {
		return nil, subscribeError(err)
	}
	c, err := b.subscribers.acquire(ctx)
	if err != nil {
		return nil, unavailable(fmt.Errorf("get connection: %w", err))
	}
	sub, err := subscribe(ctx, c.connection, QueueName(tenantID), tag, prefetch)
	if err != nil {
		b.subscribers.release(c)
		b.prober.doubt(tenantID)
		return nil, subscribeError(err)
	}
	sub.release = func() { b.subscribers.release(c) }
	go func() {
		<-sub.ended
		if sub.err != nil {
			b.prober.lost(tenantID)
		}
	}()
	return sub, nil
}

// subscribeError says in the domain's words why there is no subscription. A
// queue that is stuck is as good as none: it has to be made anew.
func subscribeError(err error) error {
	if rabbitmq.IsNotFound(err) || errors.Is(err, errStuck) {
		return domain.Wrap(err, domain.ErrNotFound, "queue_not_found", "The tenant's queue does not exist, or does not work.")
	}
	return unavailable(err)
}

func subscribe(ctx context.Context, c *rabbitmq.Connection, queue, tag string, prefetch int) (*subscription, error) {
	session, err := c.Await(ctx)
	if err != nil {
		return nil, err
	}
	ch, err := session.Channel(ctx)
	if err != nil {
		return nil, fmt.Errorf("open channel: %w", err)
	}
	deliveries, err := rabbitmq.Call(ctx, func() (<-chan amqp.Delivery, error) {
		if err := ch.Qos(prefetch, 0, false); err != nil {
			return nil, fmt.Errorf("set prefetch: %w", err)
		}
		in, err := ch.Consume(queue, tag, false, false, false, false, nil)
		if err != nil {
			return nil, fmt.Errorf("consume %s: %w", queue, err)
		}
		return in, nil
	}, nil)
	if err != nil {
		rabbitmq.CloseChannel(ctx, ch)
		return nil, err
	}
	s := &subscription{
		channel:   ch,
		failed:    ch.NotifyClose(make(chan *amqp.Error, 1)),
		cancelled: ch.NotifyCancel(make(chan string, 1)),
		out:       make(chan domain.Delivery, prefetch),
		closing:   make(chan struct{}), ended: make(chan struct{}),
	}
	go s.pump(deliveries)
	return s, nil
}

// subscription is one consumer on a channel of its own. Its pump goroutine
// moves deliveries from the library to a channel that is buffered as large as
// the prefetch: reading the library's channel directly makes batches of one.
// Only the pump closes that channel.
type subscription struct {
	channel   *amqp.Channel
	failed    chan *amqp.Error
	cancelled chan string
	out       chan domain.Delivery
	closing   chan struct{}
	ended     chan struct{}
	err       error // written by the pump before ended is closed
	once      sync.Once
	release   func()
}

func (s *subscription) pump(in <-chan amqp.Delivery) {
	defer close(s.ended)
	defer close(s.out)
	defer func() { s.err = s.reason() }()
	for d := range in { // always ranged to its end, as the library asks
		select {
		case s.out <- delivery(d):
		case <-s.closing:
		}
	}
}

// reason tells why the library's channel ended.
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

// Deliveries implements domain.Subscription.
func (s *subscription) Deliveries() <-chan domain.Delivery { return s.out }

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
		rabbitmq.CloseChannel(context.Background(), s.channel)
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
	published := d.Timestamp
	if ms, ok := d.Headers[HeaderPublished].(int64); ok {
		published = time.UnixMilli(ms)
	}
	return domain.Delivery{
		Tag: d.DeliveryTag, MessageID: d.MessageId, Body: d.Body, Headers: d.Headers,
		Redelivered: d.Redelivered, Published: published, Attempt: attempt(d.Headers),
	}
}

// attempt reads how often a message was transmitted. Whoever may publish to
// the queue may have written anything there.
func attempt(headers amqp.Table) int {
	return count(headers[HeaderAttempt])
}
