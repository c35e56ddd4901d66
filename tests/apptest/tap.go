package apptest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Tap sits between the service and the broker: it counts what passes, and
// breaks the connections when it is told to. It reads AMQP 0-9-1 frames, see
// chapter 4 of the specification.
type Tap struct {
	url      string
	target   string
	listener net.Listener
	work     sync.WaitGroup

	mu          sync.Mutex
	conns       map[net.Conn]struct{}
	closed      bool
	deaf        bool
	tags        []string
	deleted     map[string]bool
	deliveries  int
	redelivered int
}

// NewTap returns a Tap in front of the broker at this URL. It ends with the
// test.
func NewTap(t testing.TB, brokerURL string) *Tap {
	t.Helper()
	u, err := url.Parse(brokerURL)
	require.NoError(t, err)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &Tap{target: u.Host, listener: listener, conns: make(map[net.Conn]struct{}), deleted: make(map[string]bool)}
	u.Host = listener.Addr().String()
	p.url = u.String()
	p.work.Go(p.accept)
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.Cut()
		p.work.Wait()
	})
	return p
}

// URL is what the service is to take for the broker's.
func (p *Tap) URL() string { return p.url }

// Cut breaks all connections at once, without a word to either side.
func (p *Tap) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close() // its two goroutines notice
	}
}

// Deafen keeps everything but heartbeats from the broker: it seems to be alive
// and answers nothing. Connections cannot be made meanwhile.
func (p *Tap) Deafen(deaf bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = deaf
}

// Tags returns the consumer tags that the service asked for, in order.
func (p *Tap) Tags() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.tags...)
}

// Deleted tells whether the service asked for the deletion of a queue.
func (p *Tap) Deleted(queue string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deleted[queue]
}

// Deliveries returns how many messages were delivered to the service, and how
// many of these were marked as delivered before.
func (p *Tap) Deliveries() (all, again int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deliveries, p.redelivered
}

func (p *Tap) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.DialTimeout("tcp", p.target, 5*time.Second) //nolint:noctx // ends with its test
		if err != nil {
			_ = client.Close() // as if nobody listened
			continue
		}
		if !p.add(client, server) {
			return
		}
		p.work.Go(func() { defer p.remove(client, server); p.pass(server, client, false) })
		p.work.Go(func() { defer p.remove(client, server); p.pass(client, server, true) })
	}
}

func (p *Tap) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		if p.closed {
			_ = conn.Close() // nobody has it yet
			continue
		}
		p.conns[conn] = struct{}{}
	}
	return !p.closed
}

func (p *Tap) remove(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		delete(p.conns, conn)
		_ = conn.Close() // the other direction ends as well
	}
}

// pass copies frames until one side is gone.
func (p *Tap) pass(to io.Writer, from io.Reader, fromBroker bool) {
	const protocolHeader = 8
	in := bufio.NewReaderSize(from, 64<<10)
	if !fromBroker {
		if _, err := io.CopyN(to, in, protocolHeader); err != nil {
			return
		}
	}
	var frame []byte
	for {
		var err error
		if frame, err = readFrame(in, frame); err != nil {
			return
		}
		if !p.note(frame, fromBroker) {
			continue
		}
		if _, err := to.Write(frame); err != nil {
			return
		}
	}
}

// The layout of a frame: type, channel, size, payload, end.
const (
	frameHeader    = 7
	frameEnd       = 1
	methodFrame    = 1
	heartbeatFrame = 8
)

var errFrame = errors.New("no AMQP frame")

// readFrame reads a whole frame into the memory of the one before.
func readFrame(in io.Reader, buf []byte) ([]byte, error) {
	if cap(buf) < frameHeader {
		buf = make([]byte, frameHeader, 256<<10)
	}
	buf = buf[:frameHeader]
	if _, err := io.ReadFull(in, buf); err != nil {
		return nil, err //nolint:wrapcheck // ends the connection, whatever it is
	}
	size := int(binary.BigEndian.Uint32(buf[3:]))
	if size > 1<<20 {
		return nil, errFrame
	}
	whole := frameHeader + size + frameEnd
	if cap(buf) < whole {
		buf = append(make([]byte, 0, whole), buf...)
	}
	buf = buf[:whole]
	_, err := io.ReadFull(in, buf[frameHeader:])
	return buf, err //nolint:wrapcheck // as above
}

// The methods that are counted, class and method in one number.
const (
	queueDelete  = 50<<16 | 40
	basicConsume = 60<<16 | 20
	basicDeliver = 60<<16 | 60
)

// note counts a frame and tells whether it may pass.
func (p *Tap) note(frame []byte, fromBroker bool) (pass bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.deaf && !fromBroker {
		return frame[0] == heartbeatFrame
	}
	p.count(frame, fromBroker)
	return true
}

// count needs mu.
func (p *Tap) count(frame []byte, fromBroker bool) {
	const idLength, reserved = 4, 2
	if frame[0] != methodFrame || len(frame) < frameHeader+idLength+frameEnd {
		return
	}
	arguments := frame[frameHeader+idLength : len(frame)-frameEnd]
	method := binary.BigEndian.Uint32(frame[frameHeader:])
	switch {
	case fromBroker && method == basicDeliver:
		_, rest := shortString(arguments)
		const tag = 8 // the delivery tag is before the flag
		p.deliveries++
		if rest[tag] != 0 {
			p.redelivered++
		}
	case fromBroker:
	case method == basicConsume:
		_, rest := shortString(arguments[reserved:])
		tag, _ := shortString(rest)
		if !strings.HasPrefix(tag, "probe_") { // these try out whether a queue works
			p.tags = append(p.tags, tag)
		}
	case method == queueDelete:
		name, _ := shortString(arguments[reserved:])
		p.deleted[name] = true
	}
}

func shortString(b []byte) (text string, rest []byte) {
	n := int(b[0])
	return string(b[1 : 1+n]), b[1+n:]
}
