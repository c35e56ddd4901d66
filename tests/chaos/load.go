package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	loadClients = 8
	batchSize   = 25
	// retryPause is how long clients wait after a failure.
	retryPause = 100 * time.Millisecond
	// backgroundPause is how long each waits between calls where the load only
	// has to be there for as long as the faults take.
	backgroundPause = 50 * time.Millisecond
)

// load is clients that publish again and again, to all tenants at random: alone
// and in batches, with a key and without. What has a key is sent again until
// its outcome is known, what has none is sent once.
type load struct {
	st    *stage
	pause time.Duration // of each client between its calls
	quit  chan struct{}
	once  sync.Once
	work  sync.WaitGroup

	accepted atomic.Int64
	lastGood atomic.Int64 // when a message was last accepted, Unix nanoseconds
}

// startLoad starts clients that go on until stop.
func (st *stage) startLoad(ctx context.Context, pause time.Duration) *load {
	l := &load{st: st, pause: pause, quit: make(chan struct{})}
	for range loadClients {
		random := rand.New(rand.NewPCG(st.random.Uint64(), st.random.Uint64()))
		l.work.Go(func() { l.publish(ctx, random) })
	}
	return l
}

func (l *load) publish(ctx context.Context, random *rand.Rand) {
	for !l.done() && ctx.Err() == nil {
		tenant := l.st.tenants[random.IntN(len(l.st.tenants))]
		size := 1
		if random.IntN(2) == 0 {
			size = batchSize
		}
		l.send(ctx, tenant, size, random.IntN(2) == 0)
		if l.pause > 0 {
			rest(ctx, l.pause)
		}
	}
}

func (l *load) done() bool {
	select {
	case <-l.quit:
		return true
	default:
		return false
	}
}

// send publishes fresh messages and, with a key, again until it is known what
// became of them.
func (l *load) send(ctx context.Context, tenant string, size int, keyed bool) {
	attempts := l.st.ledger.open(tenant, size, keyed)
	for ctx.Err() == nil {
		outcomes := l.st.client.publish(ctx, attempts)
		l.st.ledger.close(attempts, outcomes)
		var again []*attempt
		failed := false
		for i, o := range outcomes {
			switch o.state {
			case accepted202:
				l.accepted.Add(1)
				l.lastGood.Store(time.Now().UnixNano())
			case unknown:
				failed = true
				if keyed {
					again = append(again, attempts[i])
				}
			case refused:
				failed = true
			}
		}
		if failed {
			rest(ctx, retryPause)
		}
		if len(again) == 0 {
			return
		}
		attempts = again
	}
}

// awaitAccepted waits until n messages have been accepted in all.
func (l *load) awaitAccepted(ctx context.Context, n int) error {
	return await(ctx, 5*time.Minute, fmt.Sprintf("%d messages accepted", n), func() error {
		if have := l.accepted.Load(); have < int64(n) {
			return fmt.Errorf("%w: %d", errNotReady, have)
		}
		return nil
	})
}

// awaitGood waits until a message that was sent from now on is accepted, and
// returns how long that took.
func (l *load) awaitGood(ctx context.Context) (time.Duration, error) {
	begun := time.Now()
	err := await(ctx, recoverLimit, "a message is accepted again", func() error {
		if l.lastGood.Load() <= begun.UnixNano() {
			return errNotReady
		}
		return nil
	})
	return time.Since(begun), err
}

// stop ends the clients, each after the outcome of its last messages is known.
func (l *load) stop() {
	l.once.Do(func() { close(l.quit) })
	l.work.Wait()
}
