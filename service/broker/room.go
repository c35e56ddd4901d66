package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"lanekeeper/pkg/rabbitmq"
)

// A broker may allow a user only so many channels (max-channels). It does not
// say how many, and answers one channel too many by ending the connection on
// which it was asked for, with everybody on it (seen with 3.10.8 and 4.0.5). So
// whether there is room is tried out on a connection of its own before it is
// used up on one that others use.

const (
	// roomAtFirst is how many channels are taken without trying: with fewer
	// there is no service.
	roomAtFirst = 8
	// roomKept is what lasting channels leave for those that come and go:
	// topology, publishing, trials of queues, dead letters.
	roomKept = 10
	// roomMargin is left alone of what the broker was seen to allow, for what is
	// opened without asking here: the first channel of each connection.
	roomMargin = 2
	// roomStep is the least for which room is tried; it grows with what is used.
	roomStep = 32
	// trialsAtOnce is how many of them are opened at a time.
	trialsAtOnce = 64
	// roomTimeout bounds one trial, roomSettle is how long the broker has to
	// notice its end, for it counts channels after the fact, and roomAgain is how
	// long nothing is tried after the limit was met.
	roomTimeout = 5 * time.Second
	roomSettle  = 250 * time.Millisecond
	roomAgain   = 20 * time.Second
)

// room hands out channels within what the broker was seen to allow. It is safe
// for concurrent use.
type room struct {
	connect func(ctx context.Context) (*rabbitmq.Session, error)
	log     *slog.Logger
	// trial holds a token while nobody tries.
	trial chan struct{}
	// opening is held for reading by those who open a channel, and for writing by
	// who tries, because a trial may use up everything for a moment.
	opening gate

	mu      sync.Mutex
	used    int
	lasting int // of those used
	allowed int
	// limited is set once a limit was met.
	limited atomic.Bool
	// full is until when no more is tried, and refusal the broker's answer.
	full    time.Time
	refusal error
	freed   chan struct{} // closed and replaced when used falls
}

func newRoom(connect func(context.Context) (*rabbitmq.Session, error), log *slog.Logger) *room {
	r := &room{connect: connect, log: log, allowed: roomAtFirst, trial: make(chan struct{}, 1), freed: make(chan struct{})}
	r.trial <- struct{}{}
	r.opening.init()
	return r
}

// place is room for one channel.
type place struct {
	room    *room
	lasting bool
	opened  sync.Once
	freed   sync.Once
}

// take returns a place for a channel that is opened at once: then call settled,
// and release when it is closed. Lasting channels are refused with errNoRoom
// when there is none left for them; others wait until there is, or ctx ends.
func (r *room) take(ctx context.Context, lasting bool) (*place, error) {
	for {
		ok, freed, err := r.tryTake(lasting)
		switch {
		case err != nil:
			return nil, err
		case ok:
			if err := r.opening.enter(ctx); err != nil {
				r.release(lasting)
				return nil, err
			}
			return &place{room: r, lasting: lasting}, nil
		case freed != nil: // the limit is known
			select {
			case <-freed:
			case <-time.After(roomAgain):
			case <-ctx.Done():
				return nil, fmt.Errorf("wait for a channel: %w", ctx.Err())
			}
			continue
		}
		if err := r.try(ctx, lasting); err != nil {
			return nil, err
		}
	}
}

// refuses returns what take would for a lasting channel when that is known to be
// refused.
func (r *room) refuses() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.roomyLocked(true) || !time.Now().Before(r.full) {
		return nil
	}
	return noRoom(r.refusal)
}

// tryTake takes a place if there is one. Freed is not nil when there is nothing
// but to wait.
func (r *room) tryTake(lasting bool) (ok bool, freed <-chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.roomyLocked(lasting):
		r.used++
		if lasting {
			r.lasting++
		}
		return true, nil, nil
	case !time.Now().Before(r.full):
		return false, nil, nil
	case lasting:
		return false, nil, noRoom(r.refusal)
	}
	return false, r.freed, nil
}

