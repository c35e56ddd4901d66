package fleet

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"lanekeeper/domain"
	"lanekeeper/pkg/logger"
)

const (
	// askEvery is how often the database is asked for the time.
	askEvery = 3 * time.Second
	// slowTime is how long an answer may take; a slower one tells too little.
	slowTime = time.Second
	// maxSkew is how far our clock may be from the database's before the log
	// says so: beyond it, times from other replicas look wrong here.
	maxSkew = 30 * time.Second
)

// Clock is the time that all replicas share: that of the database. Between two
// answers it goes on with this machine's monotonic clock, so it does not jump
// when somebody sets the machine's. As long as the database has not answered
// once, it is the machine's. Its methods are safe for concurrent use.
type Clock struct {
	database domain.DatabaseClock
	log      *slog.Logger
	answer   atomic.Pointer[answer]
	// skew is what the log was told of our clock. The goroutine of Run uses it.
	skew logger.Changes
}

// answer is what the database's time was at a moment.
type answer struct {
	theirs time.Time
	ours   time.Time // with a reading of the monotonic clock
}

// NewClock returns a Clock; Run asks the database.
func NewClock(database domain.DatabaseClock, log *slog.Logger) *Clock {
	return &Clock{database: database, log: log}
}

// Now returns the time. It is for times that are compared with those of other
// processes; the difference of two is not the time that has passed between them.
func (c *Clock) Now() time.Time {
	a := c.answer.Load()
	if a == nil {
		return time.Now()
	}
	return a.theirs.Add(time.Since(a.ours))
}

// Run asks the database for the time again and again until ctx ends.
func (c *Clock) Run(ctx context.Context) {
	ticks := time.NewTicker(askEvery)
	defer ticks.Stop()
	for {
		c.Ask(ctx)
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
	}
}

// Ask asks the database for the time once. While it does not answer, the last
// answer goes on.
func (c *Clock) Ask(ctx context.Context) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	begun := time.Now()
	theirs, err := c.database.DatabaseTime(call)
	took := time.Since(begun)
	if err != nil || took > slowTime {
		return
	}
	ours := begun.Add(took / 2)
	c.answer.Store(&answer{theirs: theirs, ours: ours})
	difference := ours.Round(0).Sub(theirs)
	skewed := difference.Abs() > maxSkew
	switch {
	case skewed && c.skew.Failed(""):
		c.log.WarnContext(ctx, "this machine's clock is not the database's, which counts", logger.Milliseconds("ahead_ms", difference))
	case !skewed && c.skew.Recovered():
		c.log.InfoContext(ctx, "this machine's clock is the database's again")
	}
}
