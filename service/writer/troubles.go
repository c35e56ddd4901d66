package writer

import (
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// troubles is why tenants are parked, and since when. It is safe for concurrent use.
type troubles struct {
	mu       sync.Mutex
	byTenant map[uuid.UUID]domain.StoreTrouble // guarded by mu
}

func newTroubles() *troubles { return &troubles{byTenant: make(map[uuid.UUID]domain.StoreTrouble)} }

// note notes what a tenant's trouble is now. It began when the first one was noted.
func (t *troubles) note(tenant uuid.UUID, kind domain.StoreTroubleKind) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.byTenant[tenant]
	if !ok {
		known.Since = time.Now()
	}
	known.Kind = kind
	t.byTenant[tenant] = known
}

func (t *troubles) end(tenant uuid.UUID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byTenant, tenant)
}

func (t *troubles) of(tenant uuid.UUID) domain.StoreTrouble {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byTenant[tenant]
}

// troubleOf returns what keeps a tenant from being stored by an error of the store.
func troubleOf(err error) domain.StoreTroubleKind {
	switch {
	case errors.Is(err, domain.ErrPartitionMissing):
		return domain.StorePartitionMissing
	case errors.Is(err, domain.ErrContended):
		return domain.StoreLocked
	case errors.Is(err, domain.ErrStoreRefuses):
		return domain.StoreRefuses
	}
	return domain.StoreAway
}
