package backoff

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Backoff has the pauses between the attempts at one thing. Each is between half
// and all of an interval that doubles from the first to the longest. It is not
// safe for concurrent use.
type Backoff struct{ intervals backoff.ExponentialBackOff }

// New returns a Backoff whose intervals begin with first and grow to longest.
func New(first, longest time.Duration) *Backoff {
	// The library's intervals are the middle of what it spreads them over.
	b := &Backoff{backoff.ExponentialBackOff{
		InitialInterval: middle(first), MaxInterval: middle(longest), Multiplier: 2, RandomizationFactor: 1.0 / 3,
	}}
	b.Reset()
	return b
}

func middle(d time.Duration) time.Duration { return d - d/4 }

// Next returns the next pause.
func (b *Backoff) Next() time.Duration { return b.intervals.NextBackOff() }

// Reset begins with the first interval again, after a success.
func (b *Backoff) Reset() { b.intervals.Reset() }

// Wait waits for the next pause. Its error is that of Sleep.
func (b *Backoff) Wait(ctx context.Context) error { return Sleep(ctx, b.Next()) }

// Retry calls attempt until it succeeds, or fails with an error that again
// refuses, which it returns. When ctx ends meanwhile, the error is that of Sleep
// and that of the last attempt.
func Retry(ctx context.Context, b *Backoff, attempt func(context.Context) error, again func(error) bool) error {
	for {
		err := attempt(ctx)
		if err == nil || !again(err) {
			return err
		}
		if ended := b.Wait(ctx); ended != nil {
			return fmt.Errorf("%w; the last attempt: %w", ended, err)
		}
	}
}

// Sleep waits for d. When ctx ends before, it returns the error of ctx and, where
// there is another one, its cause.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ended(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}

func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) { // also when there is neither
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// Jitter returns a random duration that is at most d, and shorter by at most
// share of it: 0.25 returns between three quarters of d and d.
func Jitter(d time.Duration, share float64) time.Duration {
	return d - time.Duration(rand.Float64()*share*float64(d)) //nolint:gosec // spreads calls, guards nothing
}
