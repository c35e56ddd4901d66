package demo

import (
	"context"
	"fmt"
	"time"

	"lanekeeper/pkg/client"
)

// watchEvery is how often the service is asked how far everything is.
const watchEvery = time.Second

// Status is how far a demo is, of all its tenants together.
type Status struct {
	Elapsed time.Duration
	// Published is how many messages the service accepted, NotPublished how many it did
	// not, and Stored how many are in the histories.
	Published, NotPublished, Stored int64
	// Delivered is how many requests the receivers took, and Failed how many they did
	// not: some messages are delivered several times, until they are taken.
	Delivered, Failed int64
	// DeadLetters is how many messages were given up, Lag how many have not got to an
	// endpoint yet, and OpenBreakers how many endpoints are left alone for now.
	DeadLetters, Lag int64
	OpenBreakers     int
}

// watch asks the service how far everything is, until ctx ends.
func (d *demo) watch(ctx context.Context, counts *traffic, there *receivers) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := d.last
		seen, err := d.look(ctx)
		now.Elapsed = time.Since(there.opened)
		now.Published, now.NotPublished = counts.accepted.Load(), counts.failed.Load()
		now.Delivered, now.Failed = there.taken.Load(), there.refused.Load()
		switch {
		case err == nil:
			now.Stored, now.DeadLetters, now.Lag, now.OpenBreakers = seen.Stored, seen.DeadLetters, seen.Lag, seen.OpenBreakers
		case ctx.Err() == nil:
			d.notes.note(err)
		}
		d.last = now
		if d.o.Show != nil && ctx.Err() == nil {
			d.o.Show(now)
		}
	}
}

// look returns what only the service knows.
func (d *demo) look(ctx context.Context) (seen Status, err error) {
	limited, cancel := context.WithTimeout(ctx, 2*watchEvery)
	defer cancel()
	for _, t := range d.tenants {
		endpoints, err := t.client.Endpoints.List(limited)
		if err != nil {
			return seen, fmt.Errorf("list the endpoints of %s: %w", t.name, err)
		}
		stored := int64(0)
		for i := range endpoints {
			e := &endpoints[i]
			stored = max(stored, e.LastSeq)
			seen.Lag += e.Lag
			if e.Breaker.Open {
				seen.OpenBreakers++
			}
		}
		seen.Stored += stored
		letters, err := t.client.DeadLetters.Groups(limited, client.ListDeadLetters{})
		if err != nil {
			return seen, fmt.Errorf("count the dead letters of %s: %w", t.name, err)
		}
		seen.DeadLetters += int64(letters.Counted)
	}
	return seen, nil
}
