package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/logger"
)

const (
	// minPrefetchCooldown is for how long a prefetch that large bodies shrank does
	// not grow, at first; every time it happens again it is twice as long.
	minPrefetchCooldown = 5 * time.Minute
	maxPrefetchCooldown = time.Hour

	minResubscribe = 200 * time.Millisecond
	maxResubscribe = 5 * time.Second
	// storeCheck is how often a consumer that waits for the store checks whether
	// it is back.
	storeCheck = time.Second
	// failureReminder is how often the log has the same failure to subscribe.
	failureReminder = time.Minute
)

var errStopped = errors.New("the consumer was told to stop")

// command is a message to a consumer; done is closed when it has been applied.
type command struct {
	stop    bool
	workers int
	done    chan struct{}
}

// consumer is the consumer of one tenant. The goroutine of run owns the
// session and the fields above the line; those below are read by others.
type consumer struct {
	shared   *shared
	tenant   uuid.UUID
	commands chan command
	done     chan struct{} // closed when run has returned
	epoch    int
	// prefetchLimit is the prefetch that large bodies leave room for, 0 while that
	// is not known; prefetchCooldown is when it may grow.
	prefetchLimit    int
	prefetchCooldown time.Duration
	processor        *processor
	// failures and failed are those of subscribing since it last succeeded.
	failures logger.Changes
	failed   int

	// ---
	first    chan struct{} // closed after the first attempt to subscribe
	firstErr error         // written before first is closed
	stopping atomic.Bool
	workers  atomic.Int32
	pool     atomic.Pointer[workerPool]
	metered  atomic.Pointer[meteredSubscription] // of the session; nil without one
	held     atomic.Int64
	ready    atomic.Int64
	taken    atomic.Int64 // deliveries, ever
	expected atomic.Int64 // messages that were confirmed to be in the queue, ever
	// forgotten gets the tag of a subscription that the broker does not know any
	// more.
	forgotten chan string
	// heldTooLong gets a word when the store has been away for too long.
	heldTooLong chan struct{}
	// watchdog and sampled belong to readDepths, of which only one call runs at a time.
	watchdog watchdog
	sampled  sampled

	mu        sync.Mutex
	state     domain.ConsumerState
	tag       string
	begun     counters // when the subscription began
	since     time.Time
	lastError string
	trouble   domain.ConsumerTrouble // by the last error
}

// shared is what all consumers of a manager use.
type shared struct {
	Options
	prefetch         func() int // for small bodies
	budget           *budget
	prefetchCooldown time.Duration // minPrefetchCooldown, less in tests
}

func newConsumer(s *shared, t domain.Tenant) *consumer {
	c := &consumer{
		shared: s, tenant: t.ID, prefetchCooldown: s.prefetchCooldown,
		processor: &processor{shared: s, tenant: t.ID, created: t.CreatedAt},
		commands:  make(chan command), done: make(chan struct{}), first: make(chan struct{}),
		state: domain.ConsumerStarting, since: time.Now(), forgotten: make(chan string, 1), heldTooLong: make(chan struct{}, 1),
		failures: logger.Changes{Remind: failureReminder},
	}
	c.workers.Store(int32(t.Workers)) //nolint:gosec // between 1 and 100
	c.ready.Store(-1)
	return c
}

// send sends a command and waits until it was applied, the consumer has ended,
// or ctx ends.
func (c *consumer) send(ctx context.Context, cmd command) error {
	cmd.done = make(chan struct{})
	select {
	case c.commands <- cmd:
	case <-c.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("consumer does not answer: %w", ctx.Err())
	}
	select {
	case <-cmd.done:
		return nil
	case <-c.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("consumer is still busy: %w", ctx.Err())
	}
}

