package auth

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"lanekeeper/domain"
)

// How many logins may fail: burst at once, and then rate a second. An address
// may stand for a whole company.
const (
	accountRate  = rate.Limit(1.0 / 6)
	accountBurst = 10
	addressRate  = rate.Limit(1)
	addressBurst = 50
	// maxLimited is how many accounts, and how many addresses, are counted.
	maxLimited = 20_000
)

// limiter limits failed attempts by a name. It is safe for concurrent use.
type limiter struct {
	rate  rate.Limit
	burst int
	now   func() time.Time

	mu      sync.Mutex // guards buckets and what is in them
	buckets *recent[string, *bucket]
}

// bucket counts the attempts under one name.
type bucket struct {
	failures *rate.Limiter
	// pending attempts count as if they were going to fail, so that many at
	// once get no further than many in a row.
	pending int
}

func newLimiter(limit rate.Limit, burst int, now func() time.Time) *limiter {
	return &limiter{rate: limit, burst: burst, now: now, buckets: newRecent[string, *bucket](maxLimited)}
}

// begin allows an attempt or returns an ErrLimited. The caller must call done
// once with the outcome of an allowed attempt.
func (l *limiter) begin(name string) (done func(failed bool), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets.get(name)
	if !ok {
		b = &bucket{failures: rate.NewLimiter(l.rate, l.burst)}
		l.buckets.put(name, b)
	}
	if left := b.failures.TokensAt(l.now()) - float64(b.pending); left < 1 {
		wait := time.Duration((1 - left) / float64(l.rate) * float64(time.Second))
		return nil, domain.New(domain.ErrLimited, "too_many_logins", "Too many logins have failed; try again later.").After(wait)
	}
	b.pending++
	return func(failed bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		b.pending--
		if failed {
			b.failures.AllowN(l.now(), 1)
		}
	}, nil
}

// addressName returns the name under which an address is counted: for IPv6 the
// network of 64 bits that one customer gets.
func addressName(remote string) string {
	addr, err := netip.ParseAddr(remote)
	if err != nil {
		return remote
	}
	if addr = addr.Unmap(); addr.Is6() {
		if network, err := addr.Prefix(64); err == nil {
			return network.String()
		}
	}
	return addr.String()
}
