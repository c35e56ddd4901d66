package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/pkg/rabbitmq/connpool"
	"lanekeeper/pkg/rabbitmq/quota"
	"lanekeeper/pkg/rabbitmq/topology"
)

// A broker that is killed right after a declare can leave a quorum queue
// behind that answers passive declares, but never confirms and cannot be
// consumed: basic.consume hangs for 65 s and then closes the connection with
// everybody on it. So a queue is consumed for the first time, and again after
// a failure, on a connection of its own, under a limit. It is stuck when the
// broker, asked after that limit, makes and consumes another queue while the
// consuming of this one is still not answered.
const (
	probeTimeout = 10 * time.Second
	// A queue that was not usable yet holds nothing that was confirmed to
	// anybody, so it is given up sooner, after a second trial. A queue that
	// works is consumed in milliseconds.
	youngProbe       = 2 * time.Second
	secondYoungProbe = time.Second
	// replacedProbe is for a queue that replaced such a one.
	replacedProbe = 3 * time.Second
	// controlTimeout bounds the check that distinguishes a stuck queue from a slow
	// broker.
	controlTimeout = 2 * time.Second
	// channelsPerProbe is how many channels a probe may have open at a time.
	channelsPerProbe = 3
)

var (
	// errStuck: the queue exists and cannot be consumed.
	errStuck = errors.New("the queue cannot be consumed")
	// errSlow: it is not known whether it can be consumed.
	errSlow = errors.New("the broker does not answer in time")
)

// prober finds out whether queues can be consumed. It is safe for concurrent use.
type prober struct {
	connections *connpool.Pool
	quota       *quota.Quota
	states      *queueStates

	mu      sync.Mutex
	current *probeConnection // for new probes; nil until the next one
}

// probeConnection is a connection that probes share. One on which a queue turned
// out to be stuck gets no more of them, and ends with the last it has.
type probeConnection struct {
	conn    *connpool.Conn
	users   int  // guarded by prober.mu
	retired bool // guarded by prober.mu
}

func newProber(connections *connpool.Pool, q *quota.Quota, states *queueStates) *prober {
	return &prober{connections: connections, quota: q, states: states}
}

// probe returns nil when the tenant's queue can be consumed, errStuck when
// the broker answers and the queue does not, and another error when that is not
// known.
func (p *prober) probe(ctx context.Context, id uuid.UUID, limit time.Duration) error {
	if p.states.isProven(id) {
		return nil
	}
	c, err := p.acquire(ctx)
	if err != nil {
		return fmt.Errorf("get connection: %w", err)
	}
	err = p.probeOn(ctx, c.conn.Connection, id, limit)
	p.release(c, errors.Is(err, errStuck))
	return err
}

// acquire returns the connection for a probe; release it afterwards.
func (p *prober) acquire(ctx context.Context) (*probeConnection, error) {
	c, fresh := p.share()
	if !fresh {
		return c, nil
	}
	if err := p.connections.Start(ctx, c.conn); err != nil {
		p.release(c, true)
		return nil, err //nolint:wrapcheck // the caller says what it is
	}
	return c, nil
}

func (p *prober) share() (c *probeConnection, fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil && p.current.users >= p.maxUsers(p.current) {
		p.current.retired, p.current = true, nil
	}
	if p.current == nil {
		p.current, fresh = &probeConnection{conn: p.connections.Alone()}, true
	}
	p.current.users++
	return p.current, fresh
}

func (p *prober) maxUsers(c *probeConnection) int {
	return max(1, p.connections.Capacity(c.conn)/channelsPerProbe)
}

func (p *prober) release(c *probeConnection, retire bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.users--
	if retire {
		c.retired = true
		if p.current == c {
			p.current = nil
		}
	}
	if c.retired && c.users == 0 {
		p.connections.Release(c.conn)
	}
}

// probeOn is one probe on a connection.
func (p *prober) probeOn(ctx context.Context, c *rabbitmq.Connection, id uuid.UUID, limit time.Duration) error {
	session, err := c.AwaitAllowed(ctx)
	if err != nil {
		return err //nolint:wrapcheck // says what failed
	}
	slot, err := p.quota.Take(ctx, false)
	if err != nil {
		return err //nolint:wrapcheck // says what failed
	}
	defer slot.Release()
	ch, err := session.Channel(ctx)
	slot.Opened()
	if err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- tryConsume(asking, ch, id) }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err = <-answer:
	case <-timer.C:
		works := brokerWorks(ctx, session, id)
		select {
		case err = <-answer: // late, but there
		default:
			if works {
				return errStuck // and so is the channel; it ends with its connection
			}
			err = errSlow
		}
	}
	if err == nil {
		ch.Close()
		p.states.prove(id)
		return nil
	}
	select {
	case <-session.Done():
		if session.Err() != nil {
			p.states.connectionLost(id, 0)
		}
	default:
		ch.Close()
	}
	return fmt.Errorf("probe queue: %w", err)
}

func tryConsume(ctx context.Context, ch *rabbitmq.Channel, id uuid.UUID) error {
	deliveries, err := consume(ctx, ch, QueueName(id), "probe_"+id.String(), 1)
	if err != nil {
		return err
	}
	go discard(deliveries) // until the channel is closed, a moment later
	return nil
}

// brokerWorks reports whether the broker is alive on this connection, makes another
// queue and consumes it, and says that this one is there and empty. A queue
// with messages is never taken for one that can be deleted.
func brokerWorks(ctx context.Context, s *rabbitmq.Session, id uuid.UUID) bool {
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	q, exists, err := topology.InspectOn(ctx, s, QueueName(id))
	return err == nil && exists && q.Messages == 0 && tryFreshQueue(ctx, s) == nil
}

func discard(deliveries <-chan amqp.Delivery) {
	for range deliveries { //nolint:revive // they go back to the queue with the channel
	}
}
