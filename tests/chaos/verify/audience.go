package verify

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"lanekeeper/pkg/sse"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/report"
	"lanekeeper/tests/chaos/wait"
)

const (
	// followLimit is how long after the last message streams may be behind.
	followLimit = 30 * time.Second
	// longestStay is how many messages a restless client takes at most before
	// it breaks off.
	longestStay = 1000
)

// Audience is clients that follow a tenant from its beginning.
type Audience struct {
	client  *load.Client
	tenant  string
	at      []atomic.Int64 // the last seq that each has
	resumed atomic.Int64
	cancel  context.CancelFunc
	work    sync.WaitGroup
}

// StartAudience starts this many clients, of which the first ones are restless:
// they break off and resume. What they see that is wrong is noted in the result.
// Call Stop at the end.
func StartAudience(ctx context.Context, c *load.Client, r *report.Result, tenant string, clients, restless int, random *rand.Rand) *Audience {
	ctx, cancel := context.WithCancel(ctx)
	a := &Audience{client: c, tenant: tenant, at: make([]atomic.Int64, clients), cancel: cancel}
	for i := range a.at {
		random := rand.New(rand.NewPCG(random.Uint64(), random.Uint64()))
		stay := 0
		if i < restless {
			stay = longestStay
		}
		a.work.Go(func() {
			for ctx.Err() == nil {
				most := 0
				if stay > 0 {
					most = 1 + random.IntN(stay)
				}
				if err := a.follow(ctx, &a.at[i], most); err != nil && ctx.Err() == nil {
					r.Fail("stream %d after %d: %v", i, a.at[i].Load(), err)
					return
				}
				a.resumed.Add(1)
			}
		})
	}
	return a
}

var errDisordered = errors.New("not the next message")

// follow opens a stream where the client is and takes messages until it ends,
// or until it had so many; 0 for any number. It is not the Go client that follows: that
// passes over what comes twice, and asks again for what is missing, which here is what
// must not be.
func (a *Audience) follow(ctx context.Context, at *atomic.Int64, most int) error {
	header := http.Header{"X-Tenant-Id": {a.tenant}}
	if last := at.Load(); last > 0 {
		header.Set("Last-Event-ID", strconv.FormatInt(last, 10))
	}
	events, err := sse.Open(ctx, http.DefaultClient, a.client.Base()+"/api/messages/stream?cursor=0", header, 64<<10)
	if err != nil {
		return err //nolint:wrapcheck // says what is wrong
	}
	defer events.Close()
	for n := 0; most == 0 || n < most; {
		e, err := events.Next()
		if err != nil {
			return fmt.Errorf("read stream: %w", err)
		}
		if e.ID == nil && e.Data == nil {
			continue // a comment, or when to come back
		}
		seq, err := strconv.ParseInt(string(e.ID), 10, 64)
		if err != nil || seq != at.Load()+1 || e.Data == nil {
			return fmt.Errorf("%w: %q", errDisordered, e.ID)
		}
		at.Store(seq)
		n++
	}
	return nil
}

// Await waits until every client has every message up to the last.
func (a *Audience) Await(ctx context.Context, last int64) error {
	return wait.Until(ctx, followLimit, "every stream has every message", func() error {
		for i := range a.at {
			if at := a.at[i].Load(); at != last {
				return fmt.Errorf("%w: stream %d is at %d of %d", wait.ErrNotReady, i, at, last)
			}
		}
		return nil
	})
}

// Stop ends the clients.
func (a *Audience) Stop() {
	a.cancel()
	a.work.Wait()
}

// Resumptions returns how often a client came back.
func (a *Audience) Resumptions() int64 { return a.resumed.Load() }
