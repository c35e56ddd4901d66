package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/logger"
)

// Options configure a Connection.
type Options struct {
	// URLs are tried in turn.
	URLs []string
	// Name is shown in the broker's list of connections.
	Name string
	Log  *slog.Logger
	// Setup runs on every new session before anybody gets it, for instance to
	// declare exchanges. An error drops the session. It may be nil.
	Setup func(ctx context.Context, s *Session) error
	// Lost is called with the reason for which a live session ended. It must not
	// block, and may be nil.
	Lost func(err error)
}

// Connection keeps one session to the broker alive while Run runs:
//
//	away --dial--> live --closed--> away --backoff--> ...
//
// The goroutine of Run owns the state; Session and Await read it under the
// lock.
type Connection struct {
	options Options

	mu      sync.Mutex
	session *Session
	// failure is why the last try to connect failed; nil while there is a
	// session, and before the first.
	failure error
	limits  Limits        // of the last session; zero before the first
	changed chan struct{} // closed and replaced with every change of these
}

// NewConnection returns a Connection that is away until Run runs.
func NewConnection(o Options) *Connection {
	return &Connection{options: o, changed: make(chan struct{})}
}

// Session returns the live session, or nil while the broker is away. It is
// safe for concurrent use.
func (c *Connection) Session() *Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

// Await returns the live session, waiting for one until ctx ends. It is safe
// for concurrent use.
func (c *Connection) Await(ctx context.Context) (*Session, error) {
	for {
		c.mu.Lock()
		session, changed := c.session, c.changed
		c.mu.Unlock()
		if session != nil {
			return session, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the broker: %w", ctx.Err())
		}
	}
}

// AwaitAllowed is Await, but returns at once when the broker is there and refuses
// the connection, for instance because its virtual host may have no more: then the
// error is the broker's.
func (c *Connection) AwaitAllowed(ctx context.Context) (*Session, error) {
	for {
		c.mu.Lock()
		session, failure, changed := c.session, c.failure, c.changed
		c.mu.Unlock()
		switch {
		case session != nil:
			return session, nil
		case refused(failure):
			return nil, fmt.Errorf("connect: %w", failure)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the broker: %w", ctx.Err())
		}
	}
}

// Limits returns those of the last session; zero before the first. It is safe
// for concurrent use.
func (c *Connection) Limits() Limits {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limits
}

const (
	minRedial = 300 * time.Millisecond
	maxRedial = 5 * time.Second
)

// Run dials, and dials again with jittered backoff from 200 ms to 5 s, until ctx
// ends; then it closes the session and returns. Call it once.
func (c *Connection) Run(ctx context.Context) {
	pauses := backoff.New(minRedial, maxRedial)
	log := c.options.Log.With(slog.String("connection", c.options.Name))
	failures := logger.Changes{Remind: time.Minute}
	for attempt := 0; ctx.Err() == nil; attempt++ {
		session, err := c.open(ctx, attempt)
		if err != nil {
			c.set(nil, err)
			if reason := Explain(err); ctx.Err() == nil && failures.Failed(reason+Reason(err)) {
				reportFailure(ctx, log, reason, err)
			}
			_ = pauses.Wait(ctx) // the loop ends with ctx
			continue
		}
		c.set(session, nil)
		log.InfoContext(ctx, "broker connected", slog.Uint64("epoch", session.Epoch))
		select {
		case <-session.Done():
			log.WarnContext(ctx, "broker connection lost", slog.Uint64("epoch", session.Epoch), slog.Any("error", session.Err()))
			if c.options.Lost != nil {
				c.options.Lost(session.Err())
			}
		case <-ctx.Done():
		}
		c.set(nil, nil)
		session.Close()
		// A broker that accepts and drops must not be dialled in a hot loop.
		pauses.Reset()
		_ = pauses.Wait(ctx)
	}
}

// reportFailure logs why there is no connection; reason is empty for a broker that
// is away.
func reportFailure(ctx context.Context, log *slog.Logger, reason string, err error) {
	if reason == "" {
		log.WarnContext(ctx, "broker connection failed, trying on", slog.Any("error", err))
		return
	}
	log.ErrorContext(ctx, "the broker refuses the connection, trying on until that is mended", slog.String("reason", reason), slog.Any("error", err))
}

// open dials the next URL and sets the session up. Only Run calls it.
func (c *Connection) open(ctx context.Context, attempt int) (*Session, error) {
	urls := c.options.URLs
	conn, socket, err := dial(ctx, urls[attempt%len(urls)], c.options.Name)
	if err != nil {
		return nil, err
	}
	session := newSession(conn, socket, uint64(attempt)+1) //nolint:gosec // counts attempts from 0
	if err := c.setUp(ctx, session); err != nil {
		session.Close()
		return nil, fmt.Errorf("set up session: %w", err)
	}
	return session, nil
}

func (c *Connection) setUp(ctx context.Context, s *Session) error {
	if err := s.Limits().check(); err != nil {
		return err
	}
	if c.options.Setup == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*dialTimeout)
	defer cancel()
	return c.options.Setup(ctx, s)
}

func (c *Connection) set(s *Session, failure error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session, c.failure = s, failure
	if s != nil {
		c.limits = s.Limits()
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// Open opens one session, on the first of the options' brokers that takes it.
// It ends with Close, or when it breaks; nothing opens it again.
func Open(ctx context.Context, o Options) (*Session, error) {
	c := NewConnection(o)
	var failures []error
	for attempt := range o.URLs {
		session, err := c.open(ctx, attempt)
		if err == nil {
			return session, nil
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}
