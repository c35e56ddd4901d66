package repository

import (
	"time"

	"lanekeeper/domain"
)

// sample is how old a message of a history is that has so many after it.
type sample struct {
	back int64
	age  time.Duration
}

// ladder returns how far back messages are looked at: each step a quarter further than the
// one before, to more than are stored in domain.StoredWithin.
func ladder() []int64 {
	const furthest = 1 << 20
	steps := []int64{0}
	for n := int64(1); n <= furthest; n = max(n+1, n*5/4) {
		steps = append(steps, n)
	}
	return steps
}

// measure notes in p how fast messages are stored. The samples are in order, the newest
// first.
//
// Messages are stored in batches, and those of a batch are equally old. So those of the
// oldest batch do not count, but those that came after it; and the time since the newest
// batch does not count as long as it is no longer than batches take anyway: else how fast
// it is would depend on how long the batch takes that is not stored yet.
//
// It is the last few seconds that count where they have more than a batch: what was stored
// before a backlog came says how fast messages came, and not how fast they are stored.
func measure(samples []sample, p *domain.StoreProgress) {
	const (
		apart = time.Millisecond // batches are, at least
		late  = 3 * time.Second
	)
	if len(samples) == 0 || samples[0].back != 0 {
		return
	}
	newest, between := samples[0].age, time.Duration(0)
	var after sample // the newest of the oldest batch that counts, unless that is the only one
	for _, s := range samples[1:] {
		if s.age > domain.StoredWithin {
			break
		}
		if s.age-max(newest, p.CountedFor) > apart {
			if between == 0 {
				between = s.age - newest
			}
			if after.age-newest < late {
				after = s
			}
		}
		p.Counted, p.CountedFor = s.back, s.age
	}
	if after.back == 0 {
		after = sample{p.Counted, p.CountedFor}
	}
	if over := after.age - min(newest, 2*between); over > 0 {
		p.Rate = float64(after.back) / over.Seconds()
	}
}
