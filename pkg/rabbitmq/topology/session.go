package topology

import (
	"context"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/pkg/rabbitmq"
)

// OnChannel runs work on a channel of the session that is made for it.
func OnChannel(ctx context.Context, s *rabbitmq.Session, work func(*rabbitmq.Channel) error) error {
	ch, err := s.Channel(ctx)
	if err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	defer ch.Close()
	return work(ch)
}

// InspectOn is Client.Inspect on this session.
func InspectOn(ctx context.Context, s *rabbitmq.Session, name string) (q amqp.Queue, exists bool, err error) {
	run := func(ctx context.Context, work func(*rabbitmq.Channel) error) error { return OnChannel(ctx, s, work) }
	return inspect(ctx, run, name)
}

// inspect needs a channel from run that nobody else uses: where there is no such
// queue, the broker closes it.
func inspect(ctx context.Context, run func(context.Context, func(*rabbitmq.Channel) error) error, name string) (amqp.Queue, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	var found amqp.Queue
	err := run(ctx, func(ch *rabbitmq.Channel) (err error) {
		found, err = ch.QueueDeclarePassive(ctx, name)
		return err
	})
	switch {
	case rabbitmq.IsNotFound(err):
		return amqp.Queue{}, false, nil
	case err != nil:
		return amqp.Queue{}, false, fmt.Errorf("inspect queue %s: %w", name, err)
	}
	return found, true, nil
}
