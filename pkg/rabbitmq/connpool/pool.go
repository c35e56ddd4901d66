package connpool

import (
	"context"
	"slices"
	"sync"
	"time"

	"lanekeeper/pkg/rabbitmq"
)

const (
	// ChannelsPerConnection bounds how many channels one lost connection hits. The
	// broker may allow fewer, and then an eighth of those is left for channels that
	// are closed here and not there.
	ChannelsPerConnection = 500
	leftFraction          = 8
	// fullFor is how long a connection gets no more channels that turned out to
	// have no number for one.
	fullFor = 10 * time.Second
)

// Pool spreads channels over connections. It is safe for concurrent use.
type Pool struct {
	connect func(n int) *rabbitmq.Connection
	// limits are those of another connection to the same broker, for one that was
	// never open.
	limits func() rabbitmq.Limits
	added  chan *Conn

	mu     sync.Mutex
	made   int     // connections so far, for their names
	shared []*Conn // guarded by mu
}

// Conn is one connection of a Pool.
type Conn struct {
	*rabbitmq.Connection

	channels  int           // guarded by the pool's mutex
	fullUntil time.Time     // guarded by the pool's mutex
	released  chan struct{} // closed to end a connection that is alone; nil for others
}

// New returns a Pool without connections. Connect makes the nth one; limits
// returns what the broker allows a connection, for one that was never open.
func New(limits func() rabbitmq.Limits, connect func(n int) *rabbitmq.Connection) *Pool {
	return &Pool{connect: connect, limits: limits, added: make(chan *Conn)}
}

// Run runs the connections as they are added, until ctx ends. Call it once.
func (p *Pool) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case c := <-p.added:
			wg.Go(func() { c.run(ctx) })
		case <-ctx.Done():
			return
		}
	}
}

// Acquire returns a connection with room for one more channel; alone asks for a
// new one that nobody else gets. Give it back with Release.
func (p *Pool) Acquire(ctx context.Context, alone bool) (*Conn, error) {
	c, fresh := p.pick(alone)
	if !fresh {
		return c, nil
	}
	if err := p.Start(ctx, c); err != nil {
		return nil, err
	}
	return c, nil
}

// Alone returns a new connection that nobody else gets, for a caller that cannot
// wait at this moment: hand it to Start. Release ends it.
func (p *Pool) Alone() *Conn {
	c, _ := p.pick(true)
	return c
}

// Start hands a new connection to Run. It fails when ctx ends before.
func (p *Pool) Start(ctx context.Context, c *Conn) error {
	select {
	case p.added <- c:
		return nil
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		p.shared = slices.DeleteFunc(p.shared, func(other *Conn) bool { return other == c })
		return ctx.Err()
	}
}

// Capacity returns how many channels the connection gets.
func (p *Pool) Capacity(c *Conn) int {
	limits := c.Limits()
	if limits.Channels == 0 {
		limits = p.limits()
	}
	return capacity(limits)
}

// MarkFull notes that the connection had no number left for a channel.
func (p *Pool) MarkFull(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.fullUntil = time.Now().Add(fullFor)
}

// Release gives one channel back. Call it once for each Acquire.
func (p *Pool) Release(c *Conn) {
	if c.released != nil {
		close(c.released)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c.channels--
}

// pick returns a connection with one channel more, or a fresh one.
func (p *Pool) pick(alone bool) (c *Conn, fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !alone {
		for _, c := range p.shared {
			if c.channels < p.Capacity(c) && !time.Now().Before(c.fullUntil) {
				c.channels++
				return c, false
			}
		}
	}
	p.made++
	c = &Conn{Connection: p.connect(p.made), channels: 1}
	if alone {
		c.released = make(chan struct{})
	} else {
		p.shared = append(p.shared, c)
	}
	return c, true
}

func capacity(l rabbitmq.Limits) int {
	if l.Channels == 0 {
		return ChannelsPerConnection
	}
	return min(ChannelsPerConnection, l.Channels-max(1, l.Channels/leftFraction))
}

// run runs the connection until ctx ends, or until one that is alone is released.
func (c *Conn) run(ctx context.Context) {
	if c.released == nil {
		c.Run(ctx)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Run(ctx)
	}()
	select {
	case <-c.released:
		cancel()
	case <-ctx.Done():
	}
	<-ended
}
