package publisher

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
	"lanekeeper/pkg/rabbitmq/connpool"
)

const (
	// maxRequests is how many requests may wait for a channel.
	maxRequests = 256
	// tickEvery is how often a channel is examined. All ticks are of this length.
	tickEvery = 250 * time.Millisecond
	// silentTicks make a queue silent that has publications unconfirmed and
	// confirmed nothing since.
	silentTicks = 8
	// dedicatedSilentTicks is the same on a channel for an isolated queue, which
	// holds up only that queue: a confirm that comes late frees it, and a channel
	// that RabbitMQ cannot close yet would stay there.
	dedicatedSilentTicks = 120
	// renewTicks are the least between two attempts to renew a channel.
	renewTicks = 4
	// unusedTicks is how long the window of a queue is remembered that is not used.
	unusedTicks = 240
	// openTimeout is how long requests wait for a dedicated channel that is opened
	// for them.
	openTimeout = 2 * time.Second
)

// confirmChannel publishes on one AMQP channel in confirm mode. Its goroutine owns
// the channel and the waiting requests, and never waits for a confirm: the caller
// does that himself, and a request whose queue has its share of the window waits
// until there is room again. So a queue that never confirms holds up nobody else,
// unless it makes the channel hang:
//
//	away --session, channel--> ready --channel or session closed--> away
//	                           ready --a queue refused--> ready, on a new channel
//	                           ready --a queue is silent--> ready, on a new channel;
//	                                   the queue is isolated
//
// The new channel is open before the old one is given up. What is unconfirmed
// there may still be confirmed, for a while. If the whole channel was silent,
// and a new one could be opened, it is the channel that hangs, and what is
// unconfirmed is published once more: what arrives twice has the same id.
//
// A channel remembers where the leader of a queue is. When it first publishes to
// a queue whose leader has just died, RabbitMQ (3.10 at least) has it ask the dead
// node from then on and refuse, until that node is back, although the other nodes
// have long elected another leader (seen). When it first publishes to a queue
// whose leader is there and does not answer, it hangs for 60 s, for each message
// (seen). A new channel asks anew. Besides, the library keeps all confirms after
// one that is missing, as long as the channel lives.
//
// A dedicated channel serves one isolated queue at a time, and is opened only once
// it is needed.
type confirmChannel struct {
	connection *rabbitmq.Connection
	spare      *connpool.Pool // connections for when that has no number for a channel
	options    *Options
	failures   logger.Changes // of opening; one opens at a time
	isolation  *isolation
	dedicated  bool
	requests   chan *request
	roomFreed  chan struct{} // there is room that a request had found lacking
	current    atomic.Pointer[inflight]
	waiting    waitQueue
	nWaiting   atomic.Int64 // requests in waiting
}

func newConfirmChannel(connection *rabbitmq.Connection, spare *connpool.Pool, o *Options) *confirmChannel {
	return &confirmChannel{
		connection: connection, spare: spare, options: o,
		requests:  make(chan *request, maxRequests),
		roomFreed: make(chan struct{}, 1),
		failures:  logger.Changes{Remind: time.Minute},
		waiting:   waitQueue{requests: make(map[string][]*request)},
	}
}

// load returns how much is under way.
func (c *confirmChannel) load() int64 {
	load := int64(len(c.requests))*window + c.nWaiting.Load()
	if f := c.current.Load(); f != nil {
		load += f.open.Load()
	}
	return load
}

func (c *confirmChannel) state() State {
	switch f := c.current.Load(); {
	case f == nil:
		return Away
	case f.session.Blocked():
		return Blocked
	default:
		return Ready
	}
}

// silentAfter returns after how many ticks a queue is silent.
func (c *confirmChannel) silentAfter() uint64 {
	if c.dedicated {
		return dedicatedSilentTicks
	}
	return silentTicks
}

// stalled reports whether the channel has something to confirm, and does not.
func (c *confirmChannel) stalled() bool {
	f := c.current.Load()
	if f == nil {
		return false
	}
	queues, _ := f.silentQueues(silentTicks)
	return len(queues) > 0
}

// run serves requests until ctx ends. While there is no channel they are refused
// at once.
func (c *confirmChannel) run(ctx context.Context) {
	var retiring sync.WaitGroup
	defer retiring.Wait()
	for {
		if c.dedicated {
			select {
			case r := <-c.requests:
				c.enqueue(r)
			case <-ctx.Done():
			}
		}
		next := c.refuseUntil(c.opening(ctx))
		for next != nil {
			c.current.Store(next)
			served := next
			next = c.serve(ctx, served)
			if next == nil {
				c.current.Store(nil)
				served.close()
			} else {
				retiring.Go(func() { served.retire(ctx) })
			}
		}
		c.failWaiting(rabbitmq.ErrClosed)
		if ctx.Err() != nil {
			c.refuseQueued()
			return
		}
	}
}

// opening opens an AMQP channel and hands it over, or nothing when that fails. The
// caller has to receive.
func (c *confirmChannel) opening(ctx context.Context) <-chan *inflight {
	opened := make(chan *inflight)
	go func() {
		defer close(opened)
		if f, err := c.open(ctx); err == nil {
			opened <- f
		} else if ctx.Err() == nil && c.failures.Failed(rabbitmq.Reason(err)) {
			c.options.Log.WarnContext(ctx, "publishing channel failed", slog.Any("error", err))
		}
	}()
	return opened
}

