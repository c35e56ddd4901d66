package topology

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/pkg/rabbitmq/quota"
)

// RabbitMQ answers some failures of quorum queues with 541 INTERNAL_ERROR, and
// that ends the whole connection: a purge whose leader does not answer within
// 30 s or is not running, a declare or delete that finds no quorum (read in and
// seen with 3.10.8: the channel's process has no clause for what the queue
// says). So queues are declared, purged and deleted on connections that nobody
// else uses meanwhile.

const (
	// MaxExclusiveConnections is how many of these connections there are at most.
	MaxExclusiveConnections = 6
	// maxIdleTime is how long one is kept that nobody uses.
	maxIdleTime = 10 * time.Second
)

// exclusiveSessions has the connections for changes of queues. Its run closes
// those that nobody uses.
type exclusiveSessions struct {
	open  func(ctx context.Context) (*rabbitmq.Session, error)
	quota *quota.Quota
	turns chan struct{} // has room for each connection

	mu    sync.Mutex
	idle  []idleSession // guarded by mu; the one used last is the last
	ended bool          // guarded by mu: run has ended
}

type idleSession struct {
	session *rabbitmq.Session
	since   time.Time
}

func newExclusiveSessions(open func(context.Context) (*rabbitmq.Session, error), q *quota.Quota) *exclusiveSessions {
	return &exclusiveSessions{open: open, quota: q, turns: make(chan struct{}, MaxExclusiveConnections)}
}

// run closes idle connections until ctx ends, and then all that are given back.
func (e *exclusiveSessions) run(ctx context.Context) {
	tick := time.NewTicker(maxIdleTime / 2)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			e.closeIdle(time.Now().Add(-maxIdleTime))
		case <-ctx.Done():
			e.mu.Lock()
			e.ended = true
			e.mu.Unlock()
			e.closeIdle(time.Now())
			return
		}
	}
}

func (e *exclusiveSessions) closeIdle(unusedSince time.Time) {
	e.mu.Lock()
	var old []idleSession
	for len(e.idle) > 0 && !e.idle[0].since.After(unusedSince) {
		old, e.idle = append(old, e.idle[0]), e.idle[1:]
	}
	e.mu.Unlock()
	for _, i := range old {
		i.session.Close()
	}
}

// errNoConnection: the broker allows no connection for a change.
var errNoConnection = errors.New("no connection for a change of a queue")

// do runs work on a connection that nobody else uses meanwhile. When ctx ends
// before work has, it closes the connection, which ends the work as well.
func (e *exclusiveSessions) do(ctx context.Context, work func(*rabbitmq.Channel) error) error {
	select {
	case e.turns <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait for a connection: %w", ctx.Err())
	}
	defer func() { <-e.turns }()
	session, err := e.take(ctx)
	switch {
	case rabbitmq.IsNotAllowed(err):
		return fmt.Errorf("%w: %w", errNoConnection, err)
	case err != nil:
		return err
	}
	slot, err := e.quota.Take(ctx, false)
	if err != nil {
		e.giveBack(session)
		return err //nolint:wrapcheck // says what it waited for
	}
	defer slot.Release()
	ch, err := session.Channel(ctx)
	slot.Opened()
	if err == nil {
		err = work(ch)
		ch.Close()
	}
	if ctx.Err() != nil {
		go session.Close() // within seconds, and with it what was asked for
		return err
	}
	e.giveBack(session)
	return err
}

// take returns an idle session, or a new one.
func (e *exclusiveSessions) take(ctx context.Context) (*rabbitmq.Session, error) {
	for {
		e.mu.Lock()
		if len(e.idle) == 0 {
			e.mu.Unlock()
			return e.open(ctx)
		}
		last := e.idle[len(e.idle)-1]
		e.idle = e.idle[:len(e.idle)-1]
		e.mu.Unlock()
		select {
		case <-last.session.Done():
			last.session.Close()
		default:
			return last.session, nil
		}
	}
}

// giveBack keeps the session for the next change, unless it has ended.
func (e *exclusiveSessions) giveBack(s *rabbitmq.Session) {
	select {
	case <-s.Done():
		s.Close()
		return
	default:
	}
	e.mu.Lock()
	ended := e.ended
	if !ended {
		e.idle = append(e.idle, idleSession{s, time.Now()})
	}
	e.mu.Unlock()
	if ended {
		s.Close()
	}
}
