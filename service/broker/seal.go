package broker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/pkg/rabbitmq"
)

// RabbitMQ keeps a table of its quorum queues in which it writes the newest
// name only when it looks for another one, or when nothing was done there for
// half a second. Killed before, it comes back with that queue in its list and
// without what was in it, confirmed or not (seen with 3.10.8 and 4.0.5: always
// the queue declared last, up to 0.8 s after it was declared). So a queue is
// sealed before anybody may publish to it: declaring another one makes the
// broker look for a name.

const (
	// sealPrefix begins the names of the queues that are declared for that.
	// Each is another one, for a name that is known is looked up in memory.
	sealPrefix = "lanekeeper.seal."
	// sealExpires is after how many milliseconds the broker removes one that
	// we could not delete.
	sealExpires = 60_000
	sealTimeout = 5 * time.Second
)

// sealer lets calls at the same time share one sealing. A call is served by a
// sealing that begins after it.
type sealer struct {
	turn chan struct{} // holds one token while a sealing is under way

	mu   sync.Mutex
	next *sealing // that who comes now can share; nil when there is none
	// left are queues of earlier sealings that could not be deleted; of
	// whoever has the turn.
	left []string
}

// sealing is one that has not begun, or whose sharers wait.
type sealing struct {
	ended chan struct{}
	err   error // written before ended is closed
}

func newSealer() *sealer { return &sealer{turn: make(chan struct{}, 1)} }

// share runs work, or waits for somebody else's that begins after this call.
func (s *sealer) share(ctx context.Context, work func(context.Context) error) error {
	s.mu.Lock()
	mine := s.next
	leads := mine == nil
	if leads {
		mine = &sealing{ended: make(chan struct{})}
		s.next = mine
	}
	s.mu.Unlock()
	if leads {
		// Sealings are bounded, and so is the wait for the one before. It does
		// not end with ctx: others count on this one.
		s.turn <- struct{}{}
		s.mu.Lock()
		s.next = nil
		s.mu.Unlock()
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), sealTimeout)
		mine.err = work(limited)
		cancel()
		<-s.turn
		close(mine.ended)
	}
	select {
	case <-mine.ended:
		return mine.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// seal makes sure that the queues declared so far outlive a broker that is
// killed.
func (b *Broker) seal(ctx context.Context) error {
	return b.sealer.share(ctx, func(ctx context.Context) error {
		var name string
		err := b.change(ctx, func(ch *rabbitmq.Channel) (err error) {
			name, err = declareSeal(ctx, ch)
			return err
		})
		if rabbitmq.IsPreconditionFailed(err) {
			err = noRoom(err) // nobody has declared it before
		}
		if err != nil {
			return fmt.Errorf("seal queues: %w", err)
		}
		b.deleteSeals(ctx, name)
		return nil
	})
}

// deleteSeals deletes what was declared to seal. What cannot be deleted is
// tried again by the next.
func (b *Broker) deleteSeals(ctx context.Context, fresh string) {
	var left []string
	for _, name := range append(b.sealer.left, fresh) {
		if _, err := b.drop(ctx, name); err != nil && !rabbitmq.IsNotFound(err) {
			b.options.Log.DebugContext(ctx, "queue of a sealing could not be deleted", slog.String("queue", name), slog.Any("error", err))
			left = append(left, name)
		}
	}
	b.sealer.left = left
}

// declareSeal declares a quorum queue with a name that was never used.
func declareSeal(ctx context.Context, ch *rabbitmq.Channel) (name string, err error) {
	name = sealPrefix + uuid.NewString()
	err = ch.QueueDeclare(ctx, name, amqp.Table{"x-queue-type": string(Quorum), "x-expires": int64(sealExpires)})
	if err != nil {
		return "", fmt.Errorf("declare queue %s: %w", name, err)
	}
	return name, nil
}

// sealSession is seal for a session that nobody else has yet.
func sealSession(ctx context.Context, s *rabbitmq.Session) error {
	return onChannel(ctx, s, func(ch *rabbitmq.Channel) error {
		name, err := declareSeal(ctx, ch)
		if err != nil {
			return err
		}
		if _, err := ch.QueueDelete(ctx, name); err != nil {
			return fmt.Errorf("delete queue %s: %w", name, err)
		}
		return nil
	})
}

// control makes a quorum queue, consumes and deletes it: what a broker can do
// whose queues work.
func control(ctx context.Context, s *rabbitmq.Session) error {
	return onChannel(ctx, s, func(ch *rabbitmq.Channel) error {
		name, err := declareSeal(ctx, ch)
		if err != nil {
			return err
		}
		deliveries, err := ch.Consume(ctx, name, "", true)
		if err != nil {
			return fmt.Errorf("consume %s: %w", name, err)
		}
		go discard(deliveries) // until the channel is closed, a moment later
		if _, err = ch.QueueDelete(ctx, name); err != nil {
			return fmt.Errorf("delete queue %s: %w", name, err)
		}
		return nil
	})
}
