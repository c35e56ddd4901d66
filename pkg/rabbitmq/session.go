package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// ErrClosed is returned for work on a session that has ended.
var ErrClosed = errors.New("session closed")

// closeTimeout bounds the closing handshakes of channels and connections.
const closeTimeout = 3 * time.Second

// Session is one live connection. When it breaks, everything that was opened
// on it is gone for good; a new session has a higher epoch. It is safe for
// concurrent use.
type Session struct {
	// Epoch counts the sessions of one Connection, from 1.
	Epoch uint64

	conn    *amqp.Connection
	socket  net.Conn
	blocked atomic.Bool
	done    chan struct{}
	watch   sync.WaitGroup
	err     error // written before done is closed
}

func newSession(conn *amqp.Connection, socket net.Conn, epoch uint64) *Session {
	s := &Session{Epoch: epoch, conn: conn, socket: socket, done: make(chan struct{})}
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	blocking := conn.NotifyBlocked(make(chan amqp.Blocking, 16))
	s.watch.Go(func() {
		for b := range blocking {
			s.blocked.Store(b.Active)
		}
	})
	s.watch.Go(func() {
		defer close(s.done)
		if reason, ok := <-closed; ok && reason != nil {
			s.err = reason
		}
	})
	return s
}

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err returns why the session ended; nil after Close. Call it after Done.
func (s *Session) Err() error { return s.err }

// Blocked tells that the broker takes no publications for now, because it is
// short of memory or disk.
func (s *Session) Blocked() bool { return s.blocked.Load() }

// Channel opens a channel within ctx.
func (s *Session) Channel(ctx context.Context) (*amqp.Channel, error) {
	return Call(ctx, s.conn.Channel, func(ch *amqp.Channel) { CloseChannel(ctx, ch) })
}

// Close ends the session within closeTimeout and waits for its goroutines.
func (s *Session) Close() {
	// The library's own deadline is put off by every heartbeat of a broker
	// that does not answer.
	timeout := time.AfterFunc(closeTimeout, func() { _ = s.socket.Close() })
	defer timeout.Stop()
	_ = s.conn.Close()
	s.watch.Wait()
}

// CloseChannel closes ch and waits for the broker's answer, at most
// closeTimeout, whether or not ctx has ended. What is not answered by then
// ends with its session.
func CloseChannel(ctx context.Context, ch *amqp.Channel) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	_, _ = Call(ctx, func() (struct{}, error) { return struct{}{}, ch.Close() }, nil)
}

// Call runs a blocking operation of the AMQP library, which knows no
// contexts, and returns when it is through or ctx ends. In the latter case
// the operation goes on until its session ends, which the heartbeat bounds,
// and a value that it still returns is given to discard.
func Call[T any](ctx context.Context, operation func() (T, error), discard func(T)) (T, error) {
	type result struct {
		value T
		err   error
	}
	results := make(chan result)
	go func() {
		value, err := operation()
		select {
		case results <- result{value, err}:
		case <-ctx.Done():
			if err == nil && discard != nil {
				discard(value)
			}
		}
	}()
	select {
	case r := <-results:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, fmt.Errorf("no answer from the broker: %w", ctx.Err())
	}
}

// IsNotFound tells whether err is the broker's answer that a queue or an
// exchange does not exist.
func IsNotFound(err error) bool { return hasCode(err, amqp.NotFound) }

// IsPreconditionFailed tells whether err is the broker's answer that a queue
// or an exchange exists with other arguments.
func IsPreconditionFailed(err error) bool { return hasCode(err, amqp.PreconditionFailed) }

func hasCode(err error, code int) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Code == code
}
