package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"lanekeeper/pkg/rabbitmq"
)

// RabbitMQ answers some failures of quorum queues with 541 INTERNAL_ERROR, and
// that ends the whole connection: a purge whose leader does not answer within
// 30 s or is not running, a declare or delete that finds no quorum (read in and
// seen with 3.10.8: the channel's process has no clause for what the queue
// says). So queues are declared, purged and deleted on connections that nobody
// else uses meanwhile.

const (
	// changesAtATime is how many of these connections there are at most.
	changesAtATime = 6
	// changeIdle is how long one is kept that nobody uses.
	changeIdle = 10 * time.Second
)

// changes has the connections for changes of queues. Run closes those that
// nobody uses.
type changes struct {
	open  func(ctx context.Context) (*rabbitmq.Session, error)
	room  *room
	log   *slog.Logger
	turns chan struct{} // has room for each connection

	mu   sync.Mutex
	idle []idleSession // guarded by mu; the one used last is the last
	over bool          // guarded by mu: run has ended
}

type idleSession struct {
	session *rabbitmq.Session
	since   time.Time
}

func newChanges(open func(context.Context) (*rabbitmq.Session, error), r *room, log *slog.Logger) *changes {
	return &changes{open: open, room: r, log: log, turns: make(chan struct{}, changesAtATime)}
}

// run closes idle connections until ctx ends, and then all that come back.
func (c *changes) run(ctx context.Context) {
	tick := time.NewTicker(changeIdle / 2)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.closeIdle(time.Now().Add(-changeIdle))
		case <-ctx.Done():
			c.mu.Lock()
			c.over = true
			c.mu.Unlock()
			c.closeIdle(time.Now())
			return
		}
	}
}

func (c *changes) closeIdle(unusedSince time.Time) {
	c.mu.Lock()
	var old []idleSession
	for len(c.idle) > 0 && !c.idle[0].since.After(unusedSince) {
		old, c.idle = append(old, c.idle[0]), c.idle[1:]
	}
	c.mu.Unlock()
	for _, i := range old {
		i.session.Close()
	}
}

// errNoConnection: the broker allows no connection for a change.
var errNoConnection = errors.New("no connection for a change of a queue")

// do runs work on a connection that nobody else uses meanwhile. When ctx ends
// before work has, it closes the connection, which ends the work as well.
func (c *changes) do(ctx context.Context, work func(*rabbitmq.Channel) error) error {
	select {
	case c.turns <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait for a connection: %w", ctx.Err())
	}
	leave := func() { <-c.turns }
	session, err := c.session(ctx)
	switch {
	case rabbitmq.IsNotAllowed(err):
		leave()
		return fmt.Errorf("%w: %w", errNoConnection, err)
	case err != nil:
		leave()
		return err
	}
	p, err := c.room.take(ctx, false)
	if err != nil {
		c.giveBack(session)
		leave()
		return err
	}
	defer leave()
	defer p.release()
	ch, err := session.Channel(ctx)
	p.settled()
	if err == nil {
		err = work(ch)
		ch.Close()
	}
	if ctx.Err() != nil {
		go session.Close() // within seconds, and with it what was asked for
		return err
	}
	c.giveBack(session)
	return err
}

func (c *changes) session(ctx context.Context) (*rabbitmq.Session, error) {
	for {
		c.mu.Lock()
		if len(c.idle) == 0 {
			c.mu.Unlock()
			return c.open(ctx)
		}
		last := c.idle[len(c.idle)-1]
		c.idle = c.idle[:len(c.idle)-1]
		c.mu.Unlock()
		select {
		case <-last.session.Done():
			last.session.Close()
		default:
			return last.session, nil
		}
	}
}

// giveBack keeps the session for the next change, unless it has ended.
func (c *changes) giveBack(s *rabbitmq.Session) {
	select {
	case <-s.Done():
		s.Close()
		return
	default:
	}
	c.mu.Lock()
	over := c.over
	if !over {
		c.idle = append(c.idle, idleSession{s, time.Now()})
	}
	c.mu.Unlock()
	if over {
		s.Close()
	}
}

// change runs work that declares, purges or deletes a queue. Where the broker
// allows no connection for that, which must keep nobody from deleting, it uses
// the one for topology.
func (b *Broker) change(ctx context.Context, work func(*rabbitmq.Channel) error) error {
	if b.control.Session() == nil {
		return rabbitmq.ErrClosed
	}
	err := b.changes.do(ctx, work)
	if !errors.Is(err, errNoConnection) {
		return err
	}
	b.options.Log.DebugContext(ctx, "no connection for a change, using the one that all use", slog.Any("error", err))
	return b.topology(ctx, work)
}
