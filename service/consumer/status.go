package consumer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"lanekeeper/domain"
)

// logFailure logs once a minute why the broker does not let it subscribe. A
// single failure is nothing, and a broker that does not answer is logged by its
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

// setState moves to another state and notes the error that led there.
func (c *consumer) setState(s domain.ConsumerState, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != s {
		c.state, c.since = s, time.Now()
	}
	if err != nil {
		c.lastError = err.Error()
	} else if s == domain.ConsumerRunning {
		c.lastError = ""
	}
	c.trouble = c.troubleOf(s, err)
}

// troubleOf returns what is known of why it does not consume in this state.
func (c *consumer) troubleOf(s domain.ConsumerState, err error) domain.ConsumerTrouble {
	switch {
	case s == domain.ConsumerRunning:
		return ""
	case errors.Is(err, domain.ErrNoCapacity):
		return domain.TroubleRefused
	case s == domain.ConsumerReconnecting && c.shared.EndsConnections != nil && c.shared.EndsConnections(c.tenant):
		return domain.TroubleUnreadable
	}
	return ""
}

// startError returns what Start returns after the first attempt.
func (c *consumer) startError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == domain.ConsumerRunning {
		return nil
	}
	return c.firstErr
}

// status returns a snapshot.
func (c *consumer) status() domain.ConsumerStatus {
	c.mu.Lock()
	s := domain.ConsumerStatus{
		TenantID: c.tenant, State: c.state, Tag: c.tag, Replica: c.shared.Replica,
		Since: c.since, LastError: c.lastError, Trouble: c.trouble,
	}
	c.mu.Unlock()
	s.Store = c.shared.Writer.Trouble(c.tenant)
	if sub := c.metered.Load(); sub != nil {
		s.Held = int64(sub.inHandCount())
	}
	s.Workers = int(c.workers.Load())
	if pool := c.pool.Load(); pool != nil {
		s.Busy = pool.Busy()
	}
	var known bool
	if s.Depth, known = c.depth(); !known {
		s.Depth = -1
	}
	s.OldestAt = c.processor.oldest.since(s.Depth)
	return s
}

// depth returns how many messages of the tenant are not processed yet, ready
// and held, as last counted; false when that is not known.
func (c *consumer) depth() (int64, bool) {
	ready := c.ready.Load()
	return ready + c.held.Load(), ready >= 0
}

func (c *consumer) counters() counters { return counters{c.taken.Load(), c.expected.Load()} }

// observe returns what the watchdog has to know of the consumer.
func (c *consumer) observe() observation {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != domain.ConsumerRunning {
		return observation{}
	}
	return observation{tag: c.tag, begun: c.begun, now: c.counters(), idle: c.held.Load() == 0}
}

// sample asks for the depth of the consumer's queue. Calls must not overlap.
func (c *consumer) sample(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, depthTimeout)
	seen, asked := c.observe(), time.Now()
	counts, err := c.shared.Queues.QueueCounts(ctx, c.tenant)
	cancel()
	if err != nil {
		counts.Ready = -1
	}
	c.ready.Store(counts.Ready)
	if depth, known := c.depth(); known {
		c.processor.oldest.seen(asked, depth)
	}
	c.checkForgotten(seen, counts, err)
}

// checkForgotten has the consumer subscribe again when the observation, and what
// the broker said after it, mean that it is forgotten. Calls must not overlap.
func (c *consumer) checkForgotten(o observation, counts domain.QueueCounts, err error) {
	if errors.Is(err, domain.ErrNotFound) {
		err = nil // the counts are zero: nobody consumes what does not exist
	}
	if err != nil || !c.watchdog.check(o, counts) {
		return
	}
	select {
	case c.forgotten <- o.tag:
	default:
	}
}