// run subscribes, consumes, and subscribes again after a loss, until it is
// told to stop or ctx ends; then it drains.
func (c *consumer) run(ctx context.Context) {
	defer close(c.done)
	defer c.setState(domain.ConsumerStopped, nil)
	ctx = domain.WithTenantID(ctx, c.tenant) // for the log
	c.processor.letters = c.shared.Collector.Collect(ctx, c.tenant, c.taken.Load)
	defer c.processor.letters.Stop()
	retries := backoff.New(minResubscribe, maxResubscribe)
	for {
		sub, prefetch, goOn := c.subscribe(ctx)
		if !goOn {
			return
		}
		if sub != nil {
			began := time.Now()
			switch reason, err := newSession(ctx, c, sub, prefetch).run(ctx); reason {
			case endStopped:
				return
			case endResubscribe:
				// What would be delivered while the store is away could only be
				// held, besides what the writer has.
				if !c.awaitStore(ctx) {
					return
				}
				continue
			case endLost:
				c.shared.Log.WarnContext(ctx, "consumer lost its subscription, subscribing again", slog.Any("error", err))
				c.setState(domain.ConsumerReconnecting, err)
				if time.Since(began) > maxResubscribe {
					retries.Reset()
				}
			}
		}
		if !c.sleep(ctx, retries.Next()) || !c.awaitStore(ctx) {
			return
		}
	}
}

// awaitStore waits for as long as the store is known to be away: what would
// be delivered could only be held. The writer goes on trying with the rows it
// has. False means to end.
func (c *consumer) awaitStore(ctx context.Context) bool {
	for {
		if _, away := c.shared.Writer.UnavailableSince(); !away {
			return true
		}
		c.setState(domain.ConsumerWaitingForStore, nil)
		if !c.sleep(ctx, storeCheck) {
			return false
		}
	}
}

// subscribe makes one attempt to subscribe, and returns with which prefetch. It returns
// nil and true when the attempt failed, and false when the consumer shall end.
func (c *consumer) subscribe(ctx context.Context) (sub domain.Subscription, prefetch int, goOn bool) {
	prefetch = c.prefetch()
	tag, sub, err := c.attempt(ctx, prefetch)
	if errors.Is(err, errStopped) {
		return nil, prefetch, false
	}
	c.subscribed(ctx, tag, err)
	return sub, prefetch, ctx.Err() == nil || sub != nil
}

// attempt subscribes, and applies commands meanwhile. The error is errStopped
// when the consumer shall end.
func (c *consumer) attempt(ctx context.Context, prefetch int) (string, domain.Subscription, error) {
	type result struct {
		sub domain.Subscription
		err error
	}
	c.epoch++
	tag := fmt.Sprintf("tenant_%s_%s_%d", c.tenant, c.shared.Replica, c.epoch)
	subscribeCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan result, 1)
	go func() {
		sub, err := c.shared.Subscriber.Subscribe(subscribeCtx, c.tenant, tag, prefetch)
		results <- result{sub, err}
	}()
	for {
		select {
		case r := <-results:
			return tag, r.sub, r.err
		case cmd := <-c.commands:
			if c.apply(cmd, nil) {
				continue
			}
			cancel()
			if r := <-results; r.sub != nil {
				_ = r.sub.Close()
			}
			return tag, nil, errStopped
		}
	}
}

func (c *consumer) subscribed(ctx context.Context, tag string, err error) {
	c.logFailure(ctx, err)
	switch {
	case err == nil:
		c.mu.Lock()
		c.tag, c.begun = tag, c.counters()
		c.mu.Unlock()
		c.setState(domain.ConsumerRunning, nil)
	case errors.Is(err, domain.ErrNotFound):
		c.setState(domain.ConsumerFailed, err)
		if c.shared.QueueMissing != nil {
			c.shared.QueueMissing(c.tenant)
		}
	default:
		c.setState(domain.ConsumerReconnecting, err)
	}
	select {
	case <-c.first:
	default:
		c.firstErr = err
		close(c.first)
	}
}

// apply carries out a command and reports whether the consumer goes on.
func (c *consumer) apply(cmd command, pool *workerPool) bool {
	defer close(cmd.done)
	if cmd.stop {
		c.stopping.Store(true)
		return false
	}
	c.workers.Store(int32(cmd.workers)) //nolint:gosec // between 1 and 100
	if pool != nil {
		pool.Resize(cmd.workers)
	}
	return true
}

// prefetch returns the prefetch for a new subscription. Large bodies shrink it.
func (c *consumer) prefetch() int {
	prefetch := c.shared.prefetch()
	if c.prefetchLimit > 0 {
		prefetch = max(leastPrefetch, min(prefetch, c.prefetchLimit))
	}
	return prefetch
}

// sleep waits, and applies commands meanwhile; false means to end.
func (c *consumer) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case cmd := <-c.commands:
			if !c.apply(cmd, nil) {
				return false
			}
		case <-ctx.Done():
			return false
		}
	}
}
