package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgxpool"
	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"
)

const (
	makeChainSQL = `CREATE TABLE bench_chain (number int PRIMARY KEY, payload jsonb, created_at timestamptz NOT NULL DEFAULT now())`
	dropChainSQL = `DROP TABLE IF EXISTS bench_chain`
	insertSQL    = `INSERT INTO bench_chain (number, payload) VALUES ($1, $2)`
)

// bareChain is the least that a message has to go through to be stored:
// published, confirmed, consumed, inserted, committed. It uses n queues, each
// with a consumer that inserts one row at a time, and a table that is not
// partitioned.
func bareChain(ctx context.Context, b *bench, n int) (l latencies, err error) {
	if err := b.queues.open(ctx, n); err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, b.queues.close(context.WithoutCancel(ctx))) }()
	if err := execute(ctx, b, dropChainSQL, makeChainSQL); err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, execute(context.WithoutCancel(ctx), b, dropChainSQL)) }()
	config := b.tenants.db.Config()
	config.MaxConns = int32(n) //nolint:gosec // ten at most
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return l, fmt.Errorf("connect to the database: %w", err)
	}
	defer pool.Close()

	total := streamTotal(b)
	arrived := newArrivals(total)
	consuming, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var consumers errgroup.Group
	for i, c := range b.queues.consumers {
		consumers.Go(func() error {
			err := c.insert(consuming, pool, arrived, share(total, n, i))
			if err != nil {
				cancel(err)
			}
			return err
		})
	}
	l, err = openLoop(consuming, b.options.streamRate, total, func(ctx context.Context, jobs <-chan job) error {
		for j := range jobs {
			p := b.queues.publishers[j.number%len(b.queues.publishers)]
			confirm, err := p.publishNumbered(b.queues.names[j.number%n], j.number)
			if err != nil {
				return err
			}
			if err := p.confirmed(ctx, confirm); err != nil {
				return err
			}
			if err := arrived.await(ctx, j); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		cancel(err)
	}
	return l, errors.Join(err, consumers.Wait())
}

// insert takes so many deliveries, and stores each before it acknowledges it.
func (c queueConsumer) insert(ctx context.Context, pool *pgxpool.Pool, arrived *arrivals, count int) error {
	for range count {
		select {
		case d, ok := <-c.deliveries:
			if !ok {
				return fmt.Errorf("consume: %w", amqp.ErrClosed)
			}
			number, err := strconv.Atoi(d.MessageId)
			if err != nil {
				return fmt.Errorf("%w: message %q", errWrong, d.MessageId)
			}
			if _, err := pool.Exec(ctx, insertSQL, number, d.Body); err != nil {
				return fmt.Errorf("insert: %w", err)
			}
			if err := arrived.note(number); err != nil {
				return err
			}
			if err := c.channel.Ack(d.DeliveryTag, false); err != nil {
				return fmt.Errorf("acknowledge: %w", err)
			}
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // nothing to add
		}
	}
	return nil
}

// publishNumbered publishes a message that can be told from others.
func (p *publisher) publishNumbered(queue string, number int) (*amqp.DeferredConfirmation, error) {
	confirm, err := p.channel.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{
		DeliveryMode: amqp.Persistent, ContentType: "application/json", MessageId: strconv.Itoa(number),
		Body: []byte(numberedPayload(number)),
	})
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	return confirm, nil
}

// execute runs statements one after the other.
func execute(ctx context.Context, b *bench, statements ...string) error {
	for _, sql := range statements {
		if _, err := b.tenants.db.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}
