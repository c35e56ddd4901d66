package rabbitmq

import (
	"errors"
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

// maxAbandoned bounds the steps of a session that were given up and that the
// broker has not answered. Each has a channel, of which a connection has about
// 2,000; a broker that does not answer any more ends with the heartbeat.
const maxAbandoned = 256

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
	// abandoned counts the steps that nobody waits for any more.
	abandoned atomic.Int64

	mu     sync.Mutex
	closed bool           // no more steps; guarded by mu
	steps  sync.WaitGroup // what is asked of the broker; added to under mu
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

// Blocked reports whether the broker takes no publications for now, because it
// is short of memory or disk.
func (s *Session) Blocked() bool { return s.blocked.Load() }

// Limits returns what was agreed on when the session began.
func (s *Session) Limits() Limits {
	c := &s.conn.Config
	return Limits{Channels: int(c.ChannelMax), FrameSize: c.FrameSize, Heartbeat: c.Heartbeat}
}

// Close ends the session within closeTimeout and waits for its goroutines.
func (s *Session) Close() {
	// The library's own deadline is put off by every heartbeat of a broker
	// that does not answer.
	timeout := time.AfterFunc(closeTimeout, func() { _ = s.socket.Close() })
	defer timeout.Stop()
	_ = s.conn.Close()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.steps.Wait() // each of them ends with the connection
	s.watch.Wait()
}

// run runs work on a goroutine that Close waits for. It reports false, and
// does not, when the session is closed.
func (s *Session) run(work func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.steps.Go(work)
	return true
}

// IsNotFound reports whether err is the broker's answer that a queue or an
// exchange does not exist.
func IsNotFound(err error) bool { return hasCode(err, amqp.NotFound) }

// IsPreconditionFailed reports whether err is the broker's answer that a queue
// or an exchange exists with other arguments.
func IsPreconditionFailed(err error) bool { return hasCode(err, amqp.PreconditionFailed) }

func hasCode(err error, code int) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Code == code
}
