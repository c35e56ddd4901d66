package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/pkg/rabbitmq"
)

const (
	// window is how many publications one channel may have unconfirmed.
	window = 256
	// laneQueue is how many requests may wait for a channel.
	laneQueue = 256
	// returnBuffer is how many returned messages the library may hand over
	// before it waits for them to be read. It is far more than a window,
	// because slots of abandoned publications are used again.
	returnBuffer = 16 * window
	// drainEvery is how often returns that nobody waits for are drained, and
	// how often a lane looks whether its channel should be renewed.
	drainEvery = time.Second
	// retireAfter is how long a channel that was renewed may take to confirm
	// what was published on it.
	retireAfter = 6 * time.Second
)

var (
	errReturned = errors.New("returned by the broker: no such queue")
	errNacked   = errors.New("refused by the broker")
	errUnknown  = errors.New("connection lost before the confirm")
)

// parcel is one message with its address.
type parcel struct {
	exchange, key string
	message       amqp.Publishing
}

// label tells what was returned apart from what was not. Ids alone are not
// enough: they may be the sender's own, and tenants may have the same.
func (p *parcel) label() label { return label{p.exchange, p.key, p.message.MessageId} }

type label struct{ exchange, key, messageID string }

// request is a batch of parcels for one lane.
type request struct {
	ctx     context.Context //nolint:containedctx // a request is a call handed to the lane's goroutine
	parcels []parcel
	// handles receives one handle for each parcel, in order; its capacity is
	// their number, so that the lane never waits for the caller.
	handles chan handle
	given   int // handles given so far; only the lane's goroutine counts

	mu        sync.Mutex
	abandoned bool
}

// give hands one publication over, or frees its slot when nobody waits.
func (r *request) give(h handle) {
	r.given++
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.abandoned {
		h.free()
		return
	}
	r.handles <- h
}

// abandon frees the slots of all publications not waited for, also of those
// that are still to come.
func (r *request) abandon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.abandoned = true
	for {
		select {
		case h := <-r.handles:
			h.free()
		default:
			return
		}
	}
}

// fail gives err for every parcel that has no handle yet.
func (r *request) fail(err error) {
	for r.given < len(r.parcels) {
		r.give(handle{err: err})
	}
}

// handle is the caller's end of one publication.
type handle struct {
	lane    *lane
	session *laneSession
	confirm *amqp.DeferredConfirmation
	err     error
}

// free gives the slot back.
func (h handle) free() {
	if h.lane != nil {
		h.session.open.Add(-1)
		<-h.lane.slots
	}
}

// wait returns nil once the broker confirmed the message with the given label
// in an existing queue.
func (h handle) wait(ctx context.Context, of label) error {
	if h.err != nil {
		return h.err
	}
	defer h.free()
	acked, err := h.confirm.WaitContext(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("wait for the confirm: %w", err)
	case acked && h.session.claimReturn(of):
		return errReturned
	case acked:
		return nil
	case h.session.channel.IsClosed():
		return errUnknown
	default:
		h.session.refused.Store(true)
		return errNacked
	}
}

// lane publishes on one channel in confirm mode. Its goroutine owns the
// channel and pipelines; who asked for a publication waits for its confirm
// himself, so that a queue that never confirms holds up nobody else.
//
//	away --session, channel--> ready --channel or session closed--> away
//	                           ready --a queue refused--> ready, on a new channel
//
// A channel keeps a queue's leader in mind. When it first publishes to a queue
// whose leader has just died, RabbitMQ (3.10 at least) has it ask the dead node
// from then on and refuse, until that node is back, although the other nodes
// have elected another leader long since (seen). A new channel asks anew.
type lane struct {
	connection *rabbitmq.Connection
	log        *slog.Logger
	requests   chan *request
	slots      chan struct{} // one for each unconfirmed publication
	current    atomic.Pointer[laneSession]
}

func newLane(c *rabbitmq.Connection, log *slog.Logger) *lane {
	return &lane{
		connection: c, log: log,
		requests: make(chan *request, laneQueue),
		slots:    make(chan struct{}, window),
	}
}

