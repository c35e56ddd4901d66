package delivery

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/tracing"
	"lanekeeper/pkg/webhook"
)

// gate lets through at most limit deliveries of an endpoint at a time. It is safe
// for concurrent use.
type gate struct{ limit, sending atomic.Int32 }

// enter reports whether one more may begin; leave must be called in any case.
func (g *gate) enter() bool { return g.sending.Add(1) <= g.limit.Load() }

func (g *gate) leave() { g.sending.Add(-1) }

// recipient is an endpoint as a delivery needs to know it.
type recipient struct {
	// owner and endpoint are for whose share of the process it counts.
	owner, endpoint string
	destination     webhook.Destination
}

func recipientOf(target *domain.DeliveryTarget) recipient {
	owner := target.OwnerID
	if owner == uuid.Nil {
		owner = target.TenantID
	}
	return recipient{owner: owner.String(), endpoint: target.ID.String(), destination: webhook.To(target.URL)}
}

// job is a delivery on its way.
type job struct {
	entry *entry // for the dispatcher only
	recipient
	gate    *gate
	request webhook.Request
	traced  *traced // nil where no span is recorded
}

// newJob returns the delivery of a message; now is the database's time.
func newJob(traces *tracing.Tracer, to recipient, target *domain.DeliveryTarget, e *entry, g *gate, now time.Time) job {
	j := job{
		entry: e, recipient: to, gate: g, traced: tracedOf(traces, &to, e),
		request: webhook.Request{
			To: to.destination, Timeout: target.Timeout, Secrets: target.Secrets(now), ID: e.message.ID.String(), Body: e.message.Payload,
			Headers: headers(target, e.message, e.attempts+1, e.replay),
		},
	}
	if traces != nil && e.message.TraceContext() == "" {
		// Nobody recorded it, and a receiver that asks its parent shall not do so either.
		j.request.Headers[traceParent] = domain.UnrecordedTrace(e.message.ID).Parent()
	}
	return j
}

// result is what became of it. When it was not sent, nothing is known of the
// endpoint.
type result struct {
	job    job
	sent   bool
	answer webhook.Result
	ended  time.Time
	// letterPublished: it is about a dead letter, which the broker has confirmed.
	letterPublished bool
}

// courier makes deliveries. It is safe for concurrent use.
type courier struct {
	slots  *slots
	sender Sender
	alive  func() bool
	traces *tracing.Tracer
}

// deliver waits for a slot and sends, unless the endpoint may have fewer deliveries
// under way by then, or this process may not deliver any more. It waits as long as
// starting lives.
func (c *courier) deliver(ctx, starting context.Context, j job) result {
	r := result{job: j}
	giveBack, err := c.slots.take(starting, j.owner, j.endpoint, j.destination.Receiver())
	if err != nil {
		return r
	}
	defer giveBack()
	defer j.gate.leave()
	if !j.gate.enter() || !c.alive() {
		return r
	}
	r.answer = c.send(ctx, &j)
	r.sent, r.ended = !r.answer.Aborted, time.Now()
	return r
}

// senderIdle is how long a goroutine waits for another delivery.
const senderIdle = time.Second

// senders are the goroutines that make the deliveries of an endpoint. One that is
// done waits a while for the next, because sending a request outgrows the stack that
// a goroutine begins with. There are about as many as deliveries are under way.
type senders struct {
	courier *courier
	results chan<- result // has room for all that may run
	jobs    chan job      // not buffered: one that waits for it takes it
	running *sync.WaitGroup
}

// deliver has a delivery made; it does not block. What became of it is in results.
// Ctx and starting are those of all deliveries; when starting ends, so do those that
// wait for one.
func (s *senders) deliver(ctx, starting context.Context, j job) {
	select {
	case s.jobs <- j:
	default:
		s.running.Go(func() { s.run(ctx, starting, j) })
	}
}

func (s *senders) run(ctx, starting context.Context, j job) {
	idle := time.NewTimer(senderIdle)
	defer idle.Stop()
	for {
		s.results <- s.courier.deliver(ctx, starting, j)
		idle.Reset(senderIdle)
		select {
		case j = <-s.jobs:
		case <-idle.C:
			return
		case <-starting.Done():
			return
		}
	}
}
