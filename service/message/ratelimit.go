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
	// burstShare is the share of a second's units that a payer may use at once.
	burstShare = 4
	// refuseFor is for how long no call of a payer is let in once one was
	// refused: saying no many times at once must not cost what it saves. It is
	// shorter than rateWait, so that nothing of the rate is lost meanwhile.
	refuseFor = 100 * time.Millisecond
	// bucketsKept is how many payers are remembered before those that have been
	// quiet are forgotten.
	bucketsKept = 1024
)

// rateLimiters slow tenants and owners down that publish more than their rate, so
// that the broker and the database keep room for the others: a token bucket for each
// that can owe. A call starts when all its buckets hold what it costs, or are full,
// and is charged to each in full: what it costs more than a bucket holds, later calls
// wait for. They are safe for concurrent use.
type rateLimiters struct {
	mu sync.Mutex
	// buckets are those of tenants and owners that published lately, and sweepAt how
	// many there are when they are looked through next. Guarded by mu, with what it
	// points to.
	buckets map[uuid.UUID]*bucket
	sweepAt int
}

// payer is who a call is charged to.
type payer struct {
	id uuid.UUID
	// rate is how many units a second it may use.
	rate int
	// owner: it is the owner of the tenant, else the tenant itself.
	owner bool
}

// bucket is what a payer had at a time; less than nothing is what it owes.
type bucket struct {
	rate  float64 // units a second
	burst float64 // what it holds
	units float64
	at    time.Time
	// refusing is until when no call is let in.
	refusing time.Time
}

func newRateLimiters() *rateLimiters {
	return &rateLimiters{buckets: make(map[uuid.UUID]*bucket), sweepAt: bucketsKept}
}

// admit returns an ErrLimited when a call of one of those who pay was refused just now,
// or would be, whatever it costs.
func (l *rateLimiters) admit(by []payer) error {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range by {
		b := l.buckets[p.id]
		if b == nil {
			continue
		}
		if owes := b.delay(0, now); owes > rateWait || now.Before(b.refusing) {
			return p.exceeded(max(owes, rateWait))
		}
	}
	return nil
}

// wait waits for as long as those who pay have to before they may use so many units,
// or returns an ErrLimited at once when that is longer than rateWait.
func (l *rateLimiters) wait(ctx context.Context, by []payer, units int) error {
	if len(by) == 0 || units == 0 {
		return nil
	}
	delay, slowest, ok := l.reserve(by, units, true)
	if !ok {
		return slowest.exceeded(delay)
	}
	return l.awaitTurn(ctx, by, units, delay)
}

// waitPatiently is wait for a caller that has until the deadline of ctx: what
// would have to wait for longer than rateWait is not refused, it asks again
// later, so that calls get in between.
func (l *rateLimiters) waitPatiently(ctx context.Context, by []payer, units int) error {
	if len(by) == 0 || units == 0 {
		return nil
	}
	for {
		delay, slowest, ok := l.reserve(by, units, false)
		var err error
		if ok {
			err = l.awaitTurn(ctx, by, units, delay)
		} else {
			err = sleep(ctx, delay-rateWait)
		}
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return slowest.exceeded(delay)
		case ok || err != nil:
			return err
		}
	}
}

// reserve charges those who pay, and returns for how long they have to wait then, and
// whose turn comes last; false means that nobody was charged, because that is longer
// than rateWait. Refusing keeps its others from being let in for a moment after that.
func (l *rateLimiters) reserve(by []payer, units int, refusing bool) (delay time.Duration, slowest payer, ok bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, p := range by {
		b := l.bucketLocked(p, now)
		if d := b.delay(min(float64(units), b.burst), now); i == 0 || d > delay {
			delay, slowest = d, p
		}
	}
	if delay > rateWait {
		if refusing {
			l.bucketLocked(slowest, now).refusing = now.Add(refuseFor)
		}
		return delay, slowest, false
	}
	l.chargeLocked(by, float64(units), now)
	return delay, slowest, true
}

// awaitTurn waits for the turn of units that are charged, and gives them back when
// ctx ends before it comes.
func (l *rateLimiters) awaitTurn(ctx context.Context, by []payer, units int, delay time.Duration) error {
	err := sleep(ctx, delay)
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.chargeLocked(by, -float64(units), time.Now())
	}
	return err
}

func (l *rateLimiters) chargeLocked(by []payer, units float64, now time.Time) {
	for _, p := range by {
		l.bucketLocked(p, now).units -= units
	}
}

// sleep waits; the end of ctx before is an ErrUnavailable.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	if err := backoff.Sleep(ctx, d); err != nil {
		return ended(err)
	}
	return nil
}

// ended is the error of a call that ended before its turn came.
func ended(cause error) error {
	return domain.Wrap(cause, domain.ErrUnavailable, "publish_ended", "The call ended before its turn came; nothing was published.").After(claimRetryAfter)
}

// exceeded returns an ErrLimited that says whose rate it was.
func (p payer) exceeded(retryAfter time.Duration) error {
	if p.owner {
		return domain.QuotaExceeded("publish_rate", "The tenants of the owner together publish faster than %d messages a second, of which one counts for each 4 KiB begun; slow down.",
			p.rate).After(retryAfter)
	}
	return domain.New(domain.ErrLimited, "rate_exceeded",
		fmt.Sprintf("The tenant publishes faster than %d messages a second, of which one counts for each 4 KiB begun; slow down.", p.rate)).After(retryAfter)
}

// delay brings the bucket up to date and returns for how long to wait until it has so
// many units.
func (b *bucket) delay(units float64, now time.Time) time.Duration {
	if elapsed := now.Sub(b.at); elapsed > 0 {
		b.units = min(b.burst, b.units+elapsed.Seconds()*b.rate)
		b.at = now
	}
	if b.units >= units {
		return 0
	}
	return time.Duration(math.Round((units - b.units) / b.rate * float64(time.Second)))
}

// bucketLocked returns the bucket of who pays, which is made when there is none. Its
// rate may have been changed.
func (l *rateLimiters) bucketLocked(p payer, now time.Time) *bucket {
	burst := float64(max(1, p.rate/burstShare))
	b := l.buckets[p.id]
	if b == nil {
		if len(l.buckets) >= l.sweepAt {
			l.sweepLocked(now)
		}
		b = &bucket{units: burst, at: now}
		l.buckets[p.id] = b
	}
	b.rate, b.burst = float64(p.rate), burst
	return b
}

// sweepLocked forgets the buckets that are full: they would be the same if they were
// made anew.
func (l *rateLimiters) sweepLocked(now time.Time) {
	for id, b := range l.buckets {
		if b.delay(b.burst, now) == 0 {
			delete(l.buckets, id)
		}
	}
	l.sweepAt = max(bucketsKept, 2*len(l.buckets))
}

// unitsOf returns what a message of so many bytes costs.
func unitsOf(size int) int { return max(1, (size+unitBytes-1)/unitBytes) }
