package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"time"
)

// Side is where a message is going.
type Side bool

// The sides of a connection.
const (
	ToServer Side = true
	ToClient Side = false
)

// Verdict is what becomes of a message.
type Verdict uint8

// The verdicts.
const (
	// Pass hands the message on.
	Pass Verdict = iota
	// Drop makes as if it had never been sent.
	Drop
	// Cut breaks the connection before it, without a word to either side.
	Cut
)

// Judge decides about a message, which is valid until it returns. It may take
// its time: only this direction of this connection waits for it. It must be
// safe for concurrent use.
type Judge func(message []byte, to Side) Verdict

// Answerer may answer a message in the place of the server, which does not get
// it then; nil passes it to the judge. It must be safe for concurrent use.
type Answerer func(message []byte) (answer []byte)

// Proxy passes connections on to a server. Methods are safe for concurrent
// use.
type Proxy struct {
	protocol Protocol
	judge    Judge
	answer   Answerer
	address  url.URL // of the proxy
	target   string
	listener net.Listener
	work     sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
	// silence is closed when the connections that there are fall silent, and
	// cut when they are broken; both are replaced then.
	silence, cut chan struct{}
}

// New returns a Proxy in front of the server that has this URL. Close ends it;
// the end of ctx does not.
func New(ctx context.Context, server string, p Protocol, judge Judge) (*Proxy, error) {
	return NewAnswering(ctx, server, p, judge, nil)
}

// NewAnswering is New for a proxy that answers some messages itself.
func NewAnswering(ctx context.Context, server string, p Protocol, judge Judge, answer Answerer) (*Proxy, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, fmt.Errorf("read the server's address: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	x := &Proxy{
		protocol: p, judge: judge, answer: answer, address: *u, target: u.Host, listener: listener, conns: make(map[net.Conn]struct{}),
		silence: make(chan struct{}), cut: make(chan struct{}),
	}
	x.address.Host = listener.Addr().String()
	x.work.Go(func() { x.accept(context.WithoutCancel(ctx)) })
	return x, nil
}

// URL is what the service is to take for the server's.
func (p *Proxy) URL() string { return p.address.String() }

// Silence makes the connections that there are fall silent, as when a network
// goes: nothing is read from either side, handed on or closed any more. Those
// that come later are not affected.
func (p *Proxy) Silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.silence)
	p.silence = make(chan struct{})
}

// CutAll breaks all connections at once, without a word to either side.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.cut)
	p.cut = make(chan struct{})
	for conn := range p.conns {
		_ = conn.Close() // its two goroutines notice
	}
}

// Close breaks all connections, takes no more, and waits for its goroutines.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.CutAll()
	p.work.Wait()
	return err //nolint:wrapcheck // says what it closed
}

func (p *Proxy) accept(ctx context.Context) {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := dialer.DialContext(ctx, "tcp", p.target)
		if err != nil {
			_ = client.Close() // as if nothing listened
			continue
		}
		q, ok := p.add(client, server)
		if !ok {
			return
		}
		toServer, toClient := newMessageWriter(server), newMessageWriter(client)
		p.work.Go(func() { defer p.remove(client, server); p.pass(toServer, toClient, client, ToServer, q) })
		p.work.Go(func() { defer p.remove(client, server); p.pass(toClient, nil, server, ToClient, q) })
	}
}

// quiet is how a connection learns that it has fallen silent, and was cut then.
type quiet struct{ silence, cut <-chan struct{} }

// wait returns when the connection may go on.
func (q quiet) wait() {
	select {
	case <-q.silence:
		<-q.cut
	default:
	}
}

func (p *Proxy) add(conns ...net.Conn) (quiet, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		if p.closed {
			_ = conn.Close() // nothing has it yet
			continue
		}
		p.conns[conn] = struct{}{}
	}
	return quiet{p.silence, p.cut}, !p.closed
}

func (p *Proxy) remove(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		delete(p.conns, conn)
		_ = conn.Close() // the other direction ends as well
	}
}

// pass copies messages until one side is gone or the judge cuts. They are
// flushed when no more are waiting, so that the proxy is not slower than need
// be.
func (p *Proxy) pass(out, back *messageWriter, from io.Reader, way Side, q quiet) {
	in := bufio.NewReaderSize(from, 64<<10)
	message, err := p.protocol.greet(in, way)
	for err == nil {
		q.wait()
		verdict := Pass
		if way == ToServer && p.answer != nil && len(message) > 0 {
			if answer := p.answer(message); answer != nil {
				verdict, err = Drop, back.write(answer, true)
			}
		}
		if verdict == Pass && len(message) > 0 && p.judge != nil {
			verdict = p.judge(message, way)
		}
		if verdict == Cut {
			break
		}
		if err == nil && verdict == Pass {
			err = out.write(message, false)
		}
		if err == nil && in.Buffered() == 0 {
			err = out.write(nil, true)
		}
		if err == nil {
			message, err = p.protocol.next(in, message)
		}
	}
	q.wait()                 // the end is not handed on either
	_ = out.write(nil, true) // what came before is passed on
}

// messageWriter writes whole messages of more than one goroutine.
type messageWriter struct {
	mu  sync.Mutex
	out *bufio.Writer // guarded by mu
}

func newMessageWriter(to io.Writer) *messageWriter {
	return &messageWriter{out: bufio.NewWriterSize(to, 64<<10)}
}

func (w *messageWriter) write(message []byte, flush bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.out.Write(message); err != nil {
		return err //nolint:wrapcheck // ends the connection, whatever it is
	}
	if flush {
		return w.out.Flush() //nolint:wrapcheck // as above
	}
	return nil
}
