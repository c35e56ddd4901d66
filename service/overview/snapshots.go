package overview

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// freshFor is how old a snapshot may be, and restTimes how many times as long as it
	// took to take: so that taking them keeps a connection busy for a twentieth of the
	// time at most.
	freshFor  = time.Second
	restTimes = 20
	// takeTimeout is how long taking one may take.
	takeTimeout = 3 * time.Second
	// showFor is for how long the last one is shown while there is no other, and waitAfter
	// how old it must be that callers wait for the next one.
	showFor   = 10 * time.Minute
	waitAfter = 5 * time.Second
)

// snapshots has the latest look at all tenants for everybody. It is safe for concurrent
// use.
type snapshots struct {
	// take takes one; calls do not overlap.
	take func(ctx context.Context) (*snapshot, error)
	// depths is used by whoever takes one.
	depths *depths

	mu sync.Mutex
	// last is the latest snapshot, or nil; err is why there is none that is newer.
	last *snapshot
	err  error
	// rested is when the next one may be taken, and taking is closed when the one that is
	// being taken is there; nil while none is.
	rested time.Time
	taking chan struct{}
}

// get returns a snapshot that is fresh, or the last one when there can be none at the
// moment. Errors are an ErrUnavailable.
func (s *snapshots) get(ctx context.Context) (*snapshot, error) {
	for {
		s.mu.Lock()
		last, taking := s.last, s.taking
		switch {
		case time.Now().Before(s.rested), taking != nil && last != nil && last.age() < waitAfter:
			err := s.err
			s.mu.Unlock()
			return last.orElse(err)
		case taking == nil:
			done := make(chan struct{})
			s.taking = done
			s.mu.Unlock()
			return s.renew(ctx, done)
		}
		s.mu.Unlock()
		select {
		case <-taking:
		case <-ctx.Done():
			return last.orElse(fmt.Errorf("wait for an overview: %w", ctx.Err()))
		}
	}
}

// renew takes a snapshot, for all who wait: also when the caller does not any more.
func (s *snapshots) renew(ctx context.Context, done chan struct{}) (*snapshot, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeTimeout)
	defer cancel()
	begun := time.Now()
	fresh, err := s.take(ctx)
	took := time.Since(begun)
	if err == nil {
		fresh.taken = begun
		s.depths.fill(ctx, fresh)
		fresh.complete()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.last = fresh
	}
	s.err, s.taking = err, nil
	s.rested = time.Now().Add(max(freshFor, restTimes*took))
	close(done)
	return s.last.orElse(err)
}

// orElse returns the snapshot, unless there is none, or there should be a newer one and it
// is too old: then err, which is why there is not.
func (s *snapshot) orElse(err error) (*snapshot, error) {
	if s == nil || err != nil && s.age() >= showFor {
		return nil, err
	}
	return s, nil
}
