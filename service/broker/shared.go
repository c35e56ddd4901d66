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
	// still exists. No dead letter gets on without it, so it is about as long as
	// the pauses between the attempts to publish one grow.
	checkSharedEvery   = 5 * time.Second
	checkSharedTimeout = 10 * time.Second
)

// sharedTopology keeps the exchange that all tenants share. It is safe for
// concurrent use.
type sharedTopology struct {
	client  *topology.Client
	control *rabbitmq.Connection
	log     *slog.Logger
}

// declareShared declares the exchange that all tenants share. Every session that
// publishes begins with it: publishing to an exchange that does not exist would
// close the channel for everybody on it.
func declareShared(ctx context.Context, s *rabbitmq.Session) error {
	return topology.OnChannel(ctx, s, func(ch *rabbitmq.Channel) error { return makeShared(ctx, ch) })
}

func makeShared(ctx context.Context, ch *rabbitmq.Channel) error {
	if err := ch.ExchangeDeclare(ctx, DeadExchange, amqp.ExchangeDirect, nil); err != nil {
		return fmt.Errorf("declare exchange %s: %w", DeadExchange, err)
	}
	return nil
}

// keep declares again what all tenants share when it was deleted, until ctx ends.
// The dead-letter queues are bound again by whoever checks them.
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

func (t *sharedTopology) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkSharedTimeout)
	defer cancel()
	if t.control.Session() == nil {
		return nil // it begins with declaring everything
	}
	return t.client.Do(ctx, func(ch *rabbitmq.Channel) error { return makeShared(ctx, ch) }) //nolint:wrapcheck // says what failed
}
