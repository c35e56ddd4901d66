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
	"lanekeeper/pkg/rabbitmq/topology"
)

const (
	// barrierPrefix begins the names of the queues that are declared as a barrier.
	// Each is another one, for a name that is known is looked up in memory.
	barrierPrefix = "lanekeeper.seal."
	// barrierExpires is after how many milliseconds the broker removes one that
	// we could not delete.
	barrierExpires = 60_000
	barrierTimeout = 5 * time.Second
)

// durabilityBarrier makes sure that queues which were declared outlive a broker
// that is killed.
//
// RabbitMQ keeps a table of its quorum queues in which it writes the newest
// name only when it looks for another one, or when nothing was done there for
// half a second. Killed before, it comes back with that queue in its list and
// without what was in it, confirmed or not (seen with 3.10.8 and 4.0.5: always
// the queue declared last, up to 0.8 s after it was declared). So before anybody
// may publish to a queue another one is declared behind it, which makes the broker
// look for a name.
//
// Calls at the same time share one barrier: a call is served by one that begins
// after it. Each runs on the goroutine of the first of its callers.
type durabilityBarrier struct {
	client *topology.Client
	log    *slog.Logger
	turn   chan struct{} // holds one token while a barrier is under way

	mu   sync.Mutex
	next *barrierRun // shared by the calls of this moment; nil when there is none
	// leftover are queues of earlier barriers that could not be deleted; they
	// belong to the barrier under way.
	leftover []string
}

// barrierRun is one barrier, from when its first caller waits for its turn.
type barrierRun struct {
	ended chan struct{}
	err   error // written before ended is closed
}

func newDurabilityBarrier(c *topology.Client, log *slog.Logger) *durabilityBarrier {
	return &durabilityBarrier{client: c, log: log, turn: make(chan struct{}, 1)}
}

// pass returns nil once all queues that were declared before this call outlive a
// broker that is killed.
func (b *durabilityBarrier) pass(ctx context.Context) error {
	return b.share(ctx, func(ctx context.Context) error {
		name, arguments := newBarrierQueue()
		if err := b.client.DeclareNew(ctx, name, arguments); err != nil {
			return fmt.Errorf("make queues durable: %w", err)
		}
		b.deleteQueues(ctx, name)
		return nil
	})
}

// share runs work, or waits for that of another call that begins after this one.
func (b *durabilityBarrier) share(ctx context.Context, work func(context.Context) error) error {
	b.mu.Lock()
	run := b.next
	leads := run == nil
	if leads {
		run = &barrierRun{ended: make(chan struct{})}
		b.next = run
	}
	b.mu.Unlock()
	if leads {
		// Barriers are bounded, and so is the wait for the one before. It does not
		// end with ctx: others count on this one.
		b.turn <- struct{}{}
		b.mu.Lock()
		b.next = nil
		b.mu.Unlock()
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), barrierTimeout)
		run.err = work(limited)
		cancel()
		<-b.turn
		close(run.ended)
	}
	select {
	case <-run.ended:
		return run.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// deleteQueues deletes what was declared as a barrier. What cannot be deleted is
// tried again by the next one.
func (b *durabilityBarrier) deleteQueues(ctx context.Context, fresh string) {
	var left []string
	for _, name := range append(b.leftover, fresh) {
		if _, err := b.client.Delete(ctx, name); err != nil && !rabbitmq.IsNotFound(err) {
			b.log.DebugContext(ctx, "queue of a barrier could not be deleted", slog.String("queue", name), slog.Any("error", err))
			left = append(left, name)
		}
	}
	b.leftover = left
}

// newBarrierQueue returns the name, which was never used, and the arguments of a
// quorum queue.
func newBarrierQueue() (name string, arguments amqp.Table) {
	return barrierPrefix + uuid.NewString(), amqp.Table{"x-queue-type": string(Quorum), "x-expires": int64(barrierExpires)}
}

// tryFreshQueue makes a quorum queue, consumes and deletes it: what a broker can do
// whose queues work.
func tryFreshQueue(ctx context.Context, s *rabbitmq.Session) error {
	return topology.OnChannel(ctx, s, func(ch *rabbitmq.Channel) error {
		return onFreshQueue(ctx, ch, func(name string) error {
			deliveries, err := ch.Consume(ctx, name, "", true)
			if err != nil {
				return fmt.Errorf("consume %s: %w", name, err)
			}
			go discard(deliveries) // until the channel is closed, a moment later
			return nil
		})
	})
}

// onFreshQueue runs work between declaring a quorum queue and deleting it.
func onFreshQueue(ctx context.Context, ch *rabbitmq.Channel, work func(name string) error) error {
	name, arguments := newBarrierQueue()
	if err := ch.QueueDeclare(ctx, name, arguments); err != nil {
		return fmt.Errorf("declare queue %s: %w", name, err)
	}
	if err := work(name); err != nil {
		return err
	}
	if _, err := ch.QueueDelete(ctx, name); err != nil {
		return fmt.Errorf("delete queue %s: %w", name, err)
	}
	return nil
}
