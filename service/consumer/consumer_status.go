package consumer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"lanekeeper/domain"
)

// logFailure says once a minute why the broker does not let it subscribe. A
// single failure is nothing, and a broker that does not answer is told of by its
// connections.
func (c *consumer) logFailure(ctx context.Context, err error) {
	if err == nil {
		c.failed = 0
		return
	}
	c.failed++
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return
	case c.failed < 2 && !errors.Is(err, domain.ErrNoCapacity):
		return
	}
	if c.failures.Failed(err.Error()) {
		c.shared.Log.WarnContext(ctx, "consumer cannot subscribe, trying on", slog.Int("attempts", c.failed), slog.Any("error", err))
	}
}

// enter moves to another state and notes the error that led there.
func (c *consumer) enter(s State, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != s {
		c.state, c.since = s, time.Now()
	}
	if err != nil {
		c.lastError = err.Error()
	} else if s == Running {
		c.lastError = ""
	}
	c.refused = s != Running && errors.Is(err, domain.ErrNoCapacity)
}

// startError tells a caller of Start how things stand after the first
// attempt.
func (c *consumer) startError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == Running {
		return nil
	}
	return c.firstErr
}

// status returns a snapshot.
func (c *consumer) status() Status {
	c.mu.Lock()
	s := Status{TenantID: c.tenant, State: c.state, Tag: c.tag, Since: c.since, LastError: c.lastError, Refused: c.refused}
	c.mu.Unlock()
	s.Workers = int(c.workers.Load())
	if pool := c.pool.Load(); pool != nil {
		s.Busy = (*pool).Busy()
	}
	s.Held, s.Ready = c.held.Load(), c.ready.Load()
	return s
}
