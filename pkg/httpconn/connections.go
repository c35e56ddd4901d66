package httpconn

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Reason is why a connection was ended, or not let in.
type Reason string

// The reasons.
const (
	// Unread: an answer was not read fast enough.
	Unread Reason = "answer_unread"
	// IdleAddress: its address opened more than its share, and of its idle
	// connections it was the longest idle.
	IdleAddress Reason = "idle_of_address"
	// IdleAll: there were as many as there may be, and its address had most of
	// those addresses with an idle one.
	IdleAll Reason = "idle"
	// RefusedAddress: its address has its share, and uses all of it.
	RefusedAddress Reason = "refused_address"
	// RefusedAll: there are as many as there may be, and none may be closed for
	// this one.
	RefusedAll Reason = "refused"
	// Handshake: it was not agreed on how to speak TLS.
	Handshake Reason = "tls_handshake"
)

// Reasons returns all of them.
func Reasons() []Reason {
	return []Reason{Unread, IdleAddress, IdleAll, RefusedAddress, RefusedAll, Handshake}
}

// Event is the end of a connection by this package.
type Event struct {
	Reason Reason
	Remote net.Addr
	// Request is the id that Conn.Serving was last given.
	Request string
	// Written is how much of the answer the client had been sent, for Unread.
	Written int64
	// Err is what was not agreed on, for Handshake.
	Err error
}

// Options configure New.
type Options struct {
	// Limit is how many connections may be open at a time, and PerAddress how
	// many of them may come from one address; 0 for any number. An IPv6 address
	// counts as its network of 64 bits, which one customer has whole.
	Limit, PerAddress int
	// Exempt addresses are proxies, which have the connections of many: only
	// Limit is for them.
	Exempt []netip.Prefix
	// Pace is how fast answers have to be read.
	Pace Pace
	// TLS makes the connections speak it; may be nil. HTTP/2 must not be among its
	// protocols: net/http sees no TLS, and answers are paced by connection.
	TLS *tls.Config
	// Refusal returns the body of the answer to what net/http cannot read, by its
	// status, to HTTP where TLS is expected (StatusPlainHTTP), and, without TLS, to
	// connections that are not let in (503); may be nil.
	Refusal func(status int, remote net.Addr) (contentType string, body []byte)
	// Ended is called for every connection that was ended; may be nil. It must not
	// block, and may be called by several goroutines at once.
	Ended func(Event)
}

// Connections are those of a server. They are safe for concurrent use.
type Connections struct {
	o Options

	mu    sync.Mutex
	open  int                  // guarded by mu
	peers map[netip.Addr]*peer // guarded by mu; none without a connection
}

// peer is an address with its connections. All of it is guarded by
// Connections.mu.
type peer struct {
	addr netip.Addr
	open int
	// idle are its connections (*Conn) without a request, the longest idle
	// first.
	idle   list.List
	exempt bool
}

// New returns what keeps the connections of the listeners that it is given.
func New(o Options) *Connections {
	o.Pace = o.Pace.orDefaults()
	if o.Ended == nil {
		o.Ended = func(Event) {}
	}
	return &Connections{o: o, peers: make(map[netip.Addr]*peer)}
}

// Open returns how many connections there are.
func (s *Connections) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// Listen returns a listener whose connections are kept within the bounds. What
// is refused is closed without being accepted. The server must call State.
func (s *Connections) Listen(l net.Listener) net.Listener { return &listener{l, s} }

type listener struct {
	net.Listener

	connections *Connections
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // net/http looks at what it is
		}
		if c := l.connections.admit(inner); c != nil {
			return c, nil
		}
	}
}

// State is for http.Server.ConnState: it keeps the list of idle connections, of
// which one that has not sent its first request is one.
func (s *Connections) State(c net.Conn, state http.ConnState) {
	conn, ok := c.(*Conn)
	if !ok {
		return
	}
	switch state {
	case http.StateIdle:
		conn.answered()
		s.setIdle(conn, true)
	case http.StateActive, http.StateHijacked:
		s.setIdle(conn, false)
	case http.StateNew, http.StateClosed: // by admit and Conn.Close
	}
}

