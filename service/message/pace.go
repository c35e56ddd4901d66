package message

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"lanekeeper/domain"
)

const (
	// paceBytes is how much of a payload one unit pays for. A message costs a
	// unit at least.
	paceBytes = 4 << 10
	// paceWait is how long a call may be slowed down; one that would have to
	// wait for longer is refused. It bounds what waits: paceWait times the rate,
	// times paceBytes.
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
// and the database keep room for the others: a token bucket (golang.org/x/time/rate)
// for each tenant. It is safe for concurrent use.
type paces struct {
	rate  rate.Limit
	burst int

	mu sync.Mutex
	// buckets are those of tenants that published lately, and sweepAt how many
	// there are when they are looked through next. Guarded by mu.
	buckets map[uuid.UUID]*bucket
	sweepAt int
}

type bucket struct {
	*rate.Limiter
	// closed is until when no call is let in; guarded by paces.mu.
	closed time.Time
}

// newPaces returns paces for so many units a second and tenant, or nil, which
// slows nobody down, for none.
func newPaces(perSecond int) *paces {
	if perSecond <= 0 {
		return nil
	}
	return &paces{
		rate: rate.Limit(perSecond), burst: max(1, perSecond/paceBurst),
		buckets: make(map[uuid.UUID]*bucket), sweepAt: pacesKept,
	}
}

// admit returns an ErrLimited when a call of the tenant was refused just now.
func (p *paces) admit(tenantID uuid.UUID) error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.buckets[tenantID]; b != nil && time.Now().Before(b.closed) {
		return p.exceeded(paceWait)
	}
	return nil
}

// wait waits for as long as the tenant has to before it may use so many units,
// or returns an ErrLimited at once when that is longer than paceWait. A call
// that costs more than a burst pays for a burst.
func (p *paces) wait(ctx context.Context, tenantID uuid.UUID, units int) error {
	if p == nil || units == 0 {
		return nil
	}
	now := time.Now()
	b := p.bucket(tenantID, now)
	slot := b.ReserveN(now, min(units, p.burst))
	delay := slot.DelayFrom(now)
	if delay == 0 {
		return nil
	}
	if delay > paceWait {
		slot.CancelAt(now)
		p.mu.Lock()
		b.closed = now.Add(paceClosed)
		p.mu.Unlock()
		return p.exceeded(delay)
	}
	timer := time.NewTimer(delay)
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
		fmt.Sprintf("The tenant publishes faster than %.0f messages a second, of which one counts for each 4 KiB begun; slow down.", float64(p.rate))).After(retryAfter)
}

func (p *paces) bucket(tenantID uuid.UUID, now time.Time) *bucket {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.buckets[tenantID]
	if b == nil {
		if len(p.buckets) >= p.sweepAt {
			p.sweep(now)
		}
		b = &bucket{Limiter: rate.NewLimiter(p.rate, p.burst)}
		p.buckets[tenantID] = b
	}
	return b
}

// sweep forgets the tenants whose bucket is full: it would be the same if it was
// made anew.
func (p *paces) sweep(now time.Time) {
	for id, b := range p.buckets {
		if b.TokensAt(now) >= float64(p.burst) {
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
			n += max(1, (len(p.subs[i].Payload)+paceBytes-1)/paceBytes)
		}
	}
	return n
}
