package broker

import (
	"context"
	"slices"
	"sync"

	"lanekeeper/pkg/rabbitmq"
)

// channelsPerConnection bounds how many tenants one lost connection hits.
const channelsPerConnection = 500

// subscribers spreads subscriptions over connections. Run owns the goroutines
// of the connections; the lock guards the list and the counts only.
type subscribers struct {
	connect func(n int) *rabbitmq.Connection
	added   chan *consumeConnection

	mu   sync.Mutex
	made int // connections so far, for their names
	load []*consumeConnection
}

type consumeConnection struct {
	connection *rabbitmq.Connection
	channels   int           // guarded by subscribers.mu
	alone      chan struct{} // closed to end a connection for one channel; nil for others
}

func newSubscribers(connect func(n int) *rabbitmq.Connection) *subscribers {
	return &subscribers{connect: connect, added: make(chan *consumeConnection)}
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
			if c.channels < channelsPerConnection {
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
