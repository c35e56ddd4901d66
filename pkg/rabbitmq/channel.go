package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// ErrBusy is returned for a step on a channel on which another one is under
// way, and for a channel of a session on which too many steps were given up.
var ErrBusy = errors.New("channel is busy")

// channelState is where a Channel is:
//
//	idle --step--> busy --it returned--> idle
//	idle --Close--> closing --answered--> closed
//	busy --its caller gave up, or Close--> abandoned --it returned--> closing
//
// Nothing but channel.close is sent from abandoned on, and that only once the
// step has returned: RabbitMQ takes whatever comes after channel.close for an
// error of the whole connection (504), and the library would take the answer
// to one for the answer to the other.
type channelState uint8

const (
	idle channelState = iota
	busy
	abandoned
	closing
	closed
)

// Channel is one AMQP channel. It belongs to one caller at a time, which takes
// one step after the other; each of its methods that has a context is a step.
// A step that is given up, because its context ended, makes the channel its
// session's, which closes it when the step has returned. A step that never
// returns ends with its session.
type Channel struct {
	session *Session
	raw     *amqp.Channel // written by the step that opens the channel
	done    chan struct{} // closed when the channel is

	mu    sync.Mutex
	state channelState
}

// Channel opens a channel within ctx. It fails with ErrBusy while too many
// steps are under way on this session that were given up.
func (s *Session) Channel(ctx context.Context) (*Channel, error) {
	if s.abandoned.Load() >= maxAbandoned {
		return nil, fmt.Errorf("too many calls are not answered: %w", ErrBusy)
	}
	c := &Channel{session: s, done: make(chan struct{})}
	_, err := step(ctx, c, func() (struct{}, error) {
		raw, err := s.conn.Channel()
		if err == nil {
			c.raw = raw
		}
		return struct{}{}, err
	})
	if err != nil {
		c.abandon()
		return nil, err
	}
	return c, nil
}

// step runs one operation of the library, which knows no contexts.
func step[T any](ctx context.Context, c *Channel, operation func() (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, fmt.Errorf("not asked the broker: %w", err)
	}
	if err := c.begin(); err != nil {
		return none, err
	}
	type result struct {
		value T
		err   error
	}
	results := make(chan result, 1)
	running := c.session.run(func() {
		value, err := operation()
		mustClose := c.returned()
		results <- result{value, err}
		if mustClose {
			c.close()
		}
	})
	if !running {
		c.end()
		return none, ErrClosed
	}
	select {
	case r := <-results:
		return r.value, r.err
	case <-ctx.Done():
		c.abandon()
		return none, fmt.Errorf("no answer from the broker: %w", ctx.Err())
	}
}

func (c *Channel) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.state {
	case idle:
		c.state = busy
		return nil
	case busy:
		return ErrBusy
	case abandoned, closing, closed:
	}
	return ErrClosed
}

// returned notes that the step under way returned, and reports whether the
// channel was abandoned meanwhile, so that it has to be closed.
func (c *Channel) returned() (mustClose bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == abandoned {
		c.state = closing
		c.session.abandoned.Add(-1)
		return true
	}
	c.state = idle
	return false
}

// abandon makes the channel its session's, and reports whether a step is under
// way that has to return first.
func (c *Channel) abandon() (waits bool) {
	c.mu.Lock()
	state := c.state
	switch state {
	case busy:
		c.state = abandoned
		c.session.abandoned.Add(1)
	case idle:
		c.state = closing
	case abandoned, closing, closed:
	}
	c.mu.Unlock()
	if state == idle && !c.session.run(c.close) {
		c.end()
	}
	return state == busy || state == abandoned
}

// close closes the channel; no step is under way.
func (c *Channel) close() {
	if c.raw != nil { // else it was never open
		_ = c.raw.Close()
	}
	c.end()
}

func (c *Channel) end() {
	c.mu.Lock()
	c.state = closed
	c.mu.Unlock()
	close(c.done)
}

// Close closes the channel and waits for the broker's answer, at most
// closeTimeout; what is not answered by then ends with its session. With a
// step under way it does not wait: the channel is closed once that returned.
// It may be called from anywhere, any number of times.
func (c *Channel) Close() {
	if c.abandon() {
		return
	}
	timeout := time.NewTimer(closeTimeout)
	defer timeout.Stop()
	select {
	case <-c.done:
	case <-timeout.C:
	}
}

// Done is closed when the channel is closed after Close or a step that was
// given up, or with its session.
func (c *Channel) Done() <-chan struct{} { return c.done }

// IsClosed reports whether the channel is of no use any more, whichever side
// closed it.
func (c *Channel) IsClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state >= abandoned || c.raw.IsClosed()
}
