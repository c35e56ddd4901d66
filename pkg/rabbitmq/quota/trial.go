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
		found, err = q.open(ctx, n, trialsAtOnce, settleTime/5)
		if !rabbitmq.IsNotAllowed(err) {
			return found, err
		}
		q.limited.Store(true)
	}
	if found, err = q.open(ctx, n, 1, 0); rabbitmq.IsNotAllowed(err) {
		found = q.confirm(ctx, found)
	}
	return found, err
}

// confirm returns for how many of the channels that a trial found there is room. A
// busy broker lets some through that it has not counted yet, and counts some on
// that are closed. So they are opened once more, the last one only when the broker
// has had the time to count the others.
func (q *Quota) confirm(ctx context.Context, found int) int {
	for found > 1 {
		held, err := q.open(ctx, found-1, 1, q.settling())
		switch wait := q.settling(); {
		case err == nil, errors.Is(err, errNoTrial):
			return found
		case !rabbitmq.IsNotAllowed(err):
			return held // as far as it can be told
		case held < found-1 && wait < maxSettleTime:
			q.settle.Store(int64(2 * wait)) // those of before may count on
		default:
			found = held
		}
	}
	return found
}

// open opens n channels on connections of their own, atOnce at a time, closes all
// of them, and returns how many there were. The broker lets channels through before
// it counts them: after a pause, unless that is 0, it is asked for one more, and the
// error says whether it allows that.
func (q *Quota) open(ctx context.Context, n, atOnce int, pause time.Duration) (found int, err error) {
	var sessions []*rabbitmq.Session
	defer func() {
		for _, s := range sessions {
			s.Close() // and the channels with it
		}
		q.awaitSettled(ctx, rabbitmq.IsNotAllowed(err))
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
	if pause == 0 {
		return found, nil
	}
	if err := backoff.Sleep(ctx, pause); err != nil {
		return found, err //nolint:wrapcheck // the end of ctx
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

// awaitSettled waits until the broker has noticed that the channels of a trial
// are closed: where they met the limit, until another one can be opened. Near a limit
// that is known those which it counts on could be one too many for who comes next.
func (q *Quota) awaitSettled(ctx context.Context, full bool) {
	for again := full; again && ctx.Err() == nil; {
		session, err := q.connect(ctx)
		if err != nil {
			return
		}
		_, err = session.Channel(ctx)
		session.Close()
		again = rabbitmq.IsNotAllowed(err)
	}
	wait := q.settling()
	if !full && !q.limited.Load() { // then there is room for as many as were tried
		wait /= 5
	}
	_ = backoff.Sleep(ctx, wait)
}
