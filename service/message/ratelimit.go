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
	"lanekeeper/pkg/backoff"
)

const (
	// unitBytes is how much of a payload and what goes with it one unit pays for. A
	// message costs a unit at least.
	unitBytes = 4 << 10
	// rateWait is how long a call may be slowed down; one that would have to
	// wait for longer is refused. It bounds what waits: rateWait times the rate,
	// times unitBytes, and one call.
	rateWait = 500 * time.Millisecond
	// burstShare is the share of a second's units that a tenant may use at once.
	burstShare = 4
	// refuseFor is for how long no call of a tenant is let in once one was
	// refused: saying no many times at once must not cost what it saves. It is
	// shorter than rateWait, so that nothing of the rate is lost meanwhile.
	refuseFor = 100 * time.Millisecond
	// bucketsKept is how many tenants are remembered before those that have been
	// quiet are forgotten.
	bucketsKept = 1024
)

// rateLimiters slow tenants down that publish more than their rate, so that the
// broker and the database keep room for the others: a token bucket for each
// tenant that can owe. A call starts when the bucket holds what it costs, or is
// full, and is charged in full: what it costs more than the bucket holds, later
// calls wait for. They are safe for concurrent use; nil slows nobody down.
type rateLimiters struct {
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
	// refusing is until when no call is let in.
	refusing time.Time
}

// newRateLimiters returns rateLimiters for so many units a second and tenant, or nil, which
// slows nobody down, for none.
func newRateLimiters(perSecond int) *rateLimiters {
	if perSecond <= 0 {
		return nil
	}
	return &rateLimiters{
		rate: float64(perSecond), burst: float64(max(1, perSecond/burstShare)),
		buckets: make(map[uuid.UUID]*bucket), sweepAt: bucketsKept,
	}
}

// admit returns an ErrLimited when a call of the tenant was refused just now, or
// would be, whatever it costs.
func (l *rateLimiters) admit(tenantID uuid.UUID) error {
	if l == nil {
		return nil
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[tenantID]
	if b == nil {
		return nil
	}
	if owes := l.delayLocked(b, 0, now); owes > rateWait || now.Before(b.refusing) {
		return l.exceeded(max(owes, rateWait))
	}
	return nil
}

// wait waits for as long as the tenant has to before it may use so many units,
// or returns an ErrLimited at once when that is longer than rateWait.
func (l *rateLimiters) wait(ctx context.Context, tenantID uuid.UUID, units int) error {
	if l == nil || units == 0 {
		return nil
	}
	delay, ok := l.reserve(tenantID, units, true)
	if !ok {
		return l.exceeded(delay)
	}
	return l.awaitTurn(ctx, tenantID, units, delay)
}

// waitPatiently is wait for a caller that has until the deadline of ctx: what
// would have to wait for longer than rateWait is not refused, it asks again
// later, so that calls get in between.
func (l *rateLimiters) waitPatiently(ctx context.Context, tenantID uuid.UUID, units int) error {
	if l == nil || units == 0 {
		return nil
	}
	for {
		delay, ok := l.reserve(tenantID, units, false)
		var err error
		if ok {
			err = l.awaitTurn(ctx, tenantID, units, delay)
		} else {
			err = sleep(ctx, delay-rateWait)
		}
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return l.exceeded(delay)
		case ok || err != nil:
			return err
		}
	}
}

// reserve charges the tenant and returns for how long it has to wait then; false
// means that it was not charged, because that is longer than rateWait. Refusing
// keeps others from being let in for a moment after that.
func (l *rateLimiters) reserve(tenantID uuid.UUID, units int, refusing bool) (delay time.Duration, ok bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucketLocked(tenantID, now)
	delay = l.delayLocked(b, min(float64(units), l.burst), now)
	if delay > rateWait {
		if refusing {
			b.refusing = now.Add(refuseFor)
		}
		return delay, false
	}
	b.units -= float64(units)
	return delay, true
}

// awaitTurn waits for the turn of units that are charged, and gives them back when
// ctx ends before it comes.
func (l *rateLimiters) awaitTurn(ctx context.Context, tenantID uuid.UUID, units int, delay time.Duration) error {
	err := sleep(ctx, delay)
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.bucketLocked(tenantID, time.Now()).units += float64(units)
	}
	return err
}

// sleep waits; the end of ctx before is an ErrUnavailable.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	if err := backoff.Sleep(ctx, d); err != nil {
		return domain.Wrap(err, domain.ErrUnavailable, "publish_ended", "The call ended before its turn came; nothing was published.").After(claimRetryAfter)
	}
	return nil
}

func (l *rateLimiters) exceeded(retryAfter time.Duration) error {
	return domain.New(domain.ErrLimited, "rate_exceeded",
		fmt.Sprintf("The tenant publishes faster than %.0f messages a second, of which one counts for each 4 KiB begun; slow down.", l.rate)).After(retryAfter)
}

// delayLocked brings the bucket up to date and returns for how long to wait until
// it has so many units.
func (l *rateLimiters) delayLocked(b *bucket, units float64, now time.Time) time.Duration {
	if elapsed := now.Sub(b.at); elapsed > 0 {
		b.units = min(l.burst, b.units+elapsed.Seconds()*l.rate)
		b.at = now
	}
	if b.units >= units {
		return 0
	}
	return time.Duration(math.Round((units - b.units) / l.rate * float64(time.Second)))
}

func (l *rateLimiters) bucketLocked(tenantID uuid.UUID, now time.Time) *bucket {
	b := l.buckets[tenantID]
	if b == nil {
		if len(l.buckets) >= l.sweepAt {
			l.sweepLocked(now)
		}
		b = &bucket{units: l.burst, at: now}
		l.buckets[tenantID] = b
	}
	return b
}

// sweepLocked forgets the tenants whose bucket is full: it would be the same if
// it was made anew.
func (l *rateLimiters) sweepLocked(now time.Time) {
	for id, b := range l.buckets {
		if l.delayLocked(b, l.burst, now) == 0 {
			delete(l.buckets, id)
		}
	}
	l.sweepAt = max(bucketsKept, 2*len(l.buckets))
}

// unitsOf returns what a message of so many bytes costs.
func unitsOf(size int) int { return max(1, (size+unitBytes-1)/unitBytes) }
