package demo

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"lanekeeper/pkg/client"
)

const (
	// tick is how often messages are published.
	tick = 50 * time.Millisecond
	// mostOwed is for how long at most is caught up on what could not be published.
	mostOwed = time.Second
	// closeLimit is how long it may take at the end until it is known what became of the
	// last messages.
	closeLimit = 5 * time.Second
	// quiet is how long it is at least from one note to the next.
	quiet = 5 * time.Second
)

// traffic counts what was published. It is safe for concurrent use.
type traffic struct{ accepted, failed atomic.Int64 }

// publish publishes to a tenant at a rate, until ctx ends or the tenant is gone.
func (c *traffic) publish(ctx context.Context, t *tenant, rate float64, note func(error)) error {
	var gone atomic.Bool
	publisher := t.client.NewPublisher(context.WithoutCancel(ctx), client.PublisherOptions{OnResult: func(p client.Published) {
		switch {
		case p.Err == nil:
			c.accepted.Add(1)
		case errors.Is(p.Err, client.CodeTenantNotFound):
			gone.Store(true)
		default:
			c.failed.Add(1)
			note(p.Err)
		}
	}})
	defer func() {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
		defer cancel()
		_ = publisher.Close(limit) // OnResult has heard of it
	}()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	owed, last, n := 0.0, time.Now(), int64(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			owed += rate * min(now.Sub(last), mostOwed).Seconds()
			last = now
		}
		for ; owed >= 1; owed-- {
			n++
			m, err := t.message(n)
			if err != nil {
				return err
			}
			if err := publisher.Publish(ctx, m); err != nil {
				return nil // ctx has ended
			}
		}
		if gone.Load() {
			return ErrTakenAway
		}
	}
}

// notes passes on what goes wrong, but not all of it. It is safe for concurrent use.
type notes struct {
	say func(error)

	mu   sync.Mutex // guards last
	last time.Time
}

func (n *notes) note(err error) {
	if n.say == nil {
		return
	}
	n.mu.Lock()
	now := time.Now()
	due := n.last.IsZero() || now.Sub(n.last) >= quiet
	if due {
		n.last = now
	}
	n.mu.Unlock()
	if due {
		n.say(err)
	}
}
