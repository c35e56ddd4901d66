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
	"lanekeeper/pkg/rabbitmq/connpool"
	"lanekeeper/pkg/rabbitmq/publisher"
	"lanekeeper/pkg/rabbitmq/quota"
	"lanekeeper/pkg/rabbitmq/topology"
)

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
	// Exchanges gives each tenant an exchange that is bound to its queue, for users of
	// the broker who may write to nothing else.
	Exchanges bool
	// PublishChannels is the number of channels to publish on.
	PublishChannels int
	Log             *slog.Logger
	// QueueMissing is called with a tenant whose queue was published to and does
	// not exist; it must not block. It may be nil.
	QueueMissing func(tenantID uuid.UUID)
	// Confirmed is called for each message that the broker confirmed to be in its
	// tenant's queue; it must not block. It may be nil.
	Confirmed func(tenantID uuid.UUID)
}

// Broker implements domain.Publisher, domain.Topology, domain.Subscriber,
// domain.DeadLetterQueues and domain.LegacyRetries. It owns the connections; see the package. It is safe
// for concurrent use.
type Broker struct {
	*Publisher
	*Queues
	*Subscriber

	control *rabbitmq.Connection
	shared  *sharedTopology
	tiers   *retryTiers
}

var (
	_ domain.Publisher  = (*Broker)(nil)
	_ domain.Topology   = (*Broker)(nil)
	_ domain.Subscriber = (*Broker)(nil)

	_ domain.DeadLetterQueues = (*Broker)(nil)
	_ domain.QueueInspector   = (*Broker)(nil)
	_ domain.LegacyRetries    = (*Broker)(nil)
)

// New returns a Broker that is away until Run runs.
func New(o Options) *Broker {
	var slots *quota.Quota
	options := func(role string, setup func(context.Context, *rabbitmq.Session) error) rabbitmq.Options {
		return rabbitmq.Options{
			URLs: o.URLs, Log: o.Log, Setup: setup, Lost: func(why error) { slots.ConnectionLost(why) },
			Name: "lanekeeper " + o.Replica + " " + role,
		}
	}
	// open opens a session that nothing opens again.
	open := func(role string) func(context.Context) (*rabbitmq.Session, error) {
		return func(ctx context.Context) (*rabbitmq.Session, error) {
			return rabbitmq.Open(ctx, options(role, nil)) //nolint:wrapcheck // says what failed
		}
	}
	slots = quota.New(open("room"), o.Log)

	shared := &sharedTopology{log: o.Log}
	control := rabbitmq.NewConnection(options("control", declareShared))
	shared.control = control
	shared.client = topology.New(topology.Options{Control: control, Open: open("change"), Quota: slots, Log: o.Log})

	pool := func(role string) *connpool.Pool {
		return connpool.New(control.Limits, func(n int) *rabbitmq.Connection {
			return rabbitmq.NewConnection(options(fmt.Sprintf("%s-%d", role, n), nil))
		})
	}
	states, gate := newQueueStates(), newPublishGate()
	queues := &Queues{
		queueType: o.QueueType, deadLetterQueueType: o.DeadLetterQueueType, exchanges: o.Exchanges,
		client: shared.client, prober: newProber(pool("probe"), slots, states), states: states,
		barrier: newDurabilityBarrier(shared.client, o.Log), gate: gate, log: o.Log,
	}
	engine := publisher.New(publisher.Options{
		Connect: func(name string) *rabbitmq.Connection {
			return rabbitmq.NewConnection(options(name, declareShared))
		},
		Limits: control.Limits, Quota: slots, Channels: o.PublishChannels,
		TimeHeader: HeaderPublished, OwnHeaders: ownHeaders(), Log: o.Log,
	})
	return &Broker{
		Publisher: &Publisher{engine: engine, gate: gate, queueMissing: o.QueueMissing, confirmed: o.Confirmed},
		Queues:    queues,
		Subscriber: &Subscriber{
			queues: queues, quota: slots, away: func() bool { return control.Session() == nil },
			connections: pool("consume"), letters: pool("letters"),
		},
		control: control, shared: shared, tiers: newRetryTiers(shared.client, o.Log),
	}
}

// Run keeps the connections alive until ctx ends, and returns when all of
// them are closed. Call it once, and end it only after the consumers and the
// HTTP server have stopped.
func (b *Broker) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, run := range []func(context.Context){
		b.control.Run, b.shared.keep, b.shared.client.Run, b.prober.connections.Run,
		b.engine.Run, b.connections.Run, b.letters.Run,
	} {
		wg.Go(func() { run(ctx) })
	}
	wg.Wait()
}

// EmptyRetryTiers implements domain.LegacyRetries.
func (b *Broker) EmptyRetryTiers(ctx context.Context) (tiers int, messages int64, err error) {
	return b.tiers.takeAway(ctx)
}

// Answers returns nil when the broker answers a question that is about no queue, else
// an ErrUnavailable: what does not answer while this does is the queue.
func (b *Broker) Answers(ctx context.Context) error {
	err := b.shared.client.Do(ctx, func(ch *rabbitmq.Channel) error { return ch.Qos(ctx, 0) })
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// EndsConnections reports whether something in the tenant's main queue seems to end
// every connection of this process on which it is delivered.
func (b *Broker) EndsConnections(tenantID uuid.UUID) bool { return b.states.endsConnections(tenantID) }

// State says how the broker can be used at this moment.
type State = publisher.State

// The states of the broker as seen from here.
const (
	Ready   = publisher.Ready   // publishing and topology work
	Blocked = publisher.Blocked // the broker refuses publications: memory or disk alarm
	Away    = publisher.Away    // no connection
)

// State returns the present state.
func (b *Broker) State() State {
	if b.away() {
		return Away
	}
	return b.engine.State()
}

// awaitEvery is how often AwaitReady asks for the state.
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
