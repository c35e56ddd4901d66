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
	holdCheck = 5 * time.Second
)

var errStoreAway = errors.New("the store has been unavailable for too long")

// endReason is why a session ended.
type endReason uint8

const (
	endLost        endReason = iota + 1 // the subscription is gone
	endStopped                          // the consumer was told to stop
	endResubscribe                      // another prefetch is needed: the endpoint changed, or more or fewer fit
)

// session is the work on one subscription:
//
//	deliveries -> storing (chunks) -> [outbox -> sending (one by one)] -> finished -> acks
//
// Without an endpoint the tenant's workers store and there is no outbox. With
// one, a single worker stores, and the tenant's workers send what is stored.
// The goroutine of the consumer owns the session and acknowledges.
type session struct {
	c        *consumer
	sub      *meteredSubscription
	endpoint *domain.Endpoint
	acks     *acks.Batcher
	// finished carries the tags of deliveries that are done.
	finished chan []uint64
	// work is the context of everything that is begun; abort ends it.
	work  context.Context //nolint:containedctx // lives as long as the session
	abort func()

	storing *workerpool.Pool[domain.Delivery]
	outbox  chan stored
	sending *workerpool.Pool[stored] // nil without an endpoint
	sender  *sender
}

// workers is the pool whose size is the tenant's number of workers.
type workers interface {
	Resize(n int)
	Busy() int
}

func newSession(ctx context.Context, c *consumer, sub domain.Subscription, endpoint *domain.Endpoint) *session {
	prefetch := cap(sub.Deliveries())
	if endpoint != nil {
		prefetch = 0 // what waits for its acknowledgement keeps a worker idle
	}
	metered := newMeteredSubscription(sub, c.shared.budget, c.leastPrefetch())
	s := &session{c: c, sub: metered, endpoint: endpoint, finished: make(chan []uint64), acks: acks.NewBatcher(prefetch, metered.Ack)}
	s.work, s.abort = context.WithCancel(context.WithoutCancel(ctx))
	s.storing = workerpool.New(metered.Deliveries(), chunkSize, s.store)
	if endpoint != nil {
		s.outbox = make(chan stored, cap(metered.Deliveries()))
		s.sender = newSender(c.processor, endpoint)
		s.sending = workerpool.New(s.outbox, 1, s.send)
		s.storing.Resize(1)
	}
	return s
}

// workers returns the pool that the tenant's number of workers is for.
func (s *session) workers() workers {
	if s.sending != nil {
		return s.sending
	}
	return s.storing
}

// run works until the subscription is lost, another prefetch is needed, or the
// consumer is told to stop; in the latter cases it drains.
func (s *session) run(ctx context.Context) (endReason, error) {
	defer s.abort()
	pool := s.workers()
	pool.Resize(int(s.c.workers.Load()))
	s.c.pool.Store(&pool)
	defer s.c.pool.Store(nil)
	hold := time.NewTicker(holdCheck)
	defer hold.Stop()
	grow := time.NewTicker(s.c.prefetchCooldown)
	defer grow.Stop()
	for !s.prefetchTooSmall() {
		select {
		case tags := <-s.finished:
			if err := s.acks.Done(tags); err != nil {
				// The channel is gone; Done follows, and what is not
				// acknowledged is delivered again.
				s.c.shared.Log.DebugContext(ctx, "ack failed", slog.Any("error", err))
			}
		case cmd := <-s.c.commands:
			if !s.c.apply(cmd, pool) {
				return endStopped, s.drain()
			}
			if s.c.endpoint != s.endpoint {
				return endResubscribe, s.drain()
			}
		case <-ctx.Done():
			return endStopped, s.drain()
		case <-s.sub.Full():
			s.shrinkPrefetch(ctx)
			return endResubscribe, s.drain()
		case <-grow.C:
			if s.growPrefetch(ctx) {
				return endResubscribe, s.drain()
			}
		case tag := <-s.c.forgotten:
			if tag == s.c.tag {
				return endLost, errors.Join(errForgotten, s.drain())
			}
		case <-s.sub.Done():
			return endLost, errors.Join(s.sub.Err(), s.discard())
		case <-hold.C:
			if since, away := s.c.shared.Writer.UnavailableSince(); away && time.Since(since) > holdLimit {
				return endLost, errors.Join(errStoreAway, s.discard())
			}
		}
	}
	return endResubscribe, s.drain()
}

// shrinkPrefetch has the next subscription get fewer deliveries at a time: those
// that came were too large for so many.
func (s *session) shrinkPrefetch(ctx context.Context) {
	mean := s.sub.meanWhenFull()
	s.c.prefetchLimit = min(s.c.shared.budget.prefetch(mean), max(1, cap(s.sub.Deliveries())/2))
	s.c.prefetchCooldown = min(2*s.c.prefetchCooldown, maxPrefetchCooldown)
	s.c.shared.Log.InfoContext(ctx, "consumer holds too many bytes, subscribing with a smaller prefetch",
		slog.Int64("mean_bytes", mean), slog.Int("prefetch", s.c.prefetch()))
}

// growPrefetch reports whether what came of late was so small that the next
// subscription may get at least twice as many deliveries at a time.
func (s *session) growPrefetch(ctx context.Context) bool {
	now := cap(s.sub.Deliveries())
	if s.c.prefetchLimit == 0 || now >= s.c.fullPrefetch() {
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

// prefetchTooSmall reports whether there are more workers that send than the
// subscription gets deliveries for.
func (s *session) prefetchTooSmall() bool {
	return s.sending != nil && int(s.c.workers.Load()) > cap(s.sub.Deliveries())
}

// store handles a chunk of deliveries.
func (s *session) store(chunk []domain.Delivery) {
	s.c.taken.Add(int64(len(chunk)))
	s.c.held.Add(int64(len(chunk)))
	defer s.c.held.Add(-int64(len(chunk)))
	next := func(item stored) bool {
		if s.outbox == nil {
			return false
		}
		s.c.held.Add(1)
		s.outbox <- item // as large as the prefetch, so it never waits
		return true
	}
	s.c.processor.process(s.work, chunk, next, func(tags []uint64) { s.finished <- tags })
}

// send transmits one stored message.
func (s *session) send(chunk []stored) {
	for i := range chunk {
		if s.sender.send(s.work, &chunk[i]) {
			s.finished <- []uint64{chunk[i].delivery.Tag}
		}
		s.c.held.Add(-1)
	}
}

// drain takes no more, finishes and acknowledges what was begun, and closes
// the channel.
func (s *session) drain() error {
	s.c.setState(domain.ConsumerDraining, nil)
	timeout := time.AfterFunc(drainTimeout, s.abort)
	defer timeout.Stop()
	err := s.windDown(s.acks.Done)
	return errors.Join(err, s.acks.Flush(), s.sub.Close())
}

// discard ends work on a subscription that is lost or given up: stale
// acknowledgements are dropped, the broker delivers again.
func (s *session) discard() error {
	s.abort()
	return errors.Join(s.windDown(func([]uint64) error { return nil }), s.sub.Close())
}

// windDown stops the pools, first the one that fills the outbox, and passes
// on what their workers finish until all of them have ended.
func (s *session) windDown(done func([]uint64) error) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.storing.Stop()
		if s.sending != nil {
			s.sending.Stop()
		}
		s.storing.Wait()
		if s.sending != nil {
			s.sending.Wait()
			s.c.held.Add(-int64(len(s.outbox)))
		}
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
