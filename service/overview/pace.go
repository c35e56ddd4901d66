package overview

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// A rate is that since the latest count which is leastSpan old, if it is not older
	// than mostSpan; countsKept of them are kept.
	leastSpan  = 5 * time.Second
	mostSpan   = time.Minute
	countsKept = 4
)

// rateOf returns how many messages were stored in a second of late, for a tenant with so
// many now; nil where that is not known.
type rateOf func(tenantID uuid.UUID, lastSeq int64) *float64

// pace knows how many messages of each tenant were stored some seconds ago. It is safe
// for concurrent use.
type pace struct {
	mu     sync.Mutex
	counts []domain.StoredCounts // guarded by mu, oldest first; the maps do not change
}

func (p *pace) note(c domain.StoredCounts) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.counts) == countsKept {
		p.counts = slices.Delete(p.counts, 0, 1)
	}
	p.counts = append(p.counts, c)
}

// at returns the rates at a time of the database.
func (p *pace) at(now time.Time) rateOf {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range slices.Backward(p.counts) {
		switch span := now.Sub(c.At); {
		case span < leastSpan:
		case span > mostSpan:
			return unknownRate
		default:
			return func(id uuid.UUID, lastSeq int64) *float64 {
				before, known := c.LastSeq[id]
				if !known || lastSeq < before {
					return nil
				}
				rate := float64(lastSeq-before) / span.Seconds()
				return &rate
			}
		}
	}
	return unknownRate
}

func unknownRate(uuid.UUID, int64) *float64 { return nil }
