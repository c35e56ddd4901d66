package delivery

import (
	"time"

	"lanekeeper/domain"
)

const (
	// breakerOpensAfter is how many distinct messages fail in a row before the
	// breaker opens, and probeEvery how often one is tried while it is open, unless
	// Options say otherwise.
	breakerOpensAfter = 10
	probeEvery        = 30 * time.Second
	// failingAfter is how many attempts in a row fail, within failingWithin of the
	// first, before an endpoint counts as failing.
	failingAfter  = 5
	failingWithin = 24 * time.Hour
)

// breaker is what a dispatcher remembers of failures. It belongs to its goroutine.
type breaker struct {
	health domain.EndpointHealth
	// failed are the messages that failed since the last success, until the breaker
	// opens.
	failed map[int64]struct{}
	// first is when the first attempt since the last success failed, and count how
	// many did.
	first time.Time
	count int
	// probeEvery is how often one is tried, probeAt when the next is, and oldest
	// says which.
	probeEvery time.Duration
	probeAt    time.Time
	oldest     bool
}

func newBreaker(h domain.EndpointHealth, probeEvery time.Duration, now time.Time) *breaker {
	b := &breaker{health: h, failed: make(map[int64]struct{}), probeEvery: probeEvery, oldest: true}
	if b.open() {
		b.probeAt = now // it was open before: what is the matter by now?
	}
	return b
}

func (b *breaker) open() bool { return !b.health.BreakerOpenedAt.IsZero() }

// succeeded notes a success, and reports whether the health has changed by it.
func (b *breaker) succeeded() (changed bool) {
	changed = b.open() || !b.health.FailingSince.IsZero()
	b.health.BreakerOpenedAt, b.health.FailingSince = time.Time{}, time.Time{}
	clear(b.failed)
	b.first, b.count = time.Time{}, 0
	return changed
}

// failure notes a failed attempt of a message; now is the database's time, local
// the process's own. It reports whether the attempt counts, and whether the
// health has changed.
func (b *breaker) failure(seq int64, now, local time.Time) (counts, changed bool) {
	counts = !b.open()
	if b.count == 0 || now.Sub(b.first) > failingWithin && b.health.FailingSince.IsZero() {
		b.first, b.count = now, 0
	}
	b.count++
	if b.count >= failingAfter && b.health.FailingSince.IsZero() {
		b.health.FailingSince = b.first
		changed = true
	}
	if b.open() {
		return counts, changed
	}
	b.failed[seq] = struct{}{}
	if len(b.failed) >= breakerOpensAfter {
		b.health.BreakerOpenedAt = now
		b.probeAt = local.Add(b.probeEvery)
		changed = true
		clear(b.failed)
	}
	return counts, changed
}

// failingFor returns for how long every attempt failed.
func (b *breaker) failingFor(now time.Time) time.Duration {
	if b.health.FailingSince.IsZero() {
		return 0
	}
	return now.Sub(b.health.FailingSince)
}
