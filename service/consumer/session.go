package consumer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"lanekeeper/domain"
	"lanekeeper/pkg/rabbitmq/acks"
	"lanekeeper/pkg/workerpool"
)

const (
	// chunkSize is how many buffered deliveries a worker takes at most.
	chunkSize = 256
	// drainTimeout is how long a consumer that stops waits for what it began;
	// what is not through by then goes back to the queue.
	drainTimeout = 10 * time.Second
	// holdLimit is how long deliveries are held while the store is away. Then
	// the channel is closed and they wait in the queue, for two reasons: another
	// replica, which may reach the store, cannot have them while this one is the
	// queue's single active consumer; and the broker closes a channel whose
	// deliveries are not acknowledged in 30 minutes. Most outages are shorter,
	// and each of those that is not counts once towards the delivery limit.
	holdLimit = 30 * time.Second
	// ackAfter is how long a message that is stored waits for others to be
	// acknowledged together with it: each acknowledgement is a command in the log of
	// a quorum queue. What is delivered again because it came to none is recognised.
	ackAfter = 20 * time.Millisecond
)

var errStoreAway = errors.New("the store has been unavailable for too long")

// endReason is why a session ended.
type endReason uint8

const (
	endLost        endReason = iota + 1 // the subscription is gone
	endStopped                          // the consumer was told to stop
	endResubscribe                      // another prefetch is needed: more or fewer deliveries fit
)

// session is the work on one subscription:
//
//	deliveries -> workers (chunks) -> finished -> acks
//
// The goroutine of the consumer owns the session and acknowledges. Another one reads
// the subscription and ends with it; the workers are goroutines while there is something
// to store. What waits for them is bounded by the prefetch.
type session struct {
	c    *consumer
	sub  *meteredSubscription
	acks *acks.Batcher
	// finished carries the tags of deliveries that are done.
	finished chan []uint64
	// work is the context of everything that is begun; abort ends it.
	work  context.Context //nolint:containedctx // lives as long as the session
	abort func()

	workers *workerPool
}

// workerPool has as many workers as the tenant.
type workerPool = workerpool.Pool[domain.Delivery]

func newSession(ctx context.Context, c *consumer, sub domain.Subscription, prefetch int) *session {
	metered := newMeteredSubscription(sub, prefetch, c.shared.budget)
	s := &session{c: c, sub: metered, finished: make(chan []uint64), acks: acks.NewBatcher(prefetch, metered.Ack)}
	s.work, s.abort = context.WithCancel(context.WithoutCancel(ctx))
	s.workers = workerpool.New(chunkSize, s.store)
	return s
}

// run works until the subscription is lost, another prefetch is needed, or the
// consumer is told to stop; in the latter cases it drains.
func (s *session) run(ctx context.Context) (endReason, error) {
	defer s.abort()
	s.workers.Resize(int(s.c.workers.Load()))
	go s.sub.Each(s.workers.Put) // ends with the subscription
	s.c.pool.Store(s.workers)
	s.c.metered.Store(s.sub)
	defer s.c.pool.Store(nil)
	defer s.c.metered.Store(nil)
	var grow <-chan time.Time
	if s.c.prefetchLimit > 0 { // else it is as large as it may be
		ticker := time.NewTicker(s.c.prefetchCooldown)
		defer ticker.Stop()
		grow = ticker.C
	}
	ack := time.NewTimer(ackAfter) // runs while something waits to be acknowledged
	ack.Stop()
	defer ack.Stop()
	for {
		select {
		case tags := <-s.finished:
			waited := s.acks.Waiting()
			s.noteAck(ctx, s.finish(tags))
			if waits := s.acks.Waiting(); waits && !waited {
				ack.Reset(ackAfter)
			} else if !waits {
				ack.Stop()
			}
		case <-ack.C:
			s.noteAck(ctx, s.acks.Run())
		case cmd := <-s.c.commands:
			if !s.c.apply(cmd, s.workers) {
				return endStopped, s.drain()
			}
		case <-ctx.Done():
			return endStopped, s.drain()
		case <-s.sub.Full():
			s.shrinkPrefetch(ctx)
			return endResubscribe, s.drain()
		case <-grow:
			if s.growPrefetch(ctx) {
				return endResubscribe, s.drain()
			}
		case tag := <-s.c.forgotten:
			if tag == s.c.tag {
				return endLost, errors.Join(errForgotten, s.drain())
			}
		case <-s.sub.Done():
			return endLost, errors.Join(s.sub.Err(), s.discard())
		case <-s.c.heldTooLong:
			if s.c.shared.storeAwayTooLong() { // still
				return endLost, errors.Join(errStoreAway, s.discard())
			}
		}
	}
}

