package broker

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"lanekeeper/pkg/logger"
	"lanekeeper/pkg/rabbitmq"
)

const (
	// laneQueue is how many requests may wait for a channel.
	laneQueue = 256
	// tickEvery is how often a lane looks after its channel.
	tickEvery = 250 * time.Millisecond
	// silentTicks make a queue silent that has publications unconfirmed and
	// confirmed nothing since.
	silentTicks = 8
	// isolatedTicks is the same for the channel of an isolation lane, which
	// holds up only the queue that is silent: a confirm that comes late frees
	// it, and a channel that RabbitMQ cannot close yet would stay there.
	isolatedTicks = 120
	// renewTicks are the least between two tries to renew a channel.
	renewTicks = 4
	// tallyTicks is how long the lane remembers a queue that is not used.
	tallyTicks = 240
	// wakeTimeout is how long requests wait for the channel of an isolation
	// lane that was asleep.
	wakeTimeout = 2 * time.Second
)

// lane publishes on one channel in confirm mode. Its goroutine owns the
// channel and what is parked, and never waits for a confirm: who asked for a
// publication does that himself, and a request whose queue has its share of
// the window is parked until there are slots again. So a queue that never
// confirms holds up nobody else, unless it makes the channel hang:
//
//	away --session, channel--> ready --channel or session closed--> away
//	                           ready --a queue refused--> ready, on a new channel
//	                           ready --a queue is silent--> ready, on a new channel;
//	                                   the queue goes into quarantine
//
// The new channel is open before the old one is given up. What is unconfirmed
// there may still be confirmed, for a while. If the whole channel was silent,
// and a new one could be opened, it is the channel that hangs, and what is
// unconfirmed is published once more: what arrives twice has the same id.
//
// A channel keeps a queue's leader in mind. When it first publishes to a queue
// whose leader has just died, RabbitMQ (3.10 at least) has it ask the dead node
// from then on and refuse, until that node is back, although the other nodes
// have elected another leader long since (seen). When it first publishes to a
// queue whose leader is there and does not answer, it hangs for 60 s, for each
// message (seen). A new channel asks anew. Besides, the library keeps all
// confirms after one that is missing, as long as the channel lives.
//
// An isolation lane serves one queue of the quarantine at a time, and has a
// channel only once it is needed.
type lane struct {
	connection *rabbitmq.Connection
	spare      *subscribers // connections for when that has no number for a channel
	room       *room
	failures   logger.Changes // of opening; one opens at a time
	log        *slog.Logger
	quarantine *quarantine
	isolation  bool
	requests   chan *request
	wake       chan struct{} // there are slots that somebody had asked for
	current    atomic.Pointer[laneSession]
	parked     parking
	waiting    atomic.Int64 // number of parked requests
}

func newLane(c *rabbitmq.Connection, spare *subscribers, r *room, log *slog.Logger, q *quarantine) *lane {
	return &lane{
		connection: c, spare: spare, room: r, log: log, quarantine: q,
		requests: make(chan *request, laneQueue),
		wake:     make(chan struct{}, 1),
		failures: logger.Changes{Remind: time.Minute},
		parked:   parking{requests: make(map[string][]*request)},
	}
}

// load tells how much is under way.
func (l *lane) load() int64 {
	load := int64(len(l.requests))*window + l.waiting.Load()
	if s := l.current.Load(); s != nil {
		load += s.open.Load()
	}
	return load
}

func (l *lane) state() State {
	switch s := l.current.Load(); {
	case s == nil:
		return Away
	case s.session.Blocked():
		return Blocked
	default:
		return Ready
	}
}

// patience is after how many ticks a queue is silent.
func (l *lane) patience() uint64 {
	if l.isolation {
		return isolatedTicks
	}
	return silentTicks
}

// stalled tells that the channel has something to confirm, and does not.
func (l *lane) stalled() bool {
	s := l.current.Load()
	if s == nil {
		return false
	}
	queues, _ := s.silentQueues(silentTicks)
	return len(queues) > 0
}

// run serves requests until ctx ends. While there is no channel they are
// refused at once.
func (l *lane) run(ctx context.Context) {
	var retiring sync.WaitGroup
	defer retiring.Wait()
	for {
		if l.isolation {
			select {
			case r := <-l.requests:
				l.park(r)
			case <-ctx.Done():
			}
		}
		session := l.refuseUntil(l.opening(ctx))
		for session != nil {
			l.current.Store(session)
			served := session
			session = l.serve(ctx, served)
			if session == nil {
				l.current.Store(nil)
				served.close()
			} else {
				retiring.Go(func() { served.retire(ctx) })
			}
		}
		l.failParked(rabbitmq.ErrClosed)
		if ctx.Err() != nil {
			l.refuseQueued()
			return
		}
	}
}

// opening opens a channel and hands it over, or nothing when that fails. The
// caller has to receive.
func (l *lane) opening(ctx context.Context) <-chan *laneSession {
	opened := make(chan *laneSession)
	go func() {
		defer close(opened)
		if s, err := l.open(ctx); err == nil {
			opened <- s
		} else if ctx.Err() == nil && l.failures.Failed(rabbitmq.Reason(err)) {
			l.log.WarnContext(ctx, "publishing channel failed", slog.Any("error", err))
		}
	}()
	return opened
}

