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
	"lanekeeper/pkg/logger"
)

const (
	// chunkSize is how many buffered deliveries a worker takes at most.
	chunkSize = 256
	// drainTimeout is how long a leaving consumer waits for what it began;
	// what is not through by then goes back to the queue.
	drainTimeout = 10 * time.Second
	// endpointPrefetch is the least prefetch of tenants with an endpoint, unless
	// large bodies narrow it to one for each worker.
	endpointPrefetch = 32
	// minPatience is how long a prefetch that large bodies made narrow stays
	// so, at first; every time it happens again twice as long.
	minPatience = 5 * time.Minute
	maxPatience = time.Hour

	minResubscribe = 200 * time.Millisecond
	maxResubscribe = 5 * time.Second
)

var errStopped = errors.New("the consumer was told to stop")

// command is a message on a consumer's control channel; done is closed when
// it has been taken into account.
type command struct {
	stop    bool
	workers int
	// assign tells that endpoint is meant; it may be nil.
	assign   bool
	endpoint *domain.Endpoint
	done     chan struct{}
}

// consumer is the consumer of one tenant. The goroutine of run owns the
// subscription, the pool and the acker; the fields below the line are read by
// others.
type consumer struct {
	shared  *shared
	tenant  uuid.UUID
	created time.Time // the tenant
	control chan command
	done    chan struct{} // closed when run has returned
	epoch   int
	// endpoint is where messages go once they are stored, or nil.
	endpoint *domain.Endpoint
	// narrow is the prefetch that large bodies leave room for, 0 while that is
	// not known; patience is when it may become wider.
	narrow   int
	patience time.Duration
	// letters collects the tenant's dead letters; set before the first shift.
	letters *collection
	// failures and failed are those of subscribing since it last succeeded.
	failures logger.Changes
	failed   int

	// ---
	first    chan struct{} // closed after the first attempt to subscribe
	firstErr error         // written before first is closed
	stopping atomic.Bool
	workers  atomic.Int32
	pool     atomic.Pointer[workers]
	version  atomic.Int64 // of the endpoint; 0 for none
	held     atomic.Int64
	ready    atomic.Int64
	taken    atomic.Int64 // deliveries, ever
	expected atomic.Int64 // messages that were confirmed to be in the queue, ever
	// forgotten gets the tag of a subscription that the broker does not know any
	// more.
	forgotten chan string
	// vigil belongs to readDepths, of which only one call runs at a time.
	vigil vigil

	mu        sync.Mutex
	state     domain.ConsumerState
	tag       string
	begun     tally // when the subscription began
	since     time.Time
	lastError string
	refused   bool // the last error was an ErrNoCapacity
}

// shared is what all consumers of a manager use.
type shared struct {
	Options
	prefetch func() int
	budget   *budget
	patience time.Duration // minPatience, less in tests
}

func newConsumer(s *shared, t domain.Tenant) *consumer {
	c := &consumer{
		shared: s, tenant: t.ID, created: t.CreatedAt, endpoint: t.Endpoint, patience: s.patience,
		control: make(chan command), done: make(chan struct{}), first: make(chan struct{}),
		state: domain.ConsumerStarting, since: time.Now(), forgotten: make(chan string, 1), failures: logger.Changes{Remind: time.Minute},
	}
	c.workers.Store(int32(t.Workers)) //nolint:gosec // between 1 and 100
	c.version.Store(endpointVersion(t.Endpoint))
	c.ready.Store(-1)
	return c
}

