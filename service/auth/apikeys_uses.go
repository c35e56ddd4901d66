package auth

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// recordEvery is how often uses are written down.
	recordEvery = 15 * time.Second
	// recordTimeout is how long that may take, and lastRecord when the service ends.
	recordTimeout = 5 * time.Second
	lastRecord    = time.Second
)

// keyUses notes which keys were used in which minute, and which of that is not
// written down yet. It is safe for concurrent use, and has maxKeys entries at most:
// what has no room is noted once others were written down.
type keyUses struct {
	mu      sync.Mutex // guards the rest; nothing waits while it is held
	noted   map[uuid.UUID]time.Time
	pending map[uuid.UUID]time.Time // those of noted that are to be written down
}

func newKeyUses() *keyUses {
	return &keyUses{noted: make(map[uuid.UUID]time.Time), pending: make(map[uuid.UUID]time.Time)}
}

// note notes a use.
func (u *keyUses) note(id uuid.UUID, now time.Time) {
	minute := now.UTC().Truncate(time.Minute)
	u.mu.Lock()
	defer u.mu.Unlock()
	if last, known := u.noted[id]; known && !minute.After(last) {
		return
	} else if !known && len(u.noted) >= maxKeys {
		return
	}
	u.noted[id], u.pending[id] = minute, minute
}

// flush writes down what is pending, which goes on being so if that fails.
func (u *keyUses) flush(ctx context.Context, write func(context.Context, map[uuid.UUID]time.Time) error) error {
	u.mu.Lock()
	uses := u.pending
	u.pending = make(map[uuid.UUID]time.Time)
	u.mu.Unlock()
	if len(uses) == 0 {
		return nil
	}
	err := write(ctx, uses)
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case err != nil:
		for id, minute := range uses {
			if _, later := u.pending[id]; !later {
				u.pending[id] = minute
			}
		}
	case len(u.noted) >= maxKeys/2: // forget those that are not used any more
		u.noted = maps.Clone(u.pending)
	}
	return err
}
