package fault

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"

	"lanekeeper/tests/chaos/env"
)

// loadConnections, loadWindow and loadSize say how large the load is: connections,
// unconfirmed messages on each of them, bytes of a message.
const (
	loadConnections = 2
	loadWindow      = 512
	loadSize        = 2 << 10
)

// BrokerLoad keeps the broker busy with queues that are not the service's, in a
// virtual host of their own on the same node.
type BrokerLoad struct {
	env   *env.Env
	vhost string
	begun time.Time
	end   context.CancelFunc
	work  errgroup.Group
	sent  atomic.Int64
}

// StartBrokerLoad starts the load. Call Stop at the end.
func StartBrokerLoad(ctx context.Context, e *env.Env) (*BrokerLoad, error) {
	l := &BrokerLoad{env: e, vhost: e.Name + "_load"}
	address, err := e.Servers.VirtualHost(ctx, l.vhost)
	if err != nil {
		return nil, err
	}
	ctx, l.end = context.WithCancel(ctx)
	l.begun = time.Now()
	for i := range loadConnections {
		l.work.Go(func() error { return l.publish(ctx, address, fmt.Sprintf("load_%d", i)) })
	}
	return l, nil
}

// publish publishes to a quorum queue that keeps only the newest messages, until
// ctx ends.
func (l *BrokerLoad) publish(ctx context.Context, address, queue string) error {
	conn, err := amqp.Dial(address)
	if err != nil {
		return fmt.Errorf("connect to the broker: %w", err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	arguments := amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum, amqp.QueueMaxLenArg: 2 * loadWindow}
	if _, err := ch.QueueDeclare(queue, true, false, false, false, arguments); err != nil {
		return fmt.Errorf("declare a queue: %w", err)
	}
	if err := ch.Confirm(false); err != nil {
		return fmt.Errorf("ask for confirms: %w", err)
	}
	confirms := make(chan *amqp.DeferredConfirmation, loadWindow)
	var wait errgroup.Group
	wait.Go(func() error {
		for c := range confirms {
			if c.Wait() {
				l.sent.Add(1)
			}
		}
		return nil
	})
	body := make([]byte, loadSize)
	for ctx.Err() == nil && err == nil {
		var c *amqp.DeferredConfirmation
		c, err = ch.PublishWithDeferredConfirmWithContext(ctx, "", queue, false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body})
		if err == nil {
			confirms <- c
		}
	}
	close(confirms)
	waitErr := wait.Wait()
	if ctx.Err() != nil {
		return waitErr
	}
	return errors.Join(err, waitErr)
}

// Stop ends the load and returns how many messages a second were confirmed.
func (l *BrokerLoad) Stop(ctx context.Context) (rate float64, err error) {
	rate = float64(l.sent.Load()) / time.Since(l.begun).Seconds()
	l.end()
	return rate, errors.Join(l.work.Wait(), l.env.Servers.DropVirtualHost(ctx, l.vhost))
}
