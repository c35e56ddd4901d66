package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"lanekeeper/pkg/backoff"
)

var errNoAnswer = errors.New("no answer in time")

// subscribe keeps a subscription open until ctx ends.
func (b *bus) subscribe(ctx context.Context) {
	for retry := backoff.New(retryFirst, retryMax); ctx.Err() == nil; {
		subscribed, err := b.listen(ctx)
		b.setHealthy(ctx, false, err)
		if subscribed {
			retry.Reset()
		}
		_ = retry.Wait(ctx) // the loop ends with ctx
	}
}

// listen lives as long as one subscription, and reports whether there was one.
func (b *bus) listen(ctx context.Context) (subscribed bool, err error) {
	p := b.client.Subscribe(ctx)
	closing := sync.OnceFunc(func() { _ = p.Close() }) // it only fails when it is closed
	defer closing()
	if err := p.Subscribe(ctx, wakeChannel); err != nil {
		return false, fmt.Errorf("subscribe: %w", err)
	}
	w := watch{subscription: p}
	w.since.Store(new(time.Now())) // the subscription is to be answered as well
	watching, cancel := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		// Closing is what ends a read.
		defer closing()
		w.run(watching, func() { b.setHealthy(ctx, false, errNoAnswer) })
	})
	defer watcher.Wait()
	defer cancel()
	for {
		// Reading has no timeout: one in the middle of a message would break
		// the connection.
		received, err := p.Receive(ctx)
		if err != nil {
			return subscribed, fmt.Errorf("receive: %w", err)
		}
		switch m := received.(type) {
		case *redis.Subscription:
			subscribed = true
			b.setHealthy(ctx, w.answered(), nil)
		case *redis.Pong:
			b.setHealthy(ctx, w.answered(), errNoAnswer)
		case *redis.Message:
			b.receive(m.Payload)
		}
	}
}

// watch checks a subscription by asking and waiting for the answer.
type watch struct {
	subscription *redis.PubSub
	// since is when what is not answered was asked, by the monotonic clock; nil
	// when everything is.
	since atomic.Pointer[time.Time]
}

// run asks every pingPause, and calls slow when an answer is. It returns when
// there is none, or ctx ends.
func (w *watch) run(ctx context.Context, slow func()) {
	ticks := time.NewTicker(watchStep)
	defer ticks.Stop()
	asked := time.Now()
	for {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
		since := w.since.Load()
		switch {
		case since == nil && time.Since(asked) >= pingPause:
			asked = time.Now()
			w.since.Store(new(asked))
			if w.subscription.Ping(ctx) != nil {
				return
			}
		case since == nil:
		case time.Since(*since) > deadAnswer:
			return
		case time.Since(*since) > slowAnswer:
			slow()
		}
	}
}

// answered notes the answer, and reports whether it came in time.
func (w *watch) answered() bool {
	since := w.since.Swap(nil)
	return since == nil || time.Since(*since) <= slowAnswer
}
