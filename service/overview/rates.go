package overview

import (
	"sort"
	"sync"
	"time"

	"lanekeeper/domain"
)

// Totals are what a process has counted since it began.
type Totals struct {
	// Accepted, Stored and Delivered are messages.
	Accepted, Stored, Delivered float64
	// Publish and EndToEnd are how long publishing took, and the way from there to the
	// committed row.
	Publish, EndToEnd Distribution
}

// Distribution is how long things took.
type Distribution struct {
	// Bounds are seconds, in ascending order, and Counts how many things took at most so
	// long; Count is how many there were.
	Bounds []float64
	Counts []uint64
	Count  uint64
}

// slots is how many intervals are kept.
const slots = int64(domain.RateWindow / domain.RateInterval)

// rates are those of the last intervals, each of which ends at a multiple of
// domain.RateInterval. It is safe for concurrent use.
type rates struct {
	mu   sync.Mutex // guards the rest
	ring [slots]slot
	// last are the totals that were sampled last, at lastAt by our monotonic clock; zero
	// before the first.
	last   Totals
	lastAt time.Time
}

// slot is an interval.
type slot struct {
	// number says which; two of them are domain.RateInterval apart.
	number int64
	rate   domain.Rate
}

func newRates() *rates { return &rates{} }

// sample takes the totals as they are at a time of the fleet.
func (r *rates) sample(at time.Time, now Totals) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, begun := r.last, r.lastAt
	r.last, r.lastAt = now, time.Now()
	if begun.IsZero() {
		return
	}
	seconds := r.lastAt.Sub(begun).Seconds()
	number := slotOf(at)
	r.ring[number%slots] = slot{number: number, rate: domain.Rate{
		Accepted:      perSecond(before.Accepted, now.Accepted, seconds),
		Stored:        perSecond(before.Stored, now.Stored, seconds),
		Delivered:     perSecond(before.Delivered, now.Delivered, seconds),
		PublishMedian: quantile(0.5, &before.Publish, &now.Publish),
		PublishP99:    quantile(0.99, &before.Publish, &now.Publish),
		EndToEndP99:   quantile(0.99, &before.EndToEnd, &now.EndToEnd),
	}}
}

// window returns the intervals up to a time of the fleet, oldest first. Those that were
// not measured have nothing but their time.
func (r *rates) window(now time.Time) []domain.Rate {
	last := slotOf(now)
	all := make([]domain.Rate, slots)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ring[last%slots].number != last { // it has begun, and is not measured yet
		last--
	}
	for i := range all {
		number := last - slots + 1 + int64(i)
		if s := &r.ring[number%slots]; s.number == number {
			all[i] = s.rate
		}
		all[i].At = time.UnixMilli(number * domain.RateInterval.Milliseconds()).UTC()
	}
	return all
}

// slotOf returns the interval that ends at about that time. A sample is taken when the
// interval is over, or a moment before or after.
func slotOf(at time.Time) int64 {
	return (at.UnixMilli() + domain.RateInterval.Milliseconds()/2) / domain.RateInterval.Milliseconds()
}

// perSecond returns a rate, or nil when there is none.
func perSecond(before, now, seconds float64) *float64 {
	if seconds <= 0 || now < before {
		return nil
	}
	rate := (now - before) / seconds
	return &rate
}

// quantile estimates how long a part of those things took at most that came between
// two samples: within a bucket of the histogram they are taken to be spread evenly, and
// what took longer than the last bound as having taken that long. It is what
// Prometheus' histogram_quantile says.
func quantile(part float64, before, now *Distribution) *time.Duration {
	since := func(i int) float64 {
		if i >= len(before.Counts) {
			return float64(now.Counts[i])
		}
		return float64(now.Counts[i]) - float64(before.Counts[i])
	}
	came := float64(now.Count) - float64(before.Count)
	if came <= 0 || len(now.Bounds) == 0 {
		return nil
	}
	rank := part * came
	i := sort.Search(len(now.Bounds), func(i int) bool { return since(i) >= rank })
	seconds := now.Bounds[len(now.Bounds)-1]
	if i < len(now.Bounds) {
		low, below := 0.0, 0.0
		if i > 0 {
			low, below = now.Bounds[i-1], since(i-1)
		}
		seconds = low + (now.Bounds[i]-low)*(rank-below)/max(1, since(i)-below)
	}
	took := time.Duration(seconds * float64(time.Second))
	return &took
}