// send puts a command on the control channel and waits until it was taken
// into account, the consumer has ended, or ctx ends.
func (c *consumer) send(ctx context.Context, cmd command) error {
	cmd.done = make(chan struct{})
	select {
	case c.control <- cmd:
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
	defer c.enter(domain.ConsumerStopped, nil)
	ctx = domain.WithTenantID(ctx, c.tenant) // for the log
	c.letters = c.shared.Collector.start(ctx, c.tenant)
	defer c.letters.stop()
	wait := minResubscribe
	for {
		sub, goOn := c.subscribe(ctx)
		if !goOn {
			return
		}
		if sub != nil {
			began := time.Now()
			switch ending, err := c.newShift(ctx, sub, c.endpoint).run(ctx); ending {
			case left:
				return
			case reassigned:
				// What would be delivered while the store is away could only be
				// held, besides what the writer has.
				if !c.awaitStore(ctx) {
					return
				}
				continue
			case lost:
				c.shared.Log.WarnContext(ctx, "consumer lost its subscription, subscribing again", slog.Any("error", err))
				c.enter(domain.ConsumerReconnecting, err)
				if time.Since(began) > maxResubscribe {
					wait = minResubscribe
				}
			}
		}
		if !c.sleep(ctx, jitter(wait)) || !c.awaitStore(ctx) {
			return
		}
		wait = min(2*wait, maxResubscribe)
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
		c.enter(domain.ConsumerWaitingForStore, nil)
		if !c.sleep(ctx, time.Second) {
			return false
		}
	}
}

// subscribe makes one attempt to subscribe, and another one when the endpoint
// changed meanwhile, because that has another prefetch. It returns nil and
// true when the attempt failed, and false when the consumer shall end.
func (c *consumer) subscribe(ctx context.Context) (domain.Subscription, bool) {
	for {
		endpoint := c.endpoint
		tag, sub, err := c.attempt(ctx)
		switch {
		case errors.Is(err, errStopped):
			return nil, false
		case sub != nil && c.endpoint != endpoint:
			_ = sub.Close()
			continue
		}
		c.subscribed(ctx, tag, err)
		return sub, ctx.Err() == nil || sub != nil
	}
}

// attempt subscribes, while it listens to the control channel. The error is
// errStopped when the consumer shall end.
func (c *consumer) attempt(ctx context.Context) (string, domain.Subscription, error) {
	type result struct {
		sub domain.Subscription
		err error
	}
	c.epoch++
	tag := fmt.Sprintf("tenant_%s_%s_%d", c.tenant, c.shared.Replica, c.epoch)
	subscribeCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan result, 1)
	prefetch := c.prefetch()
	go func() {
		sub, err := c.shared.Subscriber.Subscribe(subscribeCtx, c.tenant, tag, prefetch)
		results <- result{sub, err}
	}()
	for {
		select {
		case r := <-results:
			return tag, r.sub, r.err
		case cmd := <-c.control:
			if c.obey(cmd, nil) {
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
		c.tag, c.begun = tag, c.tally()
		c.mu.Unlock()
		c.enter(domain.ConsumerRunning, nil)
	case errors.Is(err, domain.ErrNotFound):
		c.enter(domain.ConsumerFailed, err)
		if c.shared.QueueMissing != nil {
			c.shared.QueueMissing(c.tenant)
		}
	default:
		c.enter(domain.ConsumerReconnecting, err)
	}
	select {
	case <-c.first:
	default:
		c.firstErr = err
		close(c.first)
	}
}

// obey carries out a command and reports whether the consumer goes on.
func (c *consumer) obey(cmd command, pool workers) bool {
	defer close(cmd.done)
	if cmd.stop {
		c.stopping.Store(true)
		return false
	}
	if cmd.assign {
		c.endpoint = cmd.endpoint
		c.version.Store(endpointVersion(cmd.endpoint))
	}
	c.workers.Store(int32(cmd.workers)) //nolint:gosec // between 1 and 100
	if pool != nil {
		pool.Resize(cmd.workers)
	}
	return true
}

// prefetch returns the prefetch for a new subscription. Transmitting takes
// long, so a tenant with an endpoint gets few deliveries at a time: enough for
// its workers, and where there is room for that, for as many as it may be
// resized to. Large bodies make it narrower, as far as the workers allow.
func (c *consumer) prefetch() int {
	prefetch := c.widest()
	if c.narrow > 0 {
		prefetch = max(c.leastPrefetch(), min(prefetch, c.narrow))
	}
	return prefetch
}

func (c *consumer) widest() int {
	share := c.shared.prefetch()
	if c.endpoint != nil {
		return max(endpointPrefetch, int(c.workers.Load()), min(share, domain.MaxWorkers))
	}
	return share
}

// leastPrefetch is what the consumer needs however large the bodies are.
func (c *consumer) leastPrefetch() int {
	if c.endpoint != nil {
		return max(leastPrefetch, int(c.workers.Load()))
	}
	return leastPrefetch
}

func endpointVersion(e *domain.Endpoint) int64 {
	if e == nil {
		return 0
	}
	return e.Version
}

// sleep waits while it listens to the control channel; false means to end.
func (c *consumer) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case cmd := <-c.control:
			if !c.obey(cmd, nil) {
				return false
			}
		case <-ctx.Done():
			return false
		}
	}
}
