package broker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"lanekeeper/pkg/rabbitmq"
)

// count returns how many of n more channels there is room for. Fewer than asked
// for have an error. While it counts nobody else opens a channel, so it opens
// many at once, unless that met a limit, about which they cannot be exact.
func (r *room) count(ctx context.Context, n int) (found int, err error) {
	if n > roomStep && !r.limited.Load() {
		found, err = r.open(ctx, n, trialsAtOnce)
		if !rabbitmq.IsNotAllowed(err) {
			return found, err
		}
		r.limited.Store(true)
	}
	return r.open(ctx, n, 1)
}

// open opens channels on connections of its own, so many at a time, closes all
// of them, and returns how many there were.
func (r *room) open(ctx context.Context, n, atOnce int) (found int, err error) {
	var sessions []*rabbitmq.Session
	defer func() {
		for _, s := range sessions {
			s.Close() // and the channels with it
		}
		r.awaitSettled(ctx, rabbitmq.IsNotAllowed(err))
	}()
	for found < n { // again where the broker allows a connection few
		session, err := r.connect(ctx)
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
	// The broker has let them through before it counted them, so it is asked once
	// more when it has.
	select {
	case <-time.After(roomSettle / 5):
	case <-ctx.Done():
		return found, nil
	}
	if _, err := sessions[len(sessions)-1].Channel(ctx); rabbitmq.IsNotAllowed(err) {
		return found, fmt.Errorf("open channel: %w", err)
	}
	return found, nil
}

// openMany opens n channels, so many at a time, and returns how many there were
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
		// Of those that were under way not each has the broker's reason.
		select {
		case <-session.Done():
			err = errors.Join(session.Err(), err)
		case <-time.After(roomSettle):
		}
	}
	return int(done.Load()), err
}

// awaitSettled waits until the broker has noticed that the channels of a trial
// are closed. Where they met the limit, another one can be opened then.
func (r *room) awaitSettled(ctx context.Context, full bool) {
	for again := full; again && ctx.Err() == nil; {
		session, err := r.connect(ctx)
		if err != nil {
			return
		}
		_, err = session.Channel(ctx)
		session.Close()
		again = rabbitmq.IsNotAllowed(err)
	}
	wait := roomSettle
	if !full { // then there is room for as many as were tried
		wait /= 5
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
}
