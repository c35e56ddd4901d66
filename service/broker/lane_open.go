package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lanekeeper/pkg/rabbitmq"
)

func (l *lane) open(ctx context.Context) (*laneSession, error) {
	session, err := l.connection.Await(ctx)
	if err != nil {
		return nil, err
	}
	openCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	session, ch, release, err := l.openChannel(openCtx, session)
	if err != nil {
		return nil, fmt.Errorf("open channel: %w", errors.Join(err, pause(ctx)))
	}
	s := &laneSession{
		lane: l, session: session, channel: ch, leave: release, frameSize: session.FrameSize(),
		closed:   closing(ch),
		returns:  ch.NotifyReturn(returnBuffer),
		silent:   make(chan struct{}),
		returned: make(map[label]int),
		tallies:  make(map[string]*tally),
	}
	if err := ch.Confirm(openCtx); err != nil {
		s.close()
		return nil, fmt.Errorf("set confirm mode: %w", errors.Join(err, pause(ctx)))
	}
	return s, nil
}

// openChannel opens a channel on the session, or where the broker allows that
// no more, on a spare connection, and returns what gives its place back.
func (l *lane) openChannel(ctx context.Context, session *rabbitmq.Session) (*rabbitmq.Session, *rabbitmq.Channel, func(), error) {
	at, err := l.room.take(ctx, false)
	if err != nil {
		return nil, nil, nil, err
	}
	ch, err := session.Channel(ctx)
	if err == nil {
		at.settled()
		return session, ch, at.release, nil
	}
	if !rabbitmq.IsChannelMax(err) {
		at.release()
		return nil, nil, nil, err //nolint:wrapcheck // the caller says what it is
	}
	at.settled()
	c, err := l.spare.acquire(ctx, false)
	if err != nil {
		at.release()
		return nil, nil, nil, err
	}
	release := func() { at.release(); l.spare.release(c) }
	if session, err = c.connection.AwaitAllowed(ctx); err == nil {
		ch, err = session.Channel(ctx)
	}
	if err != nil {
		if rabbitmq.IsChannelMax(err) {
			l.spare.crowd(c)
		}
		release()
		return nil, nil, nil, err //nolint:wrapcheck // the caller says what it is
	}
	return session, ch, release, nil
}
