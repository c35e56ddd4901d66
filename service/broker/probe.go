package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/pkg/rabbitmq"
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
	// inspectTimeout bounds what tells a stuck queue from a slow broker.
	inspectTimeout = 2 * time.Second
	// youngQueue is how long a queue may be damaged by a kill of the broker;
	// about a second was seen.
	youngQueue = time.Minute
	// youngTenant is how long after its creation a tenant's main queue is one
	// that was not usable yet when there is no dead-letter queue. Later
	// somebody has deleted that.
	youngTenant = 10 * time.Minute
	// A subscription that ends with its connection within atOnce is a strike;
	// one that lives longEnough wipes them out. With maxStrikes the next
	// subscription gets a connection of its own.
	atOnce     = 50 * time.Millisecond
	longEnough = 2 * time.Second
	maxStrikes = 2
)

var (
	// errStuck: the queue exists and cannot be consumed.
	errStuck = errors.New("the queue cannot be consumed")
	// errSlow: it cannot be told whether it can be consumed.
	errSlow = errors.New("the broker does not answer in time")
)

// prober knows which queues were consumed since their last failure.
type prober struct {
	pool *subscribers // runs the connections
	room *room

	mu     sync.Mutex
	line   *probeLine              // for new probes; nil until the next one
	proven map[uuid.UUID]time.Time // when it was consumed for the first time
	// past has what this process knows of a queue for good.
	past map[uuid.UUID]past
	// strikes counts how often in a row consuming ended the connection at
	// once.
	strikes map[uuid.UUID]int
	memory  memory
}

// past is what was seen of a queue since it was declared.
type past int

const (
	unsealed past = iota + 1 // it was missing, and could not be sealed when it was made
	worked                   // it was consumed, and may be published to
)

// probeLine is a connection that probes share. One on which a queue turned
// out to be stuck gets no more of them, and ends with the last it has.
type probeLine struct {
	connection *consumeConnection
	users      int  // guarded by prober.mu
	retired    bool // guarded by prober.mu
}

func newProber(pool *subscribers, r *room) *prober {
	return &prober{
		pool: pool, room: r, proven: make(map[uuid.UUID]time.Time), past: make(map[uuid.UUID]past), strikes: make(map[uuid.UUID]int),
		memory: newMemory(),
	}
}

func (p *prober) known(id uuid.UUID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, known := p.proven[id]
	return known
}

func (p *prober) prove(id uuid.UUID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proven[id] = time.Now()
	p.past[id] = worked
	p.idleLocked(id)
}

// missing notes that there was no such queue, so that it will be a new one.
func (p *prober) missing(id uuid.UUID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.past[id] = unsealed
}

// sealed notes that the queue was made and sealed.
func (p *prober) sealed(id uuid.UUID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.past[id] == unsealed {
		delete(p.past, id)
	}
}

// unsealed tells whether the queue was made and may not be sealed.
func (p *prober) unsealed(id uuid.UUID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.past[id] == unsealed
}

// forget is for a queue that is deleted.
func (p *prober) forget(id uuid.UUID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.proven, id)
	delete(p.past, id)
	delete(p.strikes, id)
	delete(p.memory.idle, id)
}

// mayHold tells whether there may be messages in the queue that were confirmed
// to somebody. Finished tells that it has a dead-letter queue, which it gets
// after it was sealed and consumed.
func (p *prober) mayHold(id uuid.UUID, finished bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch p.past[id] {
	case unsealed:
		return false
	case worked:
		return true
	default:
		return finished || time.Since(createdAt(id)) > youngTenant
	}
}

// doubt makes the next subscription probe the queue again.
func (p *prober) doubt(id uuid.UUID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.proven, id)
}

// suspect tells whether what is in the tenant's queue seems to end every
// connection it is delivered on. The library gives up a connection when it
// cannot read a frame, and does not say on which channel. Headers that it
// cannot read are replaced before it sees them; this is for what nobody knows
// of.
func (p *prober) suspect(id uuid.UUID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.strikes[id] >= maxStrikes
}

// lost notes that a subscription ended with its session after some time. At
// once: it is a suspect. Otherwise, if the broker was killed, the youngest
// queues may not work any more.
func (p *prober) lost(id uuid.UUID, after time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case after < atOnce:
		p.strikes[id]++
	case after > longEnough:
		delete(p.strikes, id)
	}
	if time.Since(p.proven[id]) < youngQueue {
		delete(p.proven, id)
	}
}

