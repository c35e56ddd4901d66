package topology

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/pkg/rabbitmq/quota"
)

// inspectTimeout bounds an inspection for a caller whose context ends later.
const inspectTimeout = 20 * time.Second

// Options configure a Client.
type Options struct {
	// Control is the connection for everything but changes of queues. Somebody
	// else runs it.
	Control *rabbitmq.Connection
	// Open opens a session for changes of queues.
	Open  func(context.Context) (*rabbitmq.Session, error)
	Quota *quota.Quota
	Log   *slog.Logger
}

// Client works on the queues and exchanges of a broker. It is safe for concurrent
// use. While the broker is away its errors are rabbitmq.ErrClosed.
type Client struct {
	control   *rabbitmq.Connection
	channels  *channelPool
	questions *questions
	changes   *exclusiveSessions
	log       *slog.Logger
}

// New returns a Client. Its calls work while Control is connected, also before
// Run.
func New(o Options) *Client {
	return &Client{
		control: o.Control, channels: newChannelPool(o.Quota), questions: newQuestions(),
		changes: newExclusiveSessions(o.Open, o.Quota), log: o.Log,
	}
}

// Run closes connections that nobody uses until ctx ends, and then all of them.
// Call it once.
func (c *Client) Run(ctx context.Context) { c.changes.run(ctx) }

// Inspect reports by a passive declare whether there is a queue with this name,
// whether it works or not, and how many messages are ready in it and how many
// consumers it has, those of other processes and those that wait to become the
// active one included. A queue that does not exist has neither.
func (c *Client) Inspect(ctx context.Context, name string) (q amqp.Queue, exists bool, err error) {
	return inspect(ctx, func(ctx context.Context, work func(*rabbitmq.Channel) error) error {
		return c.questions.ask(ctx, name, func(begin func() func()) error {
			return c.Do(ctx, func(ch *rabbitmq.Channel) error {
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

// Bind binds a queue to an exchange; binding again changes nothing.
func (c *Client) Bind(ctx context.Context, queue, key, exchange string) error {
	err := c.Do(ctx, func(ch *rabbitmq.Channel) error { return ch.QueueBind(ctx, queue, key, exchange) })
	if err != nil {
		return fmt.Errorf("bind queue %s: %w", queue, err)
	}
	return nil
}

// Declare declares a durable queue, and reports whether it exists with other
// arguments. The broker gives the same answer to that and to a queue for which
// there is no room, or whose arguments it does not like; an inspection tells them
// apart, and the error is a rabbitmq.ErrLimitReached then.
func (c *Client) Declare(ctx context.Context, name string, arguments amqp.Table) (differs bool, err error) {
	err = c.declare(ctx, name, arguments)
	if !rabbitmq.IsPreconditionFailed(err) {
		return false, err
	}
	switch _, exists, inspectErr := c.Inspect(ctx, name); {
	case inspectErr != nil:
		return false, inspectErr
	case !exists:
		return false, rabbitmq.LimitReached(err)
	}
	return true, nil
}

// DeclareNew declares a durable queue with a name that was never used.
func (c *Client) DeclareNew(ctx context.Context, name string, arguments amqp.Table) error {
	err := c.declare(ctx, name, arguments)
	if rabbitmq.IsPreconditionFailed(err) {
		err = rabbitmq.LimitReached(err)
	}
	return err
}

func (c *Client) declare(ctx context.Context, name string, arguments amqp.Table) error {
	err := c.change(ctx, func(ch *rabbitmq.Channel) error { return ch.QueueDeclare(ctx, name, arguments) })
	if err != nil {
		return fmt.Errorf("declare queue %s: %w", name, err)
	}
	return nil
}

// Purge removes all messages that are ready and returns how many there were.
// RabbitMQ answers rabbitmq.IsInternalError when the queue's leader does not
// answer it within 30 s, or is not running at the moment; the messages may be
// gone then, or not.
func (c *Client) Purge(ctx context.Context, name string) (int64, error) {
	var purged int
	err := c.change(ctx, func(ch *rabbitmq.Channel) (err error) {
		purged, err = ch.QueuePurge(ctx, name)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("purge queue %s: %w", name, err)
	}
	return int64(purged), nil
}

// Delete deletes a queue and returns how many ready messages the broker says went
// with it. A queue that does not exist is no error for the broker: that it is not
// found means here that the node it is on is down, and that it will come back
// with that.
func (c *Client) Delete(ctx context.Context, name string) (int64, error) {
	var dropped int
	err := c.change(ctx, func(ch *rabbitmq.Channel) (err error) {
		dropped, err = ch.QueueDelete(ctx, name)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("delete queue %s: %w", name, err)
	}
	return int64(dropped), nil
}

// DeleteExchange deletes an exchange with its bindings. One that does not exist is
// no error.
func (c *Client) DeleteExchange(ctx context.Context, name string) error {
	err := c.Do(ctx, func(ch *rabbitmq.Channel) error { return ch.ExchangeDelete(ctx, name) })
	if err != nil {
		return fmt.Errorf("delete exchange %s: %w", name, err)
	}
	return nil
}

// Do runs work on a channel of the control connection that nobody else uses
// meanwhile: an error of the broker closes the channel. After success the channel
// is kept for the next call.
func (c *Client) Do(ctx context.Context, work func(*rabbitmq.Channel) error) error {
	session := c.control.Session()
	if session == nil {
		return rabbitmq.ErrClosed
	}
	return c.channels.do(ctx, session, work)
}

// change runs work that declares, purges or deletes a queue. Where the broker
// allows no connection for that, which must not prevent a deletion, it uses the
// control connection.
func (c *Client) change(ctx context.Context, work func(*rabbitmq.Channel) error) error {
	if c.control.Session() == nil {
		return rabbitmq.ErrClosed
	}
	err := c.changes.do(ctx, work)
	if !errors.Is(err, errNoConnection) {
		return err
	}
	c.log.DebugContext(ctx, "no connection for a change, using the one that all use", slog.Any("error", err))
	return c.Do(ctx, work)
}
