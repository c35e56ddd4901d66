package rabbitmq

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// reportEvery is how often the log tells that a broker is still tried for.
const reportEvery = time.Minute

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
	changed chan struct{} // closed and replaced with every change of session
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

// Run dials, and redials with jittered backoff from 200 ms to 5 s, until ctx
// ends; then it closes the session and returns. Call it once.
func (c *Connection) Run(ctx context.Context) {
	wait := &backoff.ExponentialBackOff{
		InitialInterval: 200 * time.Millisecond, RandomizationFactor: 0.5,
		Multiplier: 1.7, MaxInterval: 4 * time.Second,
	}
	wait.Reset()
	log := c.options.Log.With(slog.String("connection", c.options.Name))
	var reported time.Time
	last := ""
	for attempt := 0; ctx.Err() == nil; attempt++ {
		session, err := c.open(ctx, attempt)
		if err != nil {
			reason := Explain(err)
			if ctx.Err() == nil && (reason != last || time.Since(reported) > reportEvery) {
				reported, last = time.Now(), reason
				reportFailure(ctx, log, reason, err)
			}
			select {
			case <-time.After(wait.NextBackOff()):
			case <-ctx.Done():
			}
			continue
		}
		c.set(session)
		log.InfoContext(ctx, "broker connected", slog.Uint64("epoch", session.Epoch))
		reported, last = time.Time{}, ""
		select {
		case <-session.Done():
			log.WarnContext(ctx, "broker connection lost", slog.Uint64("epoch", session.Epoch), slog.Any("error", session.Err()))
		case <-ctx.Done():
		}
		c.set(nil)
		session.Close()
		// A broker that accepts and drops must not be dialled in a hot loop.
		select {
		case <-time.After(wait.InitialInterval):
		case <-ctx.Done():
		}
		wait.Reset()
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
	if c.options.Setup == nil {
		return session, nil
	}
	setupCtx, cancel := context.WithTimeout(ctx, 2*dialTimeout)
	defer cancel()
	if err := c.options.Setup(setupCtx, session); err != nil {
		session.Close()
		return nil, fmt.Errorf("set up session: %w", err)
	}
	return session, nil
}

func (c *Connection) set(s *Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = s
	close(c.changed)
	c.changed = make(chan struct{})
}
