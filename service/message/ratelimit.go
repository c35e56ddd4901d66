package message

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// paceBytes is how much of a payload one unit pays for. A message costs a
	// unit at least.
	paceBytes = 4 << 10
	// paceWait is how long a call may be slowed down; one that would have to
	// wait for longer is refused. It bounds what waits: paceWait times the rate,
	// times paceBytes, and one call.
	paceWait = 500 * time.Millisecond
	// paceBurst is the share of a second's units that a tenant may use at once.
	paceBurst = 4
	// paceClosed is for how long no call of a tenant is let in once one was
	// refused: saying no many times at once must not cost what it saves. It is
	// shorter than paceWait, so that nothing of the rate is lost meanwhile.
	paceClosed = 100 * time.Millisecond
	// pacesKept is how many tenants are remembered before those that have been
	// quiet are forgotten.
	pacesKept = 1024
)

// paces slow tenants down that publish more than their rate, so that the broker
// and the database keep room for the others: a token bucket for each tenant that
// can owe. A call starts when the bucket holds what it costs, or is full, and is
// charged in full: what it costs more than the bucket holds, later calls wait
// for. It is safe for concurrent use.
type paces struct {
	rate  float64 // units a second
	burst float64 // what a bucket holds

	mu sync.Mutex
	// buckets are those of tenants that published lately, and sweepAt how many
	// there are when they are looked through next. Guarded by mu, with what it
	// points to.
	buckets map[uuid.UUID]*bucket
	sweepAt int
}

// bucket is what a tenant had at a time; less than nothing is what it owes.
type bucket struct {
	units float64
	at    time.Time
	// closed is until when no call is let in.
	closed time.Time
}

// newPaces returns paces for so many units a second and tenant, or nil, which
// slows nobody down, for none.
func newPaces(perSecond int) *paces {
	if perSecond <= 0 {
		return nil
	}
	return &paces{
		rate: float64(perSecond), burst: float64(max(1, perSecond/paceBurst)),
		buckets: make(map[uuid.UUID]*bucket), sweepAt: pacesKept,
	}
}

// admit returns an ErrLimited when a call of the tenant was refused just now, or
// would be, whatever it costs.
func (p *paces) admit(tenantID uuid.UUID) error {
	if p == nil {
		return nil
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.buckets[tenantID]
	if b == nil {
		return nil
	}
	if owes := p.delayLocked(b, 0, now); owes > paceWait || now.Before(b.closed) {
		return p.exceeded(max(owes, paceWait))
	}
	return nil
}

// wait waits for as long as the tenant has to before it may use so many units,
// or returns an ErrLimited at once when that is longer than paceWait.
func (p *paces) wait(ctx context.Context, tenantID uuid.UUID, units int) error {
	if p == nil || units == 0 {
		return nil
	}
	delay, ok := p.reserve(tenantID, units, true)
	if !ok {
		return p.exceeded(delay)
	}
	return p.pause(ctx, tenantID, units, delay)
}

// take is wait for somebody who has until the deadline of ctx: what would have
// to wait for longer than paceWait is not refused, it asks again later, so that
// calls get in between.
func (p *paces) take(ctx context.Context, tenantID uuid.UUID, units int) error {
	if p == nil || units == 0 {
		return nil
	}
	for {
		delay, ok := p.reserve(tenantID, units, false)
		var err error
		if ok {
			err = p.pause(ctx, tenantID, units, delay)
		} else {
			err = sleep(ctx, delay-paceWait)
		}
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return p.exceeded(delay)
		case ok || err != nil:
			return err
		}
	}
}

// reserve charges the tenant and returns for how long it has to wait then; false
// means that it was not charged, because that is longer than paceWait. Closing
// keeps others from being let in for a moment after that.
func (p *paces) reserve(tenantID uuid.UUID, units int, closing bool) (delay time.Duration, ok bool) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.bucketLocked(tenantID, now)
	delay = p.delayLocked(b, min(float64(units), p.burst), now)
	if delay > paceWait {
		if closing {
			b.closed = now.Add(paceClosed)
		}
		return delay, false
	}
	b.units -= float64(units)
	return delay, true
}

// pause waits for the turn of units that are charged, and gives them back when
// ctx ends before it comes.
func (p *paces) pause(ctx context.Context, tenantID uuid.UUID, units int, delay time.Duration) error {
	err := sleep(ctx, delay)
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.bucketLocked(tenantID, time.Now()).units += float64(units)
	}
	return err
}

// sleep waits; the end of ctx before is an ErrUnavailable.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return domain.Wrap(ctx.Err(), domain.ErrUnavailable, "publish_ended", "The call ended before its turn came; nothing was published.").After(claimRetryAfter)
	}
}

func (p *paces) exceeded(retryAfter time.Duration) error {
	return domain.New(domain.ErrLimited, "rate_exceeded",
		fmt.Sprintf("The tenant publishes faster than %.0f messages a second, of which one counts for each 4 KiB begun; slow down.", p.rate)).After(retryAfter)
}

// delayLocked brings the bucket up to date and returns for how long to wait until
// it has so many units.
func (p *paces) delayLocked(b *bucket, units float64, now time.Time) time.Duration {
	if elapsed := now.Sub(b.at); elapsed > 0 {
		b.units = min(p.burst, b.units+elapsed.Seconds()*p.rate)
		b.at = now
	}
	if b.units >= units {
		return 0
	}
	return time.Duration(math.Round((units - b.units) / p.rate * float64(time.Second)))
}

func (p *paces) bucketLocked(tenantID uuid.UUID, now time.Time) *bucket {
	b := p.buckets[tenantID]
	if b == nil {
		if len(p.buckets) >= p.sweepAt {
			p.sweepLocked(now)
		}
		b = &bucket{units: p.burst, at: now}
		p.buckets[tenantID] = b
	}
	return b
}

// sweepLocked forgets the tenants whose bucket is full: it would be the same if
// it was made anew.
func (p *paces) sweepLocked(now time.Time) {
	for id, b := range p.buckets {
		if p.delayLocked(b, p.burst, now) == 0 {
			delete(p.buckets, id)
		}
	}
	p.sweepAt = max(pacesKept, 2*len(p.buckets))
}

// units returns what the messages without an answer cost.
func (p *publication) units() int {
	n := 0
	for i := range p.subs {
		if p.receipts[i].Err == nil {
			n += unitsOf(len(p.subs[i].Payload))
		}
	}
	return n
}

// unitsOf returns what a message of so many bytes costs.
func unitsOf(size int) int { return max(1, (size+paceBytes-1)/paceBytes) }
