package overview

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// depthsAsked is how many queues are asked for each snapshot at most, and
	// depthsAtATime how many of them at once. All of it may take depthsTimeout.
	depthsAsked   = 16
	depthsAtATime = 4
	depthsTimeout = 500 * time.Millisecond
	// depthFor is for how long a depth is shown, which with thousands of queues is some
	// minutes old.
	depthFor = 10 * time.Minute
)

// depths are those of queues whose consumer does not run, so that nobody reports them:
// at each snapshot some are asked, those that were asked longest ago. It belongs to
// whoever takes a snapshot.
type depths struct {
	ask   func(ctx context.Context, tenantID uuid.UUID) (int64, error)
	found map[uuid.UUID]depth
}

type depth struct {
	// asked is when the broker was asked last, and ready what it said at found; zero when
	// it has said nothing yet.
	asked, found time.Time
	ready        int64
}

func newDepths(ask func(context.Context, uuid.UUID) (int64, error)) *depths {
	return &depths{ask: ask, found: make(map[uuid.UUID]depth)}
}

// fill sets the backlogs in a snapshot of which nobody reported anything.
func (d *depths) fill(ctx context.Context, s *snapshot) {
	var missing []*int64
	var ids []uuid.UUID
	for i := range s.sight.Tenants {
		if t := &s.sight.Tenants[i]; t.Consumer == "" && t.Backlog < 0 && !t.Gone() && t.Status != domain.TenantProvisioning {
			ids, missing = append(ids, t.ID), append(missing, &t.Backlog)
		}
	}
	d.refresh(ctx, ids)
	now := time.Now()
	for i, id := range ids {
		if f := d.found[id]; now.Sub(f.found) < depthFor {
			*missing[i] = f.ready
		}
	}
}

// refresh asks some of these queues, and forgets all others.
func (d *depths) refresh(ctx context.Context, ids []uuid.UUID) {
	known := make(map[uuid.UUID]depth, len(ids))
	for _, id := range ids {
		known[id] = d.found[id]
	}
	d.found = known
	due := slices.SortedFunc(slices.Values(ids), func(a, b uuid.UUID) int {
		return cmp.Or(known[a].asked.Compare(known[b].asked), slices.Compare(a[:], b[:]))
	})
	due = due[:min(len(due), depthsAsked)]
	ctx, cancel := context.WithTimeout(ctx, depthsTimeout)
	defer cancel()
	answers := make([]int64, len(due))
	next := make(chan int)
	var asking sync.WaitGroup
	for range min(len(due), depthsAtATime) {
		asking.Go(func() {
			for i := range next {
				ready, err := d.ask(ctx, due[i])
				if err != nil {
					ready = -1
				}
				answers[i] = ready
			}
		})
	}
	for i := range due {
		next <- i
	}
	close(next)
	asking.Wait()
	now := time.Now()
	for i, id := range due {
		f := known[id]
		f.asked = now
		if answers[i] >= 0 {
			f.ready, f.found = answers[i], now
		}
		known[id] = f
	}
}
