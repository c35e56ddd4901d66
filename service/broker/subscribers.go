package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"lanekeeper/domain"
	"lanekeeper/pkg/rabbitmq"
)

const (
	// channelsPerConnection bounds how many tenants one lost connection hits. The
	// broker may allow fewer, and then an eighth of those is left for channels
	// that are closed here and not there.
	channelsPerConnection = 500
	channelsKept          = 8
	// crowdedFor is how long a connection gets no more channels that turned out
	// to have no number for one.
	crowdedFor = 10 * time.Second
)

// subscribers spreads subscriptions over connections. Run owns the goroutines
// of the connections; the lock guards the list and the counts only.
type subscribers struct {
	connect func(n int) *rabbitmq.Connection
	// limits are those of another connection to the same broker, for one that was
	// never open.
	limits func() rabbitmq.Limits
	added  chan *consumeConnection

	mu   sync.Mutex
	made int // connections so far, for their names
	load []*consumeConnection
}

type consumeConnection struct {
	connection *rabbitmq.Connection
	channels   int           // guarded by subscribers.mu
	crowded    time.Time     // until when; guarded by subscribers.mu
	alone      chan struct{} // closed to end a connection for one channel; nil for others
}

func newSubscribers(limits func() rabbitmq.Limits, connect func(n int) *rabbitmq.Connection) *subscribers {
	return &subscribers{connect: connect, limits: limits, added: make(chan *consumeConnection)}
}

// run runs the connections as they are added, until ctx ends.
func (s *subscribers) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case c := <-s.added:
			wg.Go(func() { c.run(ctx) })
		case <-ctx.Done():
			return
		}
	}
}

func (c *consumeConnection) run(ctx context.Context) {
	if c.alone == nil {
		c.connection.Run(ctx)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.connection.Run(ctx)
	}()
	select {
	case <-c.alone:
		cancel()
	case <-ctx.Done():
	}
	<-ended
}

// acquire returns a connection with room for one more channel, or a new one
// that nobody else gets.
func (s *subscribers) acquire(ctx context.Context, alone bool) (*consumeConnection, error) {
	c, fresh := s.pick(alone)
	if !fresh {
		return c, nil
	}
	if err := s.add(ctx, c); err != nil {
		return nil, err
	}
	return c, nil
}

// add hands a fresh connection to run.
func (s *subscribers) add(ctx context.Context, c *consumeConnection) error {
	select {
	case s.added <- c:
		return nil
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		s.load = slices.DeleteFunc(s.load, func(other *consumeConnection) bool { return other == c })
		return ctx.Err()
	}
}

func (s *subscribers) pick(alone bool) (c *consumeConnection, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !alone {
		for _, c := range s.load {
			if c.channels < s.most(c) && !time.Now().Before(c.crowded) {
				c.channels++
				return c, false
			}
		}
	}
	s.made++
	c = &consumeConnection{connection: s.connect(s.made), channels: 1}
	if alone {
		c.alone = make(chan struct{})
	} else {
		s.load = append(s.load, c)
	}
	return c, true
}

// most returns how many channels the connection gets.
func (s *subscribers) most(c *consumeConnection) int {
	limits := c.connection.Limits()
	if limits.Channels == 0 {
		limits = s.limits()
	}
	return mostChannels(limits)
}

func mostChannels(l rabbitmq.Limits) int {
	if l.Channels == 0 {
		return channelsPerConnection
	}
	return min(channelsPerConnection, l.Channels-max(1, l.Channels/channelsKept))
}

// crowd notes that the connection had no number left for a channel.
func (s *subscribers) crowd(c *consumeConnection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.crowded = time.Now().Add(crowdedFor)
}

// release gives one channel back. It is called once for each acquire.
func (s *subscribers) release(c *consumeConnection) {
	if c.alone != nil {
		close(c.alone)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.channels--
}

// channelUse is what a channel for consuming is to be used for.
type channelUse struct {
	queue, tag string
	prefetch   int
	// alone asks for a connection for this channel only, and lasting says that
	// the channel stays for as long as there is a consumer.
	alone, lasting bool
}

// subscribeOn subscribes on one of the pool's connections.
func (b *Broker) subscribeOn(ctx context.Context, pool *subscribers, use channelUse) (*subscription, error) {
	for {
		sub, c, err := b.trySubscribe(ctx, pool, use)
		if rabbitmq.IsChannelMax(err) && ctx.Err() == nil {
			pool.crowd(c)
			continue // on another one
		}
		return sub, err
	}
}

func (b *Broker) trySubscribe(ctx context.Context, pool *subscribers, use channelUse) (*subscription, *consumeConnection, error) {
	c, err := pool.acquire(ctx, use.alone)
	if err != nil {
		return nil, nil, fmt.Errorf("get connection: %w", err)
	}
	if _, err = c.connection.AwaitAllowed(ctx); err != nil { // before a place is taken, for it may take long
		pool.release(c)
		return nil, c, err
	}
	p, err := b.room.take(ctx, use.lasting)
	if err != nil {
		pool.release(c)
		return nil, c, err
	}
	sub, err := subscribe(ctx, c.connection, use.queue, use.tag, use.prefetch, p)
	if err != nil {
		p.release()
		pool.release(c)
		return nil, c, err
	}
	sub.release = func() { p.release(); pool.release(c) }
	return sub, c, nil
}

// admitTimeout is how long Admit waits for connections that are not there yet.
const admitTimeout = time.Second

// Admit returns nil when, as far as can be told, the broker allows the
// connections and channels to consume one more tenant, or is away; otherwise an
// ErrUnavailable that is an ErrNoCapacity.
func (b *Broker) Admit(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	err := b.admit(limited)
	if err == nil || ctx.Err() == nil && limited.Err() != nil {
		return nil // nobody refused
	}
	if refusal := unavailable(err); errors.Is(refusal, domain.ErrNoCapacity) {
		return refusal
	}
	return nil
}

func (b *Broker) admit(ctx context.Context) error {
	if b.control.Session() == nil {
		return nil
	}
	p, err := b.room.take(ctx, true)
	if err != nil {
		return err
	}
	p.release()
	line, err := b.prober.take(ctx)
	if err != nil {
		return fmt.Errorf("get connection: %w", err)
	}
	_, err = line.connection.connection.AwaitAllowed(ctx)
	b.prober.give(line, false)
	if err != nil {
		return err
	}
	c, err := b.subscribers.acquire(ctx, false)
	if err != nil {
		return fmt.Errorf("get connection: %w", err)
	}
	defer b.subscribers.release(c)
	_, err = c.connection.AwaitAllowed(ctx)
	return err
}
