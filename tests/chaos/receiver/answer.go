package receiver

import (
	"context"
	"net/http"
	"sync"
	"time"

	"lanekeeper/tests/chaos/wait"
)

// Answer decides what a request is answered. It returns the HTTP status, or 0 to
// break the connection. The context ends when the sender is gone.
type Answer func(ctx context.Context, a *Arrival) (status int)

// Takes returns an Answer that takes messages after some time.
func Takes(after time.Duration) Answer {
	return func(ctx context.Context, _ *Arrival) int {
		if after > 0 {
			wait.For(ctx, after)
		}
		return http.StatusNoContent
	}
}

// Refuses returns an Answer that refuses at once.
func Refuses(status int) Answer {
	return func(context.Context, *Arrival) int { return status }
}

// Hangs returns an Answer that never comes.
func Hangs() Answer {
	return func(ctx context.Context, _ *Arrival) int {
		<-ctx.Done()
		return 0
	}
}

// RefusesFirst returns an Answer that refuses one of every messages when it comes
// for the first time, and else does what then says.
func RefusesFirst(every int64, then Answer) Answer {
	var mu sync.Mutex
	refused := make(map[string]bool)
	return func(ctx context.Context, a *Arrival) int {
		if a.Seq%every == 0 {
			mu.Lock()
			again := refused[a.Message]
			refused[a.Message] = true
			mu.Unlock()
			if !again {
				return http.StatusServiceUnavailable
			}
		}
		return then(ctx, a)
	}
}
