package delivery

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/webhook"
)

// gate lets through at most limit deliveries of an endpoint at a time. It is safe
// for concurrent use.
type gate struct{ limit, sending atomic.Int32 }

// enter reports whether one more may begin; leave must be called in any case.
func (g *gate) enter() bool { return g.sending.Add(1) <= g.limit.Load() }

func (g *gate) leave() { g.sending.Add(-1) }

// job is a delivery on its way.
type job struct {
	entry           *entry // for the dispatcher only
	owner, endpoint string
	gate            *gate
	request         webhook.Request
}

// newJob returns the delivery of a message; now is the database's time.
func newJob(target *domain.DeliveryTarget, e *entry, g *gate, now time.Time) job {
	owner := target.OwnerID
	if owner == uuid.Nil {
		owner = target.TenantID
	}
	return job{
		entry: e, owner: owner.String(), endpoint: target.ID.String(), gate: g,
		request: webhook.Request{
			URL: target.URL, Timeout: target.Timeout, Secrets: target.Secrets(now), ID: e.message.ID.String(), Body: e.message.Payload,
			Headers: headers(target, e.message, e.attempts+1, e.replay),
		},
	}
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
}

// deliver waits for a slot and sends, unless the endpoint may have fewer deliveries
// under way by then, or this process may not deliver any more. It waits as long as
// starting lives.
func (c *courier) deliver(ctx, starting context.Context, j job) result {
	r := result{job: j}
	giveBack, err := c.slots.take(starting, j.owner, j.endpoint, receiver(j.request.URL))
	if err != nil {
		return r
	}
	defer giveBack()
	defer j.gate.leave()
	if !j.gate.enter() || !c.alive() {
		return r
	}
	r.answer = c.sender.Send(ctx, j.request)
	r.sent, r.ended = !r.answer.Aborted, time.Now()
	return r
}