// refuseUntil refuses requests until the opening ended; nil when it failed. A
// dedicated channel keeps them for a moment.
func (c *confirmChannel) refuseUntil(opened <-chan *inflight) *inflight {
	requests := c.requests
	var timeout <-chan time.Time
	if c.dedicated {
		timer := time.NewTimer(openTimeout)
		defer timer.Stop()
		requests, timeout = nil, timer.C
	}
	for {
		select {
		case f := <-opened:
			return f
		case r := <-requests:
			r.fail(rabbitmq.ErrClosed)
		case <-timeout:
			requests, timeout = c.requests, nil
			c.failWaiting(rabbitmq.ErrClosed)
		}
	}
}

func (c *confirmChannel) refuseQueued() {
	for {
		select {
		case r := <-c.requests:
			r.fail(rabbitmq.ErrClosed)
		default:
			return
		}
	}
}

// serve publishes on one AMQP channel until that ends, or until another one is open
// that takes its place; then it returns that.
func (c *confirmChannel) serve(ctx context.Context, f *inflight) *inflight {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	var renewing <-chan *inflight // nil while no other is being opened
	rest := renewTicks            // until the channel may be renewed
	usable := c.serveWaiting(f)
	for usable {
		select {
		case r := <-c.requests:
			usable = c.publish(r, f)
		case <-c.roomFreed:
			usable = c.serveWaiting(f)
		case <-tick.C:
			rest--
			reason := c.examine(f, rest <= 0 && renewing == nil)
			if f.unclaimedReturns() >= returnBuffer {
				c.options.Log.WarnContext(ctx, "too many returned messages that nobody waits for, renewing the publishing channel")
				usable = false
			} else if reason != "" {
				c.options.Log.InfoContext(ctx, "renewing the publishing channel", slog.String("reason", reason))
				renewing = c.opening(ctx)
			}
		case next, ok := <-renewing:
			if ok {
				c.prepareReplacement(ctx, f)
				return next
			}
			renewing, rest = nil, renewTicks
		case <-f.closed:
			usable = false
		case <-ctx.Done():
			usable = false
		}
	}
	c.failWaiting(rabbitmq.ErrClosed)
	if renewing != nil {
		return c.refuseUntil(renewing)
	}
	return nil
}

// examine does what is due at every tick, and returns why the channel should be
// renewed, if it may be.
func (c *confirmChannel) examine(f *inflight, mayRenew bool) (reason string) {
	f.tick()
	if f.settleAbandoned() && c.dedicated {
		c.isolation.releaseChannel(c)
	}
	c.failWhere(func(r *request) error { return r.ctx.Err() })
	if !mayRenew {
		return ""
	}
	if f.refused.Swap(false) {
		return "the broker refused a message"
	}
	if queues, _ := f.silentQueues(c.silentAfter()); len(queues) > 0 {
		return "a queue confirms nothing"
	}
	return ""
}

// prepareReplacement is called when another channel is open: what was begun on
// this one does not go on there before this part of it is settled, and queues that
// are silent now are isolated.
func (c *confirmChannel) prepareReplacement(ctx context.Context, f *inflight) {
	queues, all := f.silentQueues(c.silentAfter())
	if !c.dedicated && len(queues) > 0 {
		c.options.Log.WarnContext(ctx, "queues confirm nothing and are published to apart from the others",
			slog.Any("queues", queues), slog.Bool("channel_hung", all))
		c.isolation.isolate(queues)
	}
	c.failWhere(func(r *request) error {
		if r.written > 0 || slices.Contains(queues, r.queue) {
			return errAgain
		}
		return nil
	})
	if all {
		close(f.silent)
	}
}

// publish writes the messages of one request or has it wait, and reports whether
// the channel is still usable.
func (c *confirmChannel) publish(r *request, f *inflight) bool {
	if !c.dedicated && c.isolation.holds(r.queue) {
		r.fail(errAgain) // since it was submitted
		return true
	}
	if c.waiting.has(r.queue) {
		c.enqueue(r)
		return true
	}
	done, usable := c.write(r, f)
	if !done {
		c.enqueue(r)
	}
	return usable
}

// serveWaiting goes on with the requests that wait.
func (c *confirmChannel) serveWaiting(f *inflight) (usable bool) {
	usable = true
	c.waiting.serveAll(func(r *request) (done, more bool) {
		done, usable = c.write(r, f)
		if done {
			c.nWaiting.Add(-1)
		}
		return done, usable
	})
	return usable
}

func (c *confirmChannel) enqueue(r *request) {
	c.waiting.add(r)
	c.nWaiting.Add(1)
}

func (c *confirmChannel) failWhere(why func(*request) error) {
	c.nWaiting.Add(-int64(c.waiting.failWhere(why)))
}

func (c *confirmChannel) failWaiting(err error) {
	c.failWhere(func(*request) error { return err })
}

// write writes messages of the request until it is done or finds no room.
func (c *confirmChannel) write(r *request, f *inflight) (done, usable bool) {
	for r.written < len(r.batch) {
		if err := r.ctx.Err(); err != nil {
			r.fail(err)
			break
		}
		p := &r.batch[r.written]
		message := p.Message
		message.Headers = fitting(message.Headers, c.options.OwnHeaders, f.frameSize)
		if p.Whole && len(message.Headers) < len(p.Message.Headers) {
			r.give(pendingConfirm{err: ErrHeaders})
			continue
		}
		w := f.reserve(r.queue)
		if w == nil {
			return false, true
		}
		confirm, err := f.channel.Publish(p.Exchange, p.Key, &message)
		if err != nil {
			f.free(w)
			r.fail(fmt.Errorf("publish: %w", err))
			return true, false
		}
		r.give(pendingConfirm{in: f, window: w, confirm: confirm})
	}
	return true, true
}
