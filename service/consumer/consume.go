package consumer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"lanekeeper/domain"
	"lanekeeper/pkg/workerpool"
)

const (
	// holdLimit is how long deliveries are held while the store is away.
	// Then the channel is closed and they wait in the queue, because the
	// broker closes a channel whose deliveries are not acknowledged in 30
	// minutes and counts that towards the delivery limit.
	holdLimit = 10 * time.Minute
	holdCheck = 15 * time.Second
)

var errStoreAway = errors.New("the store has been unavailable for too long")

// consume works on one subscription until it is lost, and then returns true
// and why, or until the consumer is told to leave, and then drains and
// returns false.
func (c *consumer) consume(ctx context.Context, sub domain.Subscription) (bool, error) {
	work, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	finished := make(chan []uint64)
	acks := newAcker(cap(sub.Deliveries()), sub.Ack)
	pool := workerpool.New(sub.Deliveries(), chunkSize, func(chunk []domain.Delivery) {
		c.held.Add(int64(len(chunk)))
		defer c.held.Add(-int64(len(chunk)))
		c.process(work, chunk, func(tags []uint64) { finished <- tags })
	})
	pool.Resize(int(c.workers.Load()))
	c.pool.Store(pool)
	defer c.pool.Store(nil)
	hold := time.NewTicker(holdCheck)
	defer hold.Stop()

	for {
		select {
		case tags := <-finished:
			if err := acks.done(tags); err != nil {
				// The channel is gone; Done follows, and what is not
				// acknowledged is delivered again.
				c.shared.Log.DebugContext(ctx, "ack failed", slog.Any("error", err))
			}
		case cmd := <-c.control:
			if !c.obey(cmd, pool) {
				return false, c.drain(sub, pool, acks, finished, abort)
			}
		case <-ctx.Done():
			return false, c.drain(sub, pool, acks, finished, abort)
		case <-sub.Done():
			return true, errors.Join(sub.Err(), c.discard(sub, pool, finished, abort))
		case <-hold.C:
			if since, away := c.shared.Writer.UnavailableSince(); away && time.Since(since) > holdLimit {
				return true, errors.Join(errStoreAway, c.discard(sub, pool, finished, abort))
			}
		}
	}
}

// drain takes no more, finishes and acknowledges what was begun, and closes
// the channel.
func (c *consumer) drain(sub domain.Subscription, pool *workerpool.Pool[domain.Delivery], acks *acker, finished <-chan []uint64, abort func()) error {
	c.enter(Draining, nil)
	timeout := time.AfterFunc(drainTimeout, abort)
	defer timeout.Stop()
	err := c.windDown(pool, finished, acks.done)
	return errors.Join(err, acks.flush(), sub.Close())
}

// discard ends work on a subscription that is lost or given up: stale
// acknowledgements are dropped, the broker delivers again.
func (c *consumer) discard(sub domain.Subscription, pool *workerpool.Pool[domain.Delivery], finished <-chan []uint64, abort func()) error {
	abort()
	drop := func([]uint64) error { return nil }
	return errors.Join(c.windDown(pool, finished, drop), sub.Close())
}

// windDown stops the pool and passes on what its workers finish until all of
// them have ended.
func (c *consumer) windDown(pool *workerpool.Pool[domain.Delivery], finished <-chan []uint64, done func([]uint64) error) error {
	pool.Stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		pool.Wait()
	}()
	var errs error
	for {
		select {
		case tags := <-finished:
			errs = errors.Join(errs, done(tags))
		case <-ended:
			return errs
		}
	}
}
