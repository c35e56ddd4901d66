package httpconn

import (
	"cmp"
	"container/list"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Pace is how fast an answer has to be read: Rate bytes a second on average.
// Only the time counts in which the client keeps the answer waiting, not that
// in which it is made.
type Pace struct {
	// Floor is what every answer may be kept waiting, however small it is.
	Floor time.Duration
	// Rate is for how many bytes a second is added.
	Rate int
	// Ceiling is the longest that an answer may be kept waiting at a time,
	// however much was read before.
	Ceiling time.Duration
}

// The defaults of Pace.
const (
	DefaultFloor   = 10 * time.Second
	DefaultRate    = 64 << 10
	DefaultCeiling = 30 * time.Second
)

func (p Pace) orDefaults() Pace {
	p.Floor = cmp.Or(p.Floor, DefaultFloor)
	p.Rate = cmp.Or(p.Rate, DefaultRate)
	p.Ceiling = max(p.Floor, cmp.Or(p.Ceiling, DefaultCeiling))
	return p
}

// worth returns the time for n bytes.
func (p Pace) worth(n int) time.Duration {
	return time.Duration(int64(n) * int64(time.Second) / int64(p.Rate))
}

// pieceBytes is how much is written under one deadline.
const pieceBytes = 32 << 10

// Conn is a connection of a server. An answer that is not read at the pace is
// cut, with the connection, unless its handler sets deadlines of its own, which
// then hold until the answer is complete.
type Conn struct {
	net.Conn

	connections *Connections
	// raw is what the system has, below TLS; wire is nil without TLS.
	raw  net.Conn
	wire *wire
	// greeted is whether the handshake was tried; only who reads uses it.
	greeted bool
	// peer is written before the connection is served; the others are guarded by
	// Connections.mu. Idle is nil while there is a request.
	peer    *peer
	counted bool
	idle    *list.Element

	mu sync.Mutex
	// own is whether the handler sets the deadlines.
	own bool // guarded by mu
	// left is how long the client may still keep the answer waiting.
	left    time.Duration // guarded by mu
	written int64         // of this answer; guarded by mu
	request string        // guarded by mu
	cut     bool          // guarded by mu
}

// Serving sets the id of the request under way, for Event.Request.
func (c *Conn) Serving(request string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.request = request
}

// Cut reports whether the connection was ended because an answer was not read.
func (c *Conn) Cut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut
}

// Read implements net.Conn. The first one shakes hands, where there is TLS.
func (c *Conn) Read(p []byte) (int, error) {
	if c.wire != nil && !c.greeted {
		c.greeted = true
		if err := c.greet(); err != nil {
			return 0, io.EOF // to which net/http answers nothing
		}
	}
	return c.Conn.Read(p) //nolint:wrapcheck // as the connection says it
}

// Write implements net.Conn. What net/http says by itself of a request that it
// cannot read is replaced by what Options.Refusal says.
func (c *Conn) Write(data []byte) (int, error) {
	if status := refusalStatus(data); status != 0 && !c.serving() {
		if _, err := c.write(c.connections.refusal(status, c.RemoteAddr())); err != nil {
			return 0, err
		}
		return len(data), nil
	}
	return c.write(data)
}

func (c *Conn) write(data []byte) (written int, err error) {
	for {
		paced, err := c.allow()
		if err != nil {
			return written, err
		}
		piece := data[written:min(len(data), written+pieceBytes)]
		begun := time.Now()
		n, err := c.Conn.Write(piece)
		written += n
		if paced {
			c.took(n, time.Since(begun), err)
		}
		if err != nil || written == len(data) {
			return written, err //nolint:wrapcheck // as the connection says it
		}
	}
}

// allow sets the deadline for a piece, and reports whether it did. It does
// nothing where the handler sets deadlines.
func (c *Conn) allow() (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own {
		return false, nil
	}
	return true, c.Conn.SetWriteDeadline(time.Now().Add(c.left)) //nolint:wrapcheck // as the connection says it
}

// took charges the client for the time in which n bytes were taken.
func (c *Conn) took(n int, elapsed time.Duration, err error) {
	pace := c.connections.o.Pace
	c.mu.Lock()
	c.written += int64(n)
	c.left = min(c.left-elapsed+pace.worth(n), pace.Ceiling)
	late := errors.Is(err, os.ErrDeadlineExceeded) && !c.own && !c.cut
	c.cut = c.cut || late
	event := Event{Reason: Unread, Remote: c.RemoteAddr(), Request: c.request, Written: c.written}
	c.mu.Unlock()
	if !late {
		return
	}
	if tcp, ok := c.raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // what the system still has will not be read
	}
	c.connections.o.Ended(event)
}

// SetWriteDeadline implements net.Conn. It takes the deadlines over from the
// pace, and with the zero time gives them back.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own = !t.IsZero()
	return c.Conn.SetWriteDeadline(t) //nolint:wrapcheck // as the connection says it
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// answered begins the next answer.
func (c *Conn) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own, c.left, c.written, c.request = false, c.connections.o.Pace.Floor, 0, ""
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.connections.closed(c)
	if c.wire != nil {
		c.wire.closing.Store(true)
	}
	return c.Conn.Close() //nolint:wrapcheck // as the connection says it
}

// serving reports whether a handler answers.
func (c *Conn) serving() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.request != ""
}

// leaveIdle takes the connection off the list of idle ones. The caller has
// Connections.mu.
func (c *Conn) leaveIdle() {
	if c.idle != nil {
		c.peer.idle.Remove(c.idle)
		c.idle = nil
	}
}
