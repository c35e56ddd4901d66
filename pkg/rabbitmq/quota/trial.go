package quota

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/rabbitmq"
)

// count returns for how many of n more channels there is room; for fewer than n
// with an error. Nobody else opens a channel meanwhile, so it opens many at once,
// unless the limit was met before: then only one at a time counts exactly.
func (q *Quota) count(ctx context.Context, n int) (found int, err error) {
	if n > trialStep && !q.limited.Load() {
		found, err = q.open(ctx, n, trialsAtOnce)
		if !rabbitmq.IsNotAllowed(err) {
			return found, err
		}
		q.limited.Store(true)
	}
	return q.open(ctx, n, 1)
}

// open opens n channels on connections of their own, atOnce at a time, closes all
// of them, and returns how many there were.
func (q *Quota) open(ctx context.Context, n, atOnce int) (found int, err error) {
	var sessions []*rabbitmq.Session
	defer func() {
		for _, s := range sessions {
			s.Close() // and the channels with it
		}
		if rabbitmq.IsNotAllowed(err) {
			found = q.confirm(ctx, found)
		} else {
			q.awaitSettled(ctx)
		}
	}()
	for found < n { // a connection may have fewer than n
		session, err := q.connect(ctx)
		switch {
		case rabbitmq.IsNotAllowed(err):
			return found, fmt.Errorf("%w: %v", errNoTrial, err) //nolint:errorlint // it is about connections, not about channels
		case err != nil:
			return found, err
		}
		sessions = append(sessions, session)
		opened, err := openMany(ctx, session, min(n-found, session.Limits().Channels-1), atOnce)
		found += opened
		if err != nil {
			return found, fmt.Errorf("open channel: %w", err)
		}
	}
	if atOnce == 1 {
		return found, nil
	}
	// The broker lets channels through before it counts them, so it is asked once
	// more after that.
	if backoff.Sleep(ctx, settleTime/5) != nil {
		return found, nil
	}
	if _, err := sessions[len(sessions)-1].Channel(ctx); rabbitmq.IsNotAllowed(err) {
		return found, fmt.Errorf("open channel: %w", err)
	}
	return found, nil
}

// openMany opens n channels, atOnce at a time, and returns how many there were
// before one was refused.
func openMany(ctx context.Context, session *rabbitmq.Session, n, atOnce int) (opened int, err error) {
	var done atomic.Int64
	var group errgroup.Group
	group.SetLimit(atOnce)
	var failed atomic.Bool
	for range n {
		if failed.Load() {
			break
		}
		group.Go(func() error {
			if _, err := session.Channel(ctx); err != nil {
				failed.Store(true)
				return err //nolint:wrapcheck // the caller says what it is
			}
			done.Add(1)
			return nil
		})
	}
	if err = group.Wait(); err != nil && atOnce > 1 && ctx.Err() == nil {
		// Not every one that was under way has the broker's reason.
		select {
		case <-session.Done():
			err = errors.Join(session.Err(), err)
		case <-time.After(settleTime):
		}
	}
	return int(done.Load()), err
}

// awaitSettled waits until the broker has noticed that the channels of a trial,
// which met no limit, are closed.
func (q *Quota) awaitSettled(ctx context.Context) {
	_ = backoff.Sleep(ctx, settleTime/5) // there is room for as many as were tried
}

// confirm returns for how many of the channels that a trial found, and closed just
// now, there is room. The broker counts after the fact, the later the busier it
// is: those that are opened, so that a trial may have found too many, and those
// that are closed, so that it takes a while until there is room for as many again.
// How long that is counts for channels that are released later, too.
func (q *Quota) confirm(ctx context.Context, found int) int {
	for closed := time.Now(); ctx.Err() == nil; {
		n := max(0, found-margin)
		err := q.hold(ctx, n)
		switch {
		case err == nil:
			q.settle.Store(int64(max(settleTime, confirmations*time.Since(closed))))
			_ = backoff.Sleep(ctx, time.Duration(q.settle.Load()))
			return found
		case errors.Is(err, errTooMany):
			found, closed = n, time.Now()
		case !rabbitmq.IsNotAllowed(err):
			return found
		}
		if backoff.Sleep(ctx, settleTime/5) != nil {
			break
		}
	}
	return found
}

// errTooMany: there was room for as many channels as were opened only as long as
// the broker had not counted them.
var errTooMany = errors.New("the broker had not counted all channels")

// hold opens n channels on a connection of their own, and another one when the
// broker has had the time to count them, and closes all of them.
func (q *Quota) hold(ctx context.Context, n int) error {
	session, err := q.connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	if _, err := openMany(ctx, session, min(n, session.Limits().Channels-1), 1); err != nil {
		return err
	}
	if err := backoff.Sleep(ctx, settleTime); err != nil {
		return err //nolint:wrapcheck // the end of ctx
	}
	if _, err = session.Channel(ctx); rabbitmq.IsNotAllowed(err) {
		return fmt.Errorf("%w: %v", errTooMany, err) //nolint:errorlint // it is not about room for one more
	}
	return err //nolint:wrapcheck // the caller looks at its kind
}
