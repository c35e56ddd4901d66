package wait

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Interval is the time between two checks of a condition.
const Interval = 50 * time.Millisecond

var (
	// ErrNotReady: what is waited for has not come yet.
	ErrNotReady = errors.New("not ready")
	// errTooLate: it has not come in time.
	errTooLate = errors.New("not in time")
	// ErrEnded: it cannot come any more, because the process ended.
	ErrEnded = errors.New("the service ended")
)

// Until calls check until it returns nil, for at most limit, or until it
// returns ErrEnded. The error has the last answer of check.
func Until(ctx context.Context, limit time.Duration, what string, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var err error
	for {
		now := check()
		if now == nil {
			return nil
		}
		if err == nil || ctx.Err() == nil { // else it only says that the time is over
			err = now
		}
		if errors.Is(err, ErrEnded) || !For(ctx, Interval) {
			return fmt.Errorf("%w (%v): %s: %w", errTooLate, limit, what, err)
		}
	}
}

// For waits for d, and returns false when ctx ended meanwhile.
func For(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
