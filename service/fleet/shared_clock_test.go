package fleet

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// databaseClock is as far from the machine's clock as it is told.
type databaseClock struct {
	mu    sync.Mutex
	ahead time.Duration
	slow  time.Duration
	err   error
}

func (d *databaseClock) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *databaseClock) DatabaseTime(context.Context) (time.Time, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := time.Now().Round(0).Add(d.ahead)
	<-time.After(d.slow)
	return at, d.err
}

func TestClockFollowsTheDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &databaseClock{err: errors.New("away")}
		c := NewClock(d, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.Run(ctx) }()
		defer func() { cancel(); <-done }()
		requireAhead := func(want time.Duration, text string) {
			t.Helper()
			require.InDelta(t, want.Seconds(), c.Now().Sub(time.Now().Round(0)).Seconds(), 0.6, text)
		}
		pass(10 * time.Second)
		requireAhead(0, "as long as nobody knows better")
		for _, jump := range []time.Duration{time.Hour, -24 * time.Hour, 0} {
			d.set(func() { d.err, d.ahead = nil, jump })
			pass(2 * askEvery)
			requireAhead(jump, "the database's")
			d.set(func() { d.err = errors.New("away") })
			pass(time.Minute)
			requireAhead(jump, "and it goes on without the database")
		}
		d.set(func() { d.err, d.ahead, d.slow = nil, time.Hour, 2*slowTime })
		pass(time.Minute)
		requireAhead(0, "an answer that took long tells too little")
	})
}
