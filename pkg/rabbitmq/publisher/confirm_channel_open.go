package publisher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/rabbitmq"
)

const (
	// channelTimeout bounds the opening of a channel.
	channelTimeout = 5 * time.Second
	// pauseAfterFailure keeps a failing opening from being tried again in a hot
	// loop.
	pauseAfterFailure = 200 * time.Millisecond
)

// open opens an AMQP channel in confirm mode.
func (c *confirmChannel) open(ctx context.Context) (*inflight, error) {
	session, err := c.connection.Await(ctx)
	if err != nil {
		return nil, err
	}
	openCtx, cancel := context.WithTimeout(ctx, channelTimeout)
	defer cancel()
	session, ch, release, err := c.openChannel(openCtx, session)
	if err != nil {
		return nil, fmt.Errorf("open channel: %w", errors.Join(err, backoff.Sleep(ctx, pauseAfterFailure)))
	}
	f := newInflight(c, session, ch, release)
	if err := ch.Confirm(openCtx); err != nil {
		f.close()
		return nil, fmt.Errorf("set confirm mode: %w", errors.Join(err, backoff.Sleep(ctx, pauseAfterFailure)))
	}
	return f, nil
}

// openChannel opens a channel on the session, or where the broker allows no more
// there, on a spare connection, and returns what gives its place back.
func (c *confirmChannel) openChannel(ctx context.Context, session *rabbitmq.Session) (*rabbitmq.Session, *rabbitmq.Channel, func(), error) {
	slot, err := c.options.Quota.Take(ctx, false)
	if err != nil {
		return nil, nil, nil, err //nolint:wrapcheck // the caller says what it is
	}
	ch, err := session.Channel(ctx)
	if err == nil {
		slot.Opened()
		return session, ch, slot.Release, nil
	}
	if !rabbitmq.IsChannelMax(err) {
		slot.Release()
		return nil, nil, nil, err //nolint:wrapcheck // the caller says what it is
	}
	slot.Opened()
	spare, err := c.spare.Acquire(ctx, false)
	if err != nil {
		slot.Release()
		return nil, nil, nil, err //nolint:wrapcheck // the caller says what it is
	}
	release := func() { slot.Release(); c.spare.Release(spare) }
	if session, err = spare.AwaitAllowed(ctx); err == nil {
		ch, err = session.Channel(ctx)
	}
	if err != nil {
		if rabbitmq.IsChannelMax(err) {
			c.spare.MarkFull(spare)
		}
		release()
		return nil, nil, nil, err //nolint:wrapcheck // the caller says what it is
	}
	return session, ch, release, nil
}
