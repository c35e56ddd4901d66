package httpconn

import (
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

const (
	// handshakeTimeout is how long what the server says in a handshake may wait
	// for its client. What the client says has the deadline of a request's head.
	handshakeTimeout = 10 * time.Second
	// farewellTimeout is how long the last word of TLS may wait, when a connection
	// closes.
	farewellTimeout = 100 * time.Millisecond
)

// StatusPlainHTTP is what Options.Refusal is called with where HTTP is spoken and
// TLS expected (as nginx calls it). The answer's status is 400.
const StatusPlainHTTP = 497

// wire is what a connection with TLS sends and receives by.
type wire struct {
	net.Conn

	// closing keeps crypto/tls from waiting for 5 s until who reads nothing takes
	// its last word: those who close may have many connections to close.
	closing atomic.Bool
}

// SetWriteDeadline implements net.Conn.
func (w *wire) SetWriteDeadline(t time.Time) error {
	if w.closing.Load() {
		t = time.Now().Add(farewellTimeout)
	}
	return w.Conn.SetWriteDeadline(t) //nolint:wrapcheck // as the connection says it
}

// newConn returns what the server gets of a connection.
func newConn(s *Connections, inner net.Conn) *Conn {
	c := &Conn{Conn: inner, raw: inner, connections: s, left: s.o.Pace.Floor}
	if s.o.TLS != nil {
		c.wire = &wire{Conn: inner}
		c.Conn = tls.Server(c.wire, s.o.TLS)
	}
	return c
}

// greet shakes hands. The deadline for writing stays as it is afterwards: each
// answer sets its own, and what TLS says by itself in between shall not wait for
// ever either.
func (c *Conn) greet() error {
	secure, ok := c.Conn.(*tls.Conn)
	if !ok {
		return nil
	}
	err := c.raw.SetWriteDeadline(time.Now().Add(handshakeTimeout))
	if err == nil {
		err = secure.Handshake() //nolint:noctx // it has deadlines
	}
	if err == nil {
		return nil
	}
	if plain, ok := errors.AsType[tls.RecordHeaderError](err); ok && plain.Conn != nil && looksLikeHTTP(plain.RecordHeader) {
		_ = c.raw.SetWriteDeadline(time.Now().Add(refusalTimeout))
		_, _ = c.raw.Write(c.connections.refusal(StatusPlainHTTP, c.RemoteAddr()))
	}
	c.connections.o.Ended(Event{Reason: Handshake, Remote: c.RemoteAddr(), Err: err})
	return err
}

// looksLikeHTTP reports whether what should have been the head of a TLS record is
// the beginning of a request.
func looksLikeHTTP(head [5]byte) bool {
	switch string(head[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "PATCH", "DELET", "OPTIO":
		return true
	}
	return false
}
