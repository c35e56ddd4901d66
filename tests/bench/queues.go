package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"

	"lanekeeper/service/broker"
)

const (
	publishConnections    = 2
	channelsPerConnection = 500
	prefetch              = 256
	ackEvery              = 100
	brokerTimeout         = 30 * time.Second
)

var errBroker = errors.New("the broker did not take a message")

// queues are queues like those of tenants, with the same arguments, that the
// service knows nothing of. What goes through them is the broker's ceiling.
// One goroutine uses it at a time.
type queues struct {
	url      string
	topology *broker.Broker
	stop     func()

	ids         []uuid.UUID
	names       []string
	connections []*amqp.Connection
	consumers   []queueConsumer
	publishers  []*publisher
}

type queueConsumer struct {
	channel    *amqp.Channel
	deliveries <-chan amqp.Delivery
}

// newQueues returns no queues yet.
func newQueues(ctx context.Context, url string) (*queues, error) {
	b := broker.New(broker.Options{
		URLs: []string{url}, Replica: "bench", PublishChannels: 1, Log: slog.New(slog.DiscardHandler),
		QueueType: broker.Quorum, DeadLetterQueueType: broker.Classic,
	})
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.Run(runCtx)
	}()
	q := &queues{url: url, topology: b, stop: func() { cancel(); <-ended }}
	ctx, cancelWait := context.WithTimeout(ctx, brokerTimeout)
	defer cancelWait()
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for b.State() != broker.Ready {
		select {
		case <-tick.C:
		case <-ctx.Done():
			q.stop()
			return nil, fmt.Errorf("wait for the broker: %w", ctx.Err())
		}
	}
	return q, nil
}

// open makes n queues, with a consumer on each, and two publishers.
func (q *queues) open(ctx context.Context, n int) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(administrators)
	for range n {
		id := uuid.New()
		q.ids, q.names = append(q.ids, id), append(q.names, broker.QueueName(id))
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(groupCtx, brokerTimeout)
			defer cancel()
			return q.topology.DeclareQueues(ctx, id)
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("declare queues: %w", err)
	}
	for i, name := range q.names {
		if i%channelsPerConnection == 0 {
			if _, err := q.connect(); err != nil {
				return err
			}
		}
		if err := q.consume(q.connections[len(q.connections)-1], name); err != nil {
			return err
		}
	}
	for range publishConnections {
		connection, err := q.connect()
		if err != nil {
			return err
		}
		p, err := newPublisher(connection)
		if err != nil {
			return err
		}
		q.publishers = append(q.publishers, p)
	}
	return nil
}

func (q *queues) connect() (*amqp.Connection, error) {
	connection, err := amqp.Dial(q.url)
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	q.connections = append(q.connections, connection)
	return connection, nil
}

func (q *queues) consume(connection *amqp.Connection, name string) error {
	channel, err := connection.Channel()
	if err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	if err := channel.Qos(prefetch, 0, false); err != nil {
		return fmt.Errorf("set prefetch: %w", err)
	}
	deliveries, err := channel.Consume(name, "bench-"+name, false, false, false, false, nil)
	if err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	q.consumers = append(q.consumers, queueConsumer{channel, deliveries})
	return nil
}

// flow moves messages through the queues as fast as it goes with so many of them
// unconfirmed, and returns when the last was acknowledged.
func (q *queues) flow(ctx context.Context, messages, unconfirmed int) error {
	group, ctx := errgroup.WithContext(ctx)
	for i, c := range q.consumers {
		group.Go(func() error { return c.take(ctx, share(messages, len(q.consumers), i)) })
	}
	for i, p := range q.publishers {
		group.Go(func() error {
			return p.send(ctx, share(messages, len(q.publishers), i), max(1, share(unconfirmed, len(q.publishers), i)), func(k int) string {
				return q.names[(i+k*len(q.publishers))%len(q.names)]
			})
		})
	}
	return group.Wait() //nolint:wrapcheck // one of ours
}

// share is how many of total fall to the one of n that is at index i.
func share(total, n, i int) int {
	if i < total%n {
		return total/n + 1
	}
	return total / n
}

// take takes so many deliveries, and acknowledges a hundred at a time.
func (c queueConsumer) take(ctx context.Context, count int) error {
	for n := 1; n <= count; n++ {
		select {
		case d, ok := <-c.deliveries:
			if !ok {
				return fmt.Errorf("consume: %w", amqp.ErrClosed)
			}
			if n%ackEvery != 0 && n != count {
				continue
			}
			if err := c.channel.Ack(d.DeliveryTag, true); err != nil {
				return fmt.Errorf("acknowledge: %w", err)
			}
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // nothing to add
		}
	}
	return nil
}

// close deletes the queues.
func (q *queues) close(ctx context.Context) error {
	var errs []error
	for _, connection := range q.connections {
		errs = append(errs, connection.Close())
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(administrators)
	for _, id := range q.ids {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(groupCtx, brokerTimeout)
			defer cancel()
			_, err := q.topology.DeleteQueues(ctx, id)
			return err //nolint:wrapcheck // says what it did
		})
	}
	errs = append(errs, group.Wait())
	q.ids, q.names, q.connections, q.consumers, q.publishers = nil, nil, nil, nil, nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove queues: %w", err)
	}
	return nil
}

// end deletes what is left, and ends.
func (q *queues) end(ctx context.Context) error {
	defer q.stop()
	return q.close(ctx)
}