func (r *room) roomyLocked(lasting bool) bool {
	return r.used < r.allowed && (!lasting || r.lasting < r.allowed-roomKept)
}

// lost is told why a connection ended. One channel too many was opened on it,
// if somebody else has taken what was left since that was tried.
func (r *room) lost(why error) {
	if !rabbitmq.IsNotAllowed(why) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.allowed = max(roomAtFirst, min(r.allowed, r.used-1))
	r.full, r.refusal = time.Now().Add(roomAgain), why
	r.limited.Store(true)
}

func (r *room) release(lasting bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used--
	if lasting {
		r.lasting--
	}
	close(r.freed)
	r.freed = make(chan struct{})
}

// settled tells that the channel is open, or will not be.
func (p *place) settled() { p.opened.Do(p.room.opening.leave) }

// release gives the place back. It may be called more than once. Where the
// limit is known it counts for a moment longer, as it does for the broker.
func (p *place) release() {
	p.settled()
	if p.room.limited.Load() {
		time.AfterFunc(roomSettle, p.giveBack)
		return
	}
	p.giveBack()
}

func (p *place) giveBack() {
	p.freed.Do(func() { p.room.release(p.lasting) })
}

// try finds out whether there is room for more, unless somebody just has.
func (r *room) try(ctx context.Context, lasting bool) error {
	select {
	case <-r.trial:
		defer func() { r.trial <- struct{}{} }()
	case <-ctx.Done():
		return fmt.Errorf("wait for a channel: %w", ctx.Err())
	}
	r.mu.Lock()
	known := r.roomyLocked(lasting) || time.Now().Before(r.full)
	r.mu.Unlock()
	if known {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, roomTimeout)
	defer cancel()
	if err := r.opening.shut(ctx); err != nil {
		return fmt.Errorf("wait for channels that are being opened: %w", err)
	}
	defer r.opening.reopen()
	r.mu.Lock()
	used := r.used
	r.mu.Unlock()
	more := max(roomStep, used/2)
	found, err := r.count(ctx, more)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		r.allowed = used + found
	case rabbitmq.IsNotAllowed(err):
		r.allowed, r.full, r.refusal = used+max(0, found-roomMargin), time.Now().Add(roomAgain), err
		r.limited.Store(true)
	case errors.Is(err, errNoTrial):
		r.log.DebugContext(ctx, "room for more channels cannot be tried out", slog.Any("error", err))
		r.allowed = used + more
	case found == 0:
		return fmt.Errorf("try for more channels: %w", err)
	default:
		r.allowed = used + found
	}
	return nil
}

// errNoTrial: there is no connection for a trial, because connections are
// limited, too.
var errNoTrial = errors.New("no connection for a trial")

// gate is a lock for reading and writing whose waiting ends with a context.
type gate struct {
	mu      sync.Mutex
	inside  int           // guarded by mu
	closed  chan struct{} // closed when the gate opens; nil while it is open
	emptied chan struct{} // holds a token when inside may be 0
}

func (g *gate) init() { g.emptied = make(chan struct{}, 1) }

func (g *gate) enter(ctx context.Context) error {
	for {
		g.mu.Lock()
		closed := g.closed
		if closed == nil {
			g.inside++
			g.mu.Unlock()
			return nil
		}
		g.mu.Unlock()
		select {
		case <-closed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 {
		select {
		case g.emptied <- struct{}{}:
		default:
		}
	}
}

// shut lets nobody in any more, and returns when nobody is inside. Only one
// may have shut it.
func (g *gate) shut(ctx context.Context) error {
	g.mu.Lock()
	g.closed = make(chan struct{})
	g.mu.Unlock()
	for {
		g.mu.Lock()
		empty := g.inside == 0
		g.mu.Unlock()
		if empty {
			return nil
		}
		select {
		case <-g.emptied:
		case <-ctx.Done():
			g.reopen()
			return ctx.Err()
		}
	}
}

func (g *gate) reopen() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.closed)
	g.closed = nil
}
