package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
)

// side tells which way a message goes.
type side bool

const (
	toServer side = true
	toClient side = false
)

// protocol reads whole messages, so that a proxy can cut between them.
type protocol interface {
	// greet reads what comes before the first message of this side.
	greet(in *bufio.Reader, from side) ([]byte, error)
	// next reads one message into buf.
	next(in *bufio.Reader, buf []byte) ([]byte, error)
}

// proxy sits between the service and one of its servers, and breaks their
// connections: all at once, or one exactly before a message that matters.
type proxy struct {
	protocol protocol
	// matters tells whether this message is one to cut before.
	matters  func(message []byte, to side) bool
	target   string
	listener net.Listener
	work     sync.WaitGroup

	armed atomic.Int64 // how many more such messages are to be swallowed
	cuts  atomic.Int64

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

// newProxy returns a proxy in front of the server at address, and the address
// that the service is to take for the server's.
func (st *stage) newProxy(address string, p protocol, matters func([]byte, side) bool) (*proxy, string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, "", fmt.Errorf("read an address: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", fmt.Errorf("listen: %w", err)
	}
	x := &proxy{protocol: p, matters: matters, target: u.Host, listener: listener, conns: make(map[net.Conn]struct{})}
	st.proxies = append(st.proxies, x)
	x.work.Go(x.accept)
	mine, err := withHost(address, listener.Addr().String())
	return x, mine, err
}

// arm makes the proxy cut one connection, before the next message that
// matters.
func (p *proxy) arm() { p.armed.Add(1) }

// cutAll breaks all connections at once, without a word to either side.
func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close() // its two goroutines notice
	}
}

func (p *proxy) close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cutAll()
	p.work.Wait()
	return err
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close() // as if nobody listened
			continue
		}
		if !p.add(client, server) {
			return
		}
		p.work.Go(func() { defer p.remove(client, server); p.pass(server, client, toServer) })
		p.work.Go(func() { defer p.remove(client, server); p.pass(client, server, toClient) })
	}
}

func (p *proxy) add(conns ...net.Conn) bool {
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

func (p *proxy) remove(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		delete(p.conns, conn)
		_ = conn.Close() // the other direction ends as well
	}
}

// pass copies messages until one side is gone or the proxy cuts. Messages are
// flushed when no more are waiting, so that the proxy is not slower than need
// be.
func (p *proxy) pass(to io.Writer, from io.Reader, way side) {
	in, out := bufio.NewReaderSize(from, 64<<10), bufio.NewWriterSize(to, 64<<10)
	message, err := p.protocol.greet(in, way)
	for {
		if err != nil {
			_ = out.Flush() // what was read before is passed on
			return
		}
		if len(message) > 0 && p.matters != nil && p.matters(message, way) && p.take() {
			_ = out.Flush()
			p.cuts.Add(1)
			return
		}
		if _, err := out.Write(message); err != nil {
			return
		}
		if in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return
			}
		}
		message, err = p.protocol.next(in, message)
	}
}

// take uses up one of the cuts that were asked for.
func (p *proxy) take() bool {
	for {
		n := p.armed.Load()
		if n == 0 {
			return false
		}
		if p.armed.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

var errProtocol = errors.New("not the protocol that was expected")

// fill makes buf hold the header and then size more bytes from in.
func fill(in io.Reader, buf []byte, header, size int) ([]byte, error) {
	whole := header + size
	if cap(buf) < whole {
		buf = append(make([]byte, 0, whole), buf[:header]...)
	}
	buf = buf[:whole]
	_, err := io.ReadFull(in, buf[header:])
	return buf, err //nolint:wrapcheck // ends the connection, whatever it is
}

// head makes buf hold the first n bytes of a message.
func head(in io.Reader, buf []byte, n int) ([]byte, error) {
	if cap(buf) < n {
		buf = make([]byte, n, 64<<10)
	}
	buf = buf[:n]
	_, err := io.ReadFull(in, buf)
	return buf, err //nolint:wrapcheck // ends the connection, whatever it is
}
