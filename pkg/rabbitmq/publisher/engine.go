package publisher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/pkg/rabbitmq/connpool"
	"lanekeeper/pkg/rabbitmq/quota"
)

// What became of a message that was not confirmed in its queue. For any other
// error it is not known whether the message has arrived.
var (
	// ErrReturned: there is no such queue.
	ErrReturned = errors.New("returned by the broker: no such queue")
	// ErrNacked: the broker was asked, and refused.
	ErrNacked = errors.New("refused by the broker")
	// ErrSilent: the queue confirms nothing at present, so it was not published
	// to.
	ErrSilent = errors.New("the queue confirms nothing")
	// ErrAway and ErrBlocked: the broker cannot be published to.
	ErrAway    = errors.New("no connection to the broker")
	ErrBlocked = errors.New("the broker takes no publications: memory or disk alarm")
	// ErrHeaders: its headers do not fit into a frame, and none may be left out.
	ErrHeaders = errors.New("the headers do not fit into a frame")
	// ErrUnknown: the connection ended before the confirm.
	ErrUnknown = errors.New("connection lost before the confirm")
)

// State says how an Engine can be used at this moment.
type State string

// The states of an Engine.
const (
	Ready   State = "ready"   // it publishes
	Blocked State = "blocked" // the broker takes no publications: memory or disk alarm
	Away    State = "away"    // there is no connection
)

const (
	// maxConnections is how many connections the channels are spread over.
	maxConnections = 2
	// maxRounds bounds how often a message is published that a channel did not
	// confirm before it was replaced.
	maxRounds = 5
)

// Connections returns how many connections an Engine with so many channels has, as
// long as the broker allows one connection as many channels as it needs.
func Connections(channels int) int { return min(maxConnections, channels) }

// Options configure an Engine.
type Options struct {
	// Connect makes the connection with this name, which the Engine runs.
	Connect func(name string) *rabbitmq.Connection
	// Limits returns what the broker allows a connection, for one that was never
	// open.
	Limits func() rabbitmq.Limits
	Quota  *quota.Quota
	// Channels is the number of channels that all queues share.
	Channels int
	// TimeHeader names a header in which messages may carry, as an int64, when
	// they were published. Besides address and id, returns are told apart by it.
	TimeHeader string
	// OwnHeaders are kept when not all headers fit into a frame.
	OwnHeaders []string
	Log        *slog.Logger
}

// Engine publishes on a few channels in confirm mode. It is safe for concurrent
// use.
type Engine struct {
	connections []*rabbitmq.Connection
	spare       *connpool.Pool // for channels that find no room on those
	channels    []*confirmChannel
	isolation   *isolation
}

// New returns an Engine that is away until Run runs.
func New(o Options) *Engine {
	e := &Engine{}
	for i := range Connections(o.Channels) {
		e.connections = append(e.connections, o.Connect(fmt.Sprintf("publish-%d", i+1)))
	}
	e.spare = connpool.New(o.Limits, func(n int) *rabbitmq.Connection {
		return o.Connect(fmt.Sprintf("publish-spare-%d", n))
	})
	newChannel := func(i int) *confirmChannel {
		return newConfirmChannel(e.connections[i%len(e.connections)], e.spare, &o)
	}
	e.isolation = newIsolation(newChannel)
	for i := range o.Channels {
		c := newChannel(i)
		c.isolation = e.isolation
		e.channels = append(e.channels, c)
	}
	return e
}

// Run keeps connections and channels until ctx ends, and returns when all of them
// are closed. Call it once.
func (e *Engine) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, c := range e.connections {
		wg.Go(func() { c.Run(ctx) })
	}
	for _, c := range slices.Concat(e.channels, e.isolation.channels) {
		wg.Go(func() { c.run(ctx) })
	}
	wg.Go(func() { e.spare.Run(ctx) })
}

// State returns the present state.
func (e *Engine) State() State {
	state := Away
	for _, c := range e.channels {
		switch c.state() {
		case Ready:
			return Ready
		case Blocked:
			state = Blocked
		case Away:
		}
	}
	return state
}

// Publishing is one message with its address.
type Publishing struct {
	Exchange, Key string
	// Whole says that all headers have to go along. Otherwise those that do not
	// fit into a frame are left out.
	Whole   bool
	Message amqp.Publishing
}

// Publish publishes the batch in order and waits for all confirms, or for the end
// of ctx. It returns an error for each message; see the package. All of them go to
// the queue of this name, which confirms them: what is unconfirmed is counted for
// each queue.
func (e *Engine) Publish(ctx context.Context, queue string, batch []Publishing) []error {
	errs := make([]error, len(batch))
	if len(batch) == 0 {
		return errs
	}
	e.publishOnce(ctx, queue, batch, errs)
	// What has to be published again follows when the rest is settled.
	for round := 1; slices.Contains(errs, errAgain); round++ {
		var again []int
		var part []Publishing
		for i, err := range errs {
			if err == errAgain { //nolint:errorlint // a mark of our own
				again, part = append(again, i), append(part, batch[i])
			}
		}
		outcome := make([]error, len(part))
		if round < maxRounds {
			e.publishOnce(ctx, queue, part, outcome)
		} else {
			fill(outcome, ErrUnknown)
		}
		for n, i := range again {
			errs[i] = outcome[n]
		}
	}
	return errs
}

// publishOnce publishes the batch on one channel.
func (e *Engine) publishOnce(ctx context.Context, queue string, batch []Publishing, errs []error) {
	r := newRequest(ctx, queue, batch)
	isolated, err := e.isolation.use(ctx, queue)
	if err != nil {
		fill(errs, err)
		return
	}
	if isolated != nil {
		defer e.isolation.endUse(isolated)
	}
	if err := e.submit(ctx, r, isolated); err != nil {
		fill(errs, err)
		return
	}
	for i := range batch {
		var p pendingConfirm
		select {
		case p = <-r.pending:
		default:
			select {
			case p = <-r.pending:
			case <-ctx.Done():
				r.abandon(i)
				fill(errs[i:], ctx.Err())
				return
			}
		}
		errs[i] = p.wait(ctx, &batch[i])
		if isolated != nil && (errs[i] == nil || errors.Is(errs[i], ErrReturned)) {
			e.isolation.release(isolated)
		}
	}
}

func fill(errs []error, err error) {
	for i := range errs {
		errs[i] = err
	}
}

// submit gives the request to the channel of its queue, if that is isolated, else
// to the least loaded one.
func (e *Engine) submit(ctx context.Context, r *request, isolated *isolatedQueue) error {
	var best *confirmChannel
	blocked := false
	for _, c := range e.channels {
		switch c.state() {
		case Ready:
			if best == nil || c.load() < best.load() {
				best = c
			}
		case Blocked:
			blocked = true
		case Away:
		}
	}
	if best == nil {
		if blocked {
			return ErrBlocked
		}
		return ErrAway
	}
	if isolated != nil {
		best = isolated.channel
	}
	select {
	case best.requests <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
