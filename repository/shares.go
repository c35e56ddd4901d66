package repository

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// shareOf is which part of a pool one tenant may hold: a quarter.
	shareOf = 4
	// shareWait is how long a call waits for others of its tenant.
	shareWait = 2 * time.Second
)

// shares keep one tenant from holding all connections of a pool: when its
// partition is locked, or its calls are slow, they wait for each other and not
// those of other tenants for them. It is safe for concurrent use.
type shares struct {
	most int // connections of one tenant

	mu    sync.Mutex
	taken map[uuid.UUID]*share // guarded by mu, with the count of users
}

type share struct {
	slots chan struct{}
	users int // that hold a slot or wait for one
}

// newShares returns the shares of a pool with so many connections.
func newShares(conns int) *shares {
	return &shares{most: max(2, conns/shareOf), taken: make(map[uuid.UUID]*share)}
}

// enter waits for a place and returns what gives it back. Errors are those of
// ctx, and an ErrUnavailable with code "tenant_busy" when it takes too long.
func (s *shares) enter(ctx context.Context, tenantID uuid.UUID) (leave func(), err error) {
	mine := s.join(tenantID)
	select {
	case mine.slots <- struct{}{}:
	default:
		timer := time.NewTimer(shareWait)
		defer timer.Stop()
		select {
		case mine.slots <- struct{}{}:
		case <-timer.C:
			s.quit(tenantID, mine)
			return nil, domain.New(domain.ErrUnavailable, "tenant_busy",
				"Too many calls of this tenant wait for the database; try again shortly.").After(retryAfter)
		case <-ctx.Done():
			s.quit(tenantID, mine)
			return nil, ctx.Err()
		}
	}
	return func() {
		<-mine.slots
		s.quit(tenantID, mine)
	}, nil
}

func (s *shares) join(tenantID uuid.UUID) *share {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := s.taken[tenantID]
	if mine == nil {
		mine = &share{slots: make(chan struct{}, s.most)}
		s.taken[tenantID] = mine
	}
	mine.users++
	return mine
}

func (s *shares) quit(tenantID uuid.UUID, mine *share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mine.users--; mine.users == 0 {
		delete(s.taken, tenantID)
	}
}
