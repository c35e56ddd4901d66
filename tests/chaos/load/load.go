package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"lanekeeper/tests/chaos/ledger"
	"lanekeeper/tests/chaos/wait"
)

const (
	// Clients is how many publish at the same time, and BatchSize how many messages
	// some of their calls have.
	Clients   = 8
	BatchSize = 25
	// RetryPause is how long clients wait after a failure.
	RetryPause = 100 * time.Millisecond
	// BackgroundPause is how long each waits between calls where the load only
	// has to be there for as long as the faults take.
	BackgroundPause = 50 * time.Millisecond
)

// RecoverLimit is how long after a server is back publishing may take.
const RecoverLimit = 30 * time.Second

// Load is clients that publish again and again, to all tenants at random: alone
// and in batches, with a key and without. What has a key is sent again until
// its outcome is known, what has none is sent once.
type Load struct {
	client   *Client
	ledger   *ledger.Ledger
	interval time.Duration // of each client between its calls
	// Envelope gives each message what goes along with its payload, before it is
	// sent; nil for nothing. It is set before the load starts.
	Envelope func(*ledger.Attempt)
	quit     chan struct{}
	once     sync.Once
	work     sync.WaitGroup

	Accepted atomic.Int64
	lastGood atomic.Int64 // when a message was last accepted, Unix nanoseconds
}

// New returns a load that has not started, and can be used to Send.
func New(c *Client, l *ledger.Ledger) *Load {
	return &Load{client: c, ledger: l, quit: make(chan struct{})}
}

// Start starts clients, each with this time between its calls, that publish until
// Stop.
func (l *Load) Start(ctx context.Context, tenants []string, interval time.Duration, random *rand.Rand) {
	l.interval = interval
	for range Clients {
		random := rand.New(rand.NewPCG(random.Uint64(), random.Uint64()))
		l.work.Go(func() { l.publish(ctx, tenants, random) })
	}
}

func (l *Load) publish(ctx context.Context, tenants []string, random *rand.Rand) {
	for !l.done() && ctx.Err() == nil {
		tenant := tenants[random.IntN(len(tenants))]
		size := 1
		if random.IntN(2) == 0 {
			size = BatchSize
		}
		l.Send(ctx, tenant, size, random.IntN(2) == 0)
		if l.interval > 0 {
			wait.For(ctx, l.interval)
		}
	}
}

func (l *Load) done() bool {
	select {
	case <-l.quit:
		return true
	default:
		return false
	}
}

// Send publishes fresh messages and, with a key, again until it is known what
// became of them.
func (l *Load) Send(ctx context.Context, tenant string, size int, keyed bool) {
	attempts := l.ledger.Open(tenant, size, keyed)
	for _, a := range attempts {
		if l.Envelope != nil {
			l.Envelope(a)
		}
	}
	for ctx.Err() == nil {
		outcomes := l.client.Publish(ctx, attempts)
		l.ledger.Close(attempts, outcomes)
		var again []*ledger.Attempt
		failed := false
		for i, o := range outcomes {
			switch o.State {
			case ledger.Accepted:
				l.Accepted.Add(1)
				l.lastGood.Store(time.Now().UnixNano())
			case ledger.Unknown:
				failed = true
				if keyed {
					again = append(again, attempts[i])
				}
			case ledger.Refused:
				failed = true
			}
		}
		if failed {
			wait.For(ctx, RetryPause)
		}
		if len(again) == 0 {
			return
		}
		attempts = again
	}
}

// AwaitAccepted waits until n messages have been accepted in all.
func (l *Load) AwaitAccepted(ctx context.Context, n int) error {
	return wait.Until(ctx, 5*time.Minute, fmt.Sprintf("%d messages accepted", n), func() error {
		if have := l.Accepted.Load(); have < int64(n) {
			return fmt.Errorf("%w: %d", wait.ErrNotReady, have)
		}
		return nil
	})
}

// AwaitGood waits until a message that was sent from now on is accepted, and
// returns how long that took.
func (l *Load) AwaitGood(ctx context.Context) (time.Duration, error) {
	begun := time.Now()
	err := wait.Until(ctx, RecoverLimit, "a message is accepted again", func() error {
		if l.lastGood.Load() <= begun.UnixNano() {
			return wait.ErrNotReady
		}
		return nil
	})
	return time.Since(begun), err
}

// Stop ends the clients, each after the outcome of its last messages is known.
func (l *Load) Stop() {
	l.once.Do(func() { close(l.quit) })
	l.work.Wait()
}
