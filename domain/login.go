package domain

import (
	"context"
	"time"
)

// LoginFailure is what one failed login adds to what is counted under a key.
type LoginFailure struct {
	// Key is what the logins that are counted together have in common, hashed.
	Key []byte
	// Step is how long it takes until one failure is forgotten: they are forgotten
	// one after the other. A counter never takes longer than Most.
	Step, Most time.Duration
}

// LoginFailureRepository counts failed logins for all replicas. A counter is a time:
// how long it will take, by the database's clock, until everything that was counted is
// forgotten; zero where nothing is. Methods are safe for concurrent use; errors are
// ErrUnavailable.
type LoginFailureRepository interface {
	// LoginFailures returns the counters of the keys, in order.
	LoginFailures(ctx context.Context, keys [][]byte) ([]time.Duration, error)
	// AddLoginFailures adds a failure to each counter and returns what they are
	// then, in order. No key may occur twice.
	AddLoginFailures(ctx context.Context, failures []LoginFailure) ([]time.Duration, error)
	// ForgiveLoginFailures takes the failures back: each counter becomes shorter by
	// its Step. No key may occur twice.
	ForgiveLoginFailures(ctx context.Context, failures []LoginFailure) error
	// DeleteForgottenLoginFailures deletes at most limit counters that are zero and
	// returns how many there were.
	DeleteForgottenLoginFailures(ctx context.Context, limit int) (int, error)
}