// finish takes deliveries off the account, and acknowledges what has waited enough.
func (s *session) finish(tags []uint64) error {
	s.sub.Finished(tags)
	return s.acks.Done(tags) //nolint:wrapcheck // that of the subscription
}

// noteAck has an acknowledgement that failed in the log. Its channel is gone: the end
// of the subscription follows, and what is not acknowledged is delivered again.
func (s *session) noteAck(ctx context.Context, err error) {
	if err != nil {
		s.c.shared.Log.DebugContext(ctx, "ack failed", slog.Any("error", err))
	}
}

// shrinkPrefetch has the next subscription get fewer deliveries at a time: those
// that came were too large for so many.
func (s *session) shrinkPrefetch(ctx context.Context) {
	mean := s.sub.meanWhenFull()
	s.c.prefetchLimit = min(s.c.shared.budget.prefetch(mean), max(1, s.sub.prefetch/2))
	s.c.prefetchCooldown = min(2*s.c.prefetchCooldown, maxPrefetchCooldown)
	s.c.shared.Log.InfoContext(ctx, "consumer holds too many bytes, subscribing with a smaller prefetch",
		slog.Int64("mean_bytes", mean), slog.Int("prefetch", s.c.prefetch()))
}

// growPrefetch reports whether what came of late was so small that the next
// subscription may get at least twice as many deliveries at a time.
func (s *session) growPrefetch(ctx context.Context) bool {
	now := s.sub.prefetch
	if s.c.prefetchLimit == 0 || now >= s.c.shared.prefetch() {
		return false
	}
	mean, known := s.sub.recentMean(now)
	larger := s.c.shared.budget.prefetch(mean)
	if !known || larger < 2*now {
		return false
	}
	s.c.prefetchLimit = larger
	s.c.shared.Log.InfoContext(ctx, "messages have become smaller, subscribing with a larger prefetch",
		slog.Int64("mean_bytes", mean), slog.Int("prefetch", s.c.prefetch()))
	return true
}

// store handles a chunk of deliveries.
func (s *session) store(chunk []domain.Delivery) {
	s.c.taken.Add(int64(len(chunk)))
	s.c.held.Add(int64(len(chunk)))
	defer s.c.held.Add(-int64(len(chunk)))
	s.c.processor.process(s.work, chunk, func(tags []uint64) { s.finished <- tags })
}

// drain takes no more, finishes and acknowledges what was begun, and closes
// the channel.
func (s *session) drain() error {
	s.c.setState(domain.ConsumerDraining, nil)
	timeout := time.AfterFunc(drainTimeout, s.abort)
	defer timeout.Stop()
	err := s.windDown(s.finish)
	return errors.Join(err, s.acks.Flush(), s.sub.Close())
}

// discard ends work on a subscription that is lost or given up: stale
// acknowledgements are dropped, the broker delivers again.
func (s *session) discard() error {
	s.abort()
	return errors.Join(s.windDown(func([]uint64) error { return nil }), s.sub.Close())
}

// windDown stops the workers, and passes on what they finish until all of them
// have ended.
func (s *session) windDown(done func([]uint64) error) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.workers.Stop()
		s.workers.Wait()
	}()
	var errs error
	for {
		select {
		case tags := <-s.finished:
			errs = errors.Join(errs, done(tags))
		case <-ended:
			return errs
		}
	}
}