// probe returns nil when the tenant's queue can be consumed, errStuck when
// the broker answers and the queue does not, and another error when that
// cannot be told.
func (p *prober) probe(ctx context.Context, id uuid.UUID, limit time.Duration) error {
	if p.known(id) {
		return nil
	}
	line, err := p.take(ctx)
	if err != nil {
		return fmt.Errorf("get connection: %w", err)
	}
	err = p.try(ctx, line.connection.connection, id, limit)
	p.give(line, errors.Is(err, errStuck))
	return err
}

// take returns the connection for a probe; give it back afterwards.
func (p *prober) take(ctx context.Context) (*probeLine, error) {
	line, fresh := p.join()
	if !fresh {
		return line, nil
	}
	if err := p.pool.add(ctx, line.connection); err != nil {
		p.give(line, true)
		return nil, err
	}
	return line, nil
}

func (p *prober) join() (line *probeLine, fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line != nil && p.line.users >= p.most(p.line) {
		p.line.retired, p.line = true, nil
	}
	if p.line == nil {
		c, _ := p.pool.pick(true)
		p.line, fresh = &probeLine{connection: c}, true
	}
	p.line.users++
	return p.line, fresh
}

// channelsPerProbe is how many channels a probe may have open at a time.
const channelsPerProbe = 3

func (p *prober) most(line *probeLine) int {
	return max(1, p.pool.most(line.connection)/channelsPerProbe)
}

func (p *prober) give(line *probeLine, retire bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line.users--
	if retire {
		line.retired = true
		if p.line == line {
			p.line = nil
		}
	}
	if line.retired && line.users == 0 {
		p.pool.release(line.connection)
	}
}

// try is one probe on a connection.
func (p *prober) try(ctx context.Context, c *rabbitmq.Connection, id uuid.UUID, limit time.Duration) error {
	session, err := c.AwaitAllowed(ctx)
	if err != nil {
		return err
	}
	at, err := p.room.take(ctx, false)
	if err != nil {
		return err
	}
	defer at.release()
	ch, err := session.Channel(ctx)
	at.settled()
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
		works := works(ctx, session, id)
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
		p.prove(id)
		return nil
	}
	select {
	case <-session.Done():
		if session.Err() != nil {
			p.lost(id, 0)
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

// works tells whether the broker is alive on this connection, makes another
// queue and consumes it, and says that this one is there and empty. A queue
// with messages is never taken for one that can be deleted.
func works(ctx context.Context, s *rabbitmq.Session, id uuid.UUID) bool {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	q, there, err := lookOn(ctx, s, QueueName(id))
	return err == nil && there && q.Messages == 0 && control(ctx, s) == nil
}

// createdAt returns when a tenant was created; its id tells (UUIDv7).
func createdAt(id uuid.UUID) time.Time {
	if id.Version() != 7 {
		return time.Time{}
	}
	return time.Unix(id.Time().UnixTime())
}

func discard(deliveries <-chan amqp.Delivery) {
	for range deliveries { //nolint:revive // they go back to the queue with the channel
	}
}

// ensureUsable makes sure that the tenant's queue, which was just declared,
// can be consumed. One that cannot is replaced only when it is certain that
// nothing was confirmed to anybody in it: that it is empty cannot be seen from
// here. While its leader is not there a queue with messages looks empty, too,
// and the broker refuses to delete a quorum queue on the condition that it is.
// Finished tells that the queue was usable once.
func (b *Broker) ensureUsable(ctx context.Context, id uuid.UUID, finished bool) error {
	b.trust(ctx, id)
	name := QueueName(id)
	if b.prober.mayHold(id, finished) {
		err := b.prober.probe(ctx, id, probeTimeout)
		if errors.Is(err, errStuck) {
			b.options.Log.ErrorContext(ctx, "queue cannot be consumed, and may hold messages: it is not replaced", slog.String("queue", name))
		}
		return err
	}
	err := b.prober.probe(ctx, id, youngProbe)
	if !errors.Is(err, errStuck) {
		return err
	}
	open := b.traffic.close(id) // nothing shall be confirmed between the trial and the deletion
	defer open()
	if err = b.awaitQuiet(ctx, id); err != nil {
		return err
	}
	if err = b.prober.probe(ctx, id, secondYoungProbe); !errors.Is(err, errStuck) {
		return err
	}
	b.options.Log.WarnContext(ctx, "queue cannot be consumed and was never used, replacing it", slog.String("queue", name))
	if _, err := b.drop(ctx, name); err != nil {
		return err
	}
	if err := b.declareMain(ctx, id); err != nil {
		return err
	}
	return b.prober.probe(ctx, id, replacedProbe)
}

// awaitQuiet returns when this process publishes nothing to the tenant any
// more. Its traffic has to be closed.
func (b *Broker) awaitQuiet(ctx context.Context, id uuid.UUID) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for b.traffic.busy(id) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for publications: %w", ctx.Err())
		}
	}
	return nil
}
