package broker

import (
	"context"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/pkg/rabbitmq"
)

// lookTimeout bounds a look for who has all the time in the world, as a doctor
// has; nobody else waits as long.
const lookTimeout = 20 * time.Second

// look tells by a passive declare whether there is a queue with this name,
// whether it works or not, and how many messages are ready in it and how many
// consumers it has, whoever they belong to, those included that wait to become
// the active one. A queue that is not there has none of both.
func (b *Broker) look(ctx context.Context, name string) (q amqp.Queue, there bool, err error) {
	return look(ctx, func(ctx context.Context, work func(*rabbitmq.Channel) error) error {
		return b.pool.ask(ctx, name, func(begin func() func()) error {
			return b.topology(ctx, func(ch *rabbitmq.Channel) error {
				answered := begin()
				err := work(ch)
				if ctx.Err() == nil {
					answered()
					return err
				}
				go func() { // ends with the session at the latest
					<-ch.Done()
					answered()
				}()
				ch.Close() // when it was answered
				return err
			})
		})
	}, name)
}

// lookOn is look on this session.
func lookOn(ctx context.Context, s *rabbitmq.Session, name string) (q amqp.Queue, there bool, err error) {
	run := func(ctx context.Context, work func(*rabbitmq.Channel) error) error { return onChannel(ctx, s, work) }
	return look(ctx, run, name)
}

// look needs a channel from run that nobody else uses: where there is no such
// queue, the broker closes it.
func look(ctx context.Context, run func(context.Context, func(*rabbitmq.Channel) error) error, name string) (amqp.Queue, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
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