// admit takes a connection in, for which others may have to go, or closes it
// and returns nil.
func (s *Connections) admit(inner net.Conn) *Conn {
	bufferLess(inner)
	c := newConn(s, inner)
	victim, reason := s.count(c)
	if victim == c {
		s.o.Ended(Event{Reason: reason, Remote: inner.RemoteAddr()})
		s.refuse(inner)
		return nil
	}
	if victim != nil {
		s.o.Ended(Event{Reason: reason, Remote: victim.RemoteAddr()})
		_ = victim.raw.Close() // its goroutine notices, and closes it once more
	}
	return c
}

// count counts the connection, and returns which one has to be closed for it:
// none, one that is idle, or, uncounted, the connection itself.
func (s *Connections) count(c *Conn) (victim *Conn, reason Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	addr := network(c.RemoteAddr())
	p := s.peers[addr]
	if p == nil {
		p = &peer{addr: addr, exempt: s.exempt(addr, c.RemoteAddr())}
	}
	if s.o.PerAddress > 0 && !p.exempt && p.open >= s.o.PerAddress {
		if victim, reason = p.longestIdle(), IdleAddress; victim == nil {
			return c, RefusedAddress
		}
	} else if s.o.Limit > 0 && s.open >= s.o.Limit {
		if victim, reason = s.dispensable(p), IdleAll; victim == nil {
			return c, RefusedAll
		}
	}
	if victim != nil {
		s.uncount(victim)
	}
	s.peers[addr] = p
	c.peer, c.counted = p, true
	p.open++
	s.open++
	c.idle = p.idle.PushBack(c)
	return victim, reason
}

// dispensable returns the longest idle connection of the address that has most
// of all that have an idle one, so that a client that opens many loses them first.
// It is nil when that has fewer than the newcomer's address. The caller has mu.
func (s *Connections) dispensable(newcomer *peer) *Conn {
	var most *peer
	for _, p := range s.peers {
		if p.idle.Len() > 0 && !p.exempt && (most == nil || p.open > most.open) {
			most = p
		}
	}
	if most == nil || most.open < newcomer.open {
		most = newcomer
	}
	return most.longestIdle()
}

func (p *peer) longestIdle() *Conn {
	first := p.idle.Front()
	if first == nil {
		return nil
	}
	c, _ := first.Value.(*Conn) // nothing else is in it
	return c
}

// uncount stops counting the connection. The caller has mu.
func (s *Connections) uncount(c *Conn) {
	if !c.counted {
		return
	}
	c.counted = false
	c.leaveIdle()
	c.peer.open--
	s.open--
	if c.peer.open == 0 {
		delete(s.peers, c.peer.addr)
	}
}

// closed is called when a connection closes.
func (s *Connections) closed(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uncount(c)
}

func (s *Connections) setIdle(c *Conn, idle bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.counted {
		return
	}
	c.leaveIdle()
	if idle {
		c.idle = c.peer.idle.PushBack(c)
	}
}

func (s *Connections) exempt(addr netip.Addr, remote net.Addr) bool {
	if tcp, ok := remote.(*net.TCPAddr); ok {
		addr = tcp.AddrPort().Addr().Unmap()
	}
	return slices.ContainsFunc(s.o.Exempt, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// network returns what counts as one address.
func network(remote net.Addr) netip.Addr {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	if addr.Is4() {
		return addr
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return addr
	}
	return prefix.Addr()
}

const (
	// sendBuffer is what the system keeps of an answer that is not read: it is
	// memory too, and what lies there counts as read. It is enough for 2.5 MB a
	// second over 100 ms.
	sendBuffer = 128 << 10
	// refusalTimeout is for an answer that a fresh socket has room for.
	refusalTimeout = 100 * time.Millisecond
)

// bufferLess keeps the system from growing the buffer of a connection to some
// megabytes.
func bufferLess(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBuffer) // else it has the system's own
	}
}

// refuse closes a connection that was not let in, with an answer that says why.
// With TLS there is none: to agree on keys takes more than it has a share of.
func (s *Connections) refuse(c net.Conn) {
	if s.o.TLS == nil {
		_ = c.SetWriteDeadline(time.Now().Add(refusalTimeout))
		_, _ = c.Write(s.refusal(http.StatusServiceUnavailable, c.RemoteAddr()))
	}
	_ = c.Close()
}