// load is the number of requests and publications that are under way.
func (l *lane) load() int { return len(l.requests)*window + len(l.slots) }

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

// run serves requests until ctx ends. While there is no channel they are
// refused at once.
func (l *lane) run(ctx context.Context) {
	var retiring sync.WaitGroup
	defer retiring.Wait()
	for {
		session := l.refuseUntil(l.opening(ctx))
		for session != nil {
			l.current.Store(session)
			served := session
			session = l.serve(ctx, served)
			if session == nil {
				l.current.Store(nil)
				rabbitmq.CloseChannel(ctx, served.channel)
			} else {
				retiring.Go(func() { served.retire(ctx) })
			}
		}
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
		} else if ctx.Err() == nil {
			l.log.WarnContext(ctx, "publishing channel failed", slog.Any("error", err))
		}
	}()
	return opened
}

// refuseUntil refuses requests until the opening ended; nil when it failed.
func (l *lane) refuseUntil(opened <-chan *laneSession) *laneSession {
	for {
		select {
		case s := <-opened:
			return s
		case r := <-l.requests:
			r.fail(rabbitmq.ErrClosed)
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

func (l *lane) open(ctx context.Context) (*laneSession, error) {
	session, err := l.connection.Await(ctx)
	if err != nil {
		return nil, err
	}
	openCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ch, err := session.Channel(openCtx)
	if err != nil {
		return nil, fmt.Errorf("open channel: %w", errors.Join(err, pause(ctx)))
	}
	s := &laneSession{
		session: session, channel: ch,
		closed:   closing(ch),
		returns:  ch.NotifyReturn(make(chan amqp.Return, returnBuffer)),
		returned: make(map[label]int),
	}
	if _, err := rabbitmq.Call(openCtx, func() (struct{}, error) { return struct{}{}, ch.Confirm(false) }, nil); err != nil {
		rabbitmq.CloseChannel(ctx, ch)
		return nil, fmt.Errorf("set confirm mode: %w", errors.Join(err, pause(ctx)))
	}
	return s, nil
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
	tick := time.NewTicker(drainEvery)
	defer tick.Stop()
	var renewing <-chan *laneSession // nil while nobody opens another
	for {
		usable := true
		select {
		case r := <-l.requests:
			usable = l.publish(r, s)
		case <-tick.C:
			if s.drain() >= returnBuffer {
				l.log.WarnContext(ctx, "too many returned messages that nobody waits for, renewing the publishing channel")
				usable = false
			} else if s.refused.Swap(false) && renewing == nil {
				l.log.InfoContext(ctx, "the broker refused a message, renewing the publishing channel")
				renewing = l.opening(ctx)
			}
		case next, ok := <-renewing:
			if ok {
				return next
			}
			renewing = nil
		case <-s.closed:
			usable = false
		case <-ctx.Done():
			usable = false
		}
		if usable {
			continue
		}
		if renewing != nil {
			return l.refuseUntil(renewing)
		}
		return nil
	}
}

// publish writes the parcels of one request, and reports whether the channel
// is still usable.
func (l *lane) publish(r *request, s *laneSession) bool {
	for i := range r.parcels {
		if err := r.ctx.Err(); err != nil {
			r.fail(err)
			return true
		}
		select {
		case l.slots <- struct{}{}:
		default:
			select {
			case l.slots <- struct{}{}:
			case <-r.ctx.Done():
				r.fail(r.ctx.Err())
				return true
			case <-s.closed:
				r.fail(rabbitmq.ErrClosed)
				return false
			}
		}
		p := &r.parcels[i]
		confirm, err := s.channel.PublishWithDeferredConfirm(p.exchange, p.key, true, false, p.message)
		if err != nil {
			<-l.slots
			r.fail(fmt.Errorf("publish: %w", err))
			return false
		}
		s.open.Add(1)
		r.give(handle{lane: l, session: s, confirm: confirm})
	}
	return true
}
