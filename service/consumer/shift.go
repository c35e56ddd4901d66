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

// ending is why a shift ended.
type ending uint8

const (
	lost       ending = iota + 1 // the subscription is gone
	left                         // the consumer was told to stop
	reassigned                   // another prefetch is needed: the endpoint changed, or more or fewer fit
)

// shift is the work on one subscription:
//
//	deliveries -> storing (chunks) -> [outbox -> sending (one by one)] -> finished -> acks
//
// Without an endpoint the tenant's workers store and there is no outbox. With
// one, a single worker stores, and the tenant's workers send what is stored.
// The goroutine of the consumer owns the shift and acknowledges.
type shift struct {
	c        *consumer
	sub      *intake
	endpoint *domain.Endpoint
	acks     *acker
	// finished carries the tags of deliveries that are done.
	finished chan []uint64
	// work is the context of everything that is begun; abort ends it.
	work  context.Context //nolint:containedctx // lives as long as the shift
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

func (c *consumer) newShift(ctx context.Context, sub domain.Subscription, endpoint *domain.Endpoint) *shift {
	prefetch := cap(sub.Deliveries())
	if endpoint != nil {
		prefetch = 0 // what waits for its acknowledgement keeps a worker idle
	}
	in := newIntake(sub, c.shared.budget, c.leastPrefetch())
	s := &shift{c: c, sub: in, endpoint: endpoint, finished: make(chan []uint64), acks: newAcker(prefetch, in.Ack)}
	s.work, s.abort = context.WithCancel(context.WithoutCancel(ctx))
	s.storing = workerpool.New(in.Deliveries(), chunkSize, s.store)
	if endpoint != nil {
		s.outbox = make(chan stored, cap(in.Deliveries()))
		s.sender = newSender(c, endpoint)
		s.sending = workerpool.New(s.outbox, 1, s.send)
		s.storing.Resize(1)
	}
	return s
}

// workers returns the pool that the tenant's number of workers is for.
func (s *shift) workers() workers {
	if s.sending != nil {
		return s.sending
	}
	return s.storing
}

// run works until the subscription is lost, the endpoint changes, or the
// consumer is told to leave; in the latter cases it drains.
func (s *shift) run(ctx context.Context) (ending, error) {
	defer s.abort()
	pool := s.workers()
	pool.Resize(int(s.c.workers.Load()))
	s.c.pool.Store(&pool)
	defer s.c.pool.Store(nil)
	hold := time.NewTicker(holdCheck)
	defer hold.Stop()
	widen := time.NewTicker(s.c.patience)
	defer widen.Stop()
	for !s.short() {
		select {
		case tags := <-s.finished:
			if err := s.acks.done(tags); err != nil {
				// The channel is gone; Done follows, and what is not
				// acknowledged is delivered again.
				s.c.shared.Log.DebugContext(ctx, "ack failed", slog.Any("error", err))
			}
		case cmd := <-s.c.control:
			if !s.c.obey(cmd, pool) {
				return left, s.drain()
			}
			if s.c.endpoint != s.endpoint {
				return reassigned, s.drain()
			}
		case <-ctx.Done():
			return left, s.drain()
		case <-s.sub.Full():
			s.narrow(ctx)
			return reassigned, s.drain()
		case <-widen.C:
			if s.widen(ctx) {
				return reassigned, s.drain()
			}
		case tag := <-s.c.forgotten:
			if tag == s.c.tag {
				return lost, errors.Join(errForgotten, s.drain())
			}
		case <-s.sub.Done():
			return lost, errors.Join(s.sub.Err(), s.discard())
		case <-hold.C:
			if since, away := s.c.shared.Writer.UnavailableSince(); away && time.Since(since) > holdLimit {
				return lost, errors.Join(errStoreAway, s.discard())
			}
		}
	}
	return reassigned, s.drain()
}

// narrow has the next subscription get fewer deliveries at a time: those that
// came were too large for so many.
func (s *shift) narrow(ctx context.Context) {
	mean := s.sub.fullMean()
	s.c.narrow = min(s.c.shared.budget.prefetch(mean), max(1, cap(s.sub.Deliveries())/2))
	s.c.patience = min(2*s.c.patience, maxPatience)
	s.c.shared.Log.InfoContext(ctx, "consumer holds too many bytes, subscribing with a smaller prefetch",
		slog.Int64("mean_bytes", mean), slog.Int("prefetch", s.c.prefetch()))
}

// widen tells whether what came of late was so small that the next
// subscription may get at least twice as many deliveries at a time.
func (s *shift) widen(ctx context.Context) bool {
	now := cap(s.sub.Deliveries())
	if s.c.narrow == 0 || now >= s.c.widest() {
		return false
	}
	mean, known := s.sub.seenMean(now)
	wider := s.c.shared.budget.prefetch(mean)
	if !known || wider < 2*now {
		return false
	}
	s.c.narrow = wider
	s.c.shared.Log.InfoContext(ctx, "messages have become smaller, subscribing with a larger prefetch",
		slog.Int64("mean_bytes", mean), slog.Int("prefetch", s.c.prefetch()))
	return true
}

// short tells whether there are more workers that send than the subscription
// gets deliveries for.
func (s *shift) short() bool {
	return s.sending != nil && int(s.c.workers.Load()) > cap(s.sub.Deliveries())
}

// store handles a chunk of deliveries.
func (s *shift) store(chunk []domain.Delivery) {
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
	s.c.process(s.work, chunk, next, func(tags []uint64) { s.finished <- tags })
}

// send transmits one stored message.
func (s *shift) send(chunk []stored) {
	for i := range chunk {
		if s.sender.send(s.work, &chunk[i]) {
			s.finished <- []uint64{chunk[i].delivery.Tag}
		}
		s.c.held.Add(-1)
	}
}

// drain takes no more, finishes and acknowledges what was begun, and closes
// the channel.
func (s *shift) drain() error {
	s.c.enter(domain.ConsumerDraining, nil)
	timeout := time.AfterFunc(drainTimeout, s.abort)
	defer timeout.Stop()
	err := s.windDown(s.acks.done)
	return errors.Join(err, s.acks.flush(), s.sub.Close())
}

// discard ends work on a subscription that is lost or given up: stale
// acknowledgements are dropped, the broker delivers again.
func (s *shift) discard() error {
	s.abort()
	return errors.Join(s.windDown(func([]uint64) error { return nil }), s.sub.Close())
}

// windDown stops the pools, first the one that fills the outbox, and passes
// on what their workers finish until all of them have ended.
func (s *shift) windDown(done func([]uint64) error) error {
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
