package delivery

import (
	"context"
	"log/slog"
	"time"

	"lanekeeper/domain"
	"lanekeeper/pkg/janitor"
)

const (
	// daysEvery is how often the partitions of attempts are looked after, and
	// daysTimeout how long that may take.
	daysEvery   = 10 * time.Minute
	daysTimeout = 30 * time.Second
)

// dayKeeper is the part of domain.AttemptRepository the AttemptDays need.
type dayKeeper interface {
	KeepAttemptDays(ctx context.Context, keep int) (dropped int, err error)
}

// AttemptDays makes the partitions of attempts ahead of their days, and drops those
// of days that are not kept any longer.
type AttemptDays struct {
	attempts dayKeeper
	keep     int
	log      *slog.Logger
}

// NewAttemptDays returns AttemptDays that keep that many days.
func NewAttemptDays(attempts dayKeeper, keep int, log *slog.Logger) *AttemptDays {
	return &AttemptDays{attempts: attempts, keep: keep, log: log}
}

var _ dayKeeper = domain.AttemptRepository(nil)

// Run works at once and then in rounds, until ctx ends. Any number of replicas may
// run it.
func (a *AttemptDays) Run(ctx context.Context) {
	a.Once(ctx)
	janitor.Run(ctx, daysEvery, a.Once)
}

// Once makes and drops partitions. A failure is made up for by the next round.
func (a *AttemptDays) Once(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, daysTimeout)
	defer cancel()
	dropped, err := a.attempts.KeepAttemptDays(limited, a.keep)
	switch {
	case err != nil && ctx.Err() == nil:
		a.log.WarnContext(ctx, "days of attempts cannot be looked after, trying again later", slog.Any("error", err))
	case dropped > 0:
		a.log.InfoContext(ctx, "days of attempts dropped", slog.Int("days", dropped))
	}
}
