package broker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/rabbitmq"
)

// retryAfter is what callers are told to wait while the broker is away.
const retryAfter = 2 * time.Second

// Options configure a Broker.
type Options struct {
	// URLs of the brokers, tried in turn.
	URLs []string
	// Replica names this process in the broker's list of connections.
	Replica string
	// QueueType is the type of the tenants' main queues, DeadLetterQueueType
	// that of their dead-letter queues.
	QueueType           QueueType
	DeadLetterQueueType QueueType
	// PublishChannels is the number of channels to publish on.
	PublishChannels int
	Log             *slog.Logger
	// QueueMissing is told of tenants whose queue was published to and is not
	// there; it must not block. It may be nil.
	QueueMissing func(tenantID uuid.UUID)
	// Confirmed is told of each message that the broker confirmed to be in its
	// tenant's queue; it must not block. It may be nil.
	Confirmed func(tenantID uuid.UUID)
}

// Broker implements domain.Publisher, domain.Topology and domain.Subscriber.
// It owns one connection for topology, one for trying queues out, two for
// publishing, and as many for consuming as 500 channels each ask for, or as the
// broker allows on one; besides, a few for a moment where one may break. It is
// safe for concurrent use.
type Broker struct {
	options     Options
	control     *rabbitmq.Connection
	pool        *topologyPool // of the control connection
	changes     *changes
	room        *room
	publish     []*rabbitmq.Connection
	spare       *subscribers // for publishing channels that find no room on those
	lanes       []*lane
	quarantine  *quarantine
	isolation   []*lane
	subscribers *subscribers
	prober      *prober
	traffic     *traffic
	sealer      *sealer
	// letters are the subscriptions to dead-letter queues. They are apart, so
	// that a queue that hangs takes no tenant's consumer along.
	letters *subscribers
}

var (
	_ domain.Publisher  = (*Broker)(nil)
	_ domain.Topology   = (*Broker)(nil)
	_ domain.Subscriber = (*Broker)(nil)

	_ domain.DeadLetterQueues = (*Broker)(nil)
)

const publishConnections = 2

// New returns a Broker that is away until Run runs.
func New(o Options) *Broker {
	b := &Broker{options: o, traffic: newTraffic(), sealer: newSealer(), quarantine: newQuarantine()}
	b.room = newRoom(func(ctx context.Context) (*rabbitmq.Session, error) { return b.open(ctx, "room") }, o.Log)
	b.pool = newTopologyPool(b.room)
	b.changes = newChanges(func(ctx context.Context) (*rabbitmq.Session, error) { return b.open(ctx, "change") }, b.room, o.Log)
	b.control = b.connection("control", b.declareShared)
	for i := range min(publishConnections, o.PublishChannels) {
		b.publish = append(b.publish, b.connection(fmt.Sprintf("publish-%d", i+1), declareExchanges))
	}
	b.spare = newSubscribers(b.control.Limits, func(n int) *rabbitmq.Connection {
		return b.connection(fmt.Sprintf("publish-spare-%d", n), declareExchanges)
	})
	for i := range o.PublishChannels {
		b.lanes = append(b.lanes, newLane(b.publish[i%len(b.publish)], b.spare, b.room, o.Log, b.quarantine))
	}
	b.isolation = b.quarantine.lanes(b.publish, b.spare, b.room, o.Log)
	b.subscribers = newSubscribers(b.control.Limits, func(n int) *rabbitmq.Connection {
		return b.connection(fmt.Sprintf("consume-%d", n), nil)
	})
	b.letters = newSubscribers(b.control.Limits, func(n int) *rabbitmq.Connection {
		return b.connection(fmt.Sprintf("letters-%d", n), nil)
	})
	b.prober = newProber(newSubscribers(b.control.Limits, func(n int) *rabbitmq.Connection {
		return b.connection(fmt.Sprintf("probe-%d", n), nil)
	}), b.room)
	return b
}

func (b *Broker) connection(role string, setup func(context.Context, *rabbitmq.Session) error) *rabbitmq.Connection {
	return rabbitmq.NewConnection(b.connectionOptions(role, setup))
}

func (b *Broker) connectionOptions(role string, setup func(context.Context, *rabbitmq.Session) error) rabbitmq.Options {
	return rabbitmq.Options{
		URLs: b.options.URLs, Log: b.options.Log, Setup: setup, Lost: b.room.lost,
		Name: "lanekeeper " + b.options.Replica + " " + role,
	}
}

// open opens a session that nothing opens again.
func (b *Broker) open(ctx context.Context, role string) (*rabbitmq.Session, error) {
	return rabbitmq.Open(ctx, b.connectionOptions(role, nil)) //nolint:wrapcheck // says what failed
}

// Run keeps the connections alive until ctx ends, and returns when all of
// them are closed. Call it once, and end it only after the consumers and the
// HTTP server have stopped.
func (b *Broker) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { b.control.Run(ctx) })
	wg.Go(func() { b.keepShared(ctx) })
	wg.Go(func() { b.prober.pool.run(ctx) })
	wg.Go(func() { b.changes.run(ctx) })
	for _, c := range b.publish {
		wg.Go(func() { c.Run(ctx) })
	}
	for _, l := range b.lanes {
		wg.Go(func() { l.run(ctx) })
	}
	for _, l := range b.isolation {
		wg.Go(func() { l.run(ctx) })
	}
	wg.Go(func() { b.subscribers.run(ctx) })
	wg.Go(func() { b.letters.run(ctx) })
	wg.Go(func() { b.spare.run(ctx) })
	wg.Wait()
}

// State tells how the broker can be used at this moment.
type State string

// The states of the broker as seen from here.
const (
	Ready   State = "ready"   // publishing and topology work
	Blocked State = "blocked" // the broker refuses publications: memory or disk alarm
	Away    State = "away"    // no connection
)

// State returns the present state.
func (b *Broker) State() State {
	if b.control.Session() == nil {
		return Away
	}
	state := Away
	for _, l := range b.lanes {
		switch l.state() {
		case Ready:
			return Ready
		case Blocked:
			state = Blocked
		case Away:
		}
	}
	return state
}

// awaitEvery is how often AwaitReady looks.
const awaitEvery = 20 * time.Millisecond

// AwaitReady returns nil once the broker is ready, or an error when ctx ends
// before.
func (b *Broker) AwaitReady(ctx context.Context) error {
	tick := time.NewTicker(awaitEvery)
	defer tick.Stop()
	for b.State() != Ready {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the broker cannot be reached: %w", ctx.Err())
		}
	}
	return nil
}