// refuseUntil refuses requests until the opening ended; nil when it failed.
// An isolation lane keeps them for a moment.
func (l *lane) refuseUntil(opened <-chan *laneSession) *laneSession {
	requests := l.requests
	var patience <-chan time.Time
	if l.isolation {
		timer := time.NewTimer(wakeTimeout)
		defer timer.Stop()
		requests, patience = nil, timer.C
	}
	for {
		select {
		case s := <-opened:
			return s
		case r := <-requests:
			r.fail(rabbitmq.ErrClosed)
		case <-patience:
			requests, patience = l.requests, nil
			l.failParked(rabbitmq.ErrClosed)
		}
	}
}

func (l *lane) refuseQueued() {
	for {
		select {
		case r := <-l.requests:
			r.fail(rabbitmq.ErrClosed)
		default:
			return
		}
	}
}

// pause keeps a failing opening from being tried again in a hot loop.
func pause(ctx context.Context) error {
	select {
	case <-time.After(200 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// serve publishes on one channel until that ends, or until another one is open
// that takes its place; then it returns that.
func (l *lane) serve(ctx context.Context, s *laneSession) *laneSession {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	var renewing <-chan *laneSession // nil while nobody opens another
	rest := renewTicks               // until the channel may be renewed
	usable := l.resume(s)
	for usable {
		select {
		case r := <-l.requests:
			usable = l.publish(r, s)
		case <-l.wake:
			usable = l.resume(s)
		case <-tick.C:
			rest--
			reason := l.look(s, rest <= 0 && renewing == nil)
			if s.unclaimed() >= returnBuffer {
				l.log.WarnContext(ctx, "too many returned messages that nobody waits for, renewing the publishing channel")
				usable = false
			} else if reason != "" {
				l.log.InfoContext(ctx, "renewing the publishing channel", slog.String("reason", reason))
				renewing = l.opening(ctx)
			}
		case next, ok := <-renewing:
			if ok {
				l.replace(ctx, s)
				return next
			}
			renewing, rest = nil, renewTicks
		case <-s.closed:
			usable = false
		case <-ctx.Done():
			usable = false
		}
	}
	l.failParked(rabbitmq.ErrClosed)
	if renewing != nil {
		return l.refuseUntil(renewing)
	}
	return nil
}

// look looks after the channel and what is parked, and tells why the channel
// should be renewed, if it may.
func (l *lane) look(s *laneSession, mayRenew bool) (reason string) {
	s.tick()
	if s.settleAbandoned() && l.isolation {
		l.quarantine.acquitLane(l)
	}
	l.sweep(func(r *request) error { return r.ctx.Err() })
	if !mayRenew {
		return ""
	}
	if s.refused.Swap(false) {
		return "the broker refused a message"
	}
	if queues, _ := s.silentQueues(l.patience()); len(queues) > 0 {
		return "a queue confirms nothing"
	}
	return ""
}

// replace prepares for another channel, which is open: what was begun on this
// one does not go on there before this part of it is through, and what is
// silent now goes into quarantine.
func (l *lane) replace(ctx context.Context, s *laneSession) {
	queues, all := s.silentQueues(l.patience())
	if !l.isolation && len(queues) > 0 {
		l.log.WarnContext(ctx, "queues confirm nothing and are published to apart from the others",
			slog.Any("queues", queues), slog.Bool("channel_hung", all))
		l.quarantine.add(queues)
	}
	l.sweep(func(r *request) error {
		if r.given > 0 || slices.Contains(queues, r.queue) {
			return errAgain
		}
		return nil
	})
	if all {
		close(s.silent)
	}
}

// publish writes the parcels of one request or parks it, and reports whether
// the channel is still usable.
func (l *lane) publish(r *request, s *laneSession) bool {
	if !l.isolation && l.quarantine.holds(r.queue) {
		r.fail(errAgain) // since it was submitted
		return true
	}
	if l.parked.has(r.queue) {
		l.park(r)
		return true
	}
	through, usable := write(r, s)
	if !through {
		l.park(r)
	}
	return usable
}

// resume goes on with what is parked.
func (l *lane) resume(s *laneSession) (usable bool) {
	usable = true
	l.parked.visit(func(r *request) (through, more bool) {
		through, usable = write(r, s)
		if through {
			l.waiting.Add(-1)
		}
		return through, usable
	})
	return usable
}

func (l *lane) park(r *request) {
	l.parked.add(r)
	l.waiting.Add(1)
}

func (l *lane) sweep(why func(*request) error) {
	l.waiting.Add(-int64(l.parked.sweep(why)))
}

func (l *lane) failParked(err error) {
	l.sweep(func(*request) error { return err })
}

// write writes parcels of the request until it is through or there is no slot.
func write(r *request, s *laneSession) (through, usable bool) {
	for r.given < len(r.parcels) {
		if err := r.ctx.Err(); err != nil {
			r.fail(err)
			break
		}
		t := s.take(r.queue)
		if t == nil {
			return false, true
		}
		p := &r.parcels[r.given]
		message := p.message
		message.Headers = fitting(message.Headers, s.frameSize)
		confirm, err := s.channel.Publish(p.exchange, p.key, &message)
		if err != nil {
			s.release(t)
			r.fail(fmt.Errorf("publish: %w", err))
			return true, false
		}
		r.give(handle{session: s, tally: t, confirm: confirm})
	}
	return true, true
}
