package tenant

import (
	"context"
	"fmt"
	"math"

	"github.com/google/uuid"

	"lanekeeper/pkg/shares"
)

// tenantMutex is one mutex for each tenant, given to the calls that wait for it in
// the order in which they came.
type tenantMutex struct{ places *shares.Shares }

func newTenantMutex() tenantMutex {
	return tenantMutex{shares.New(shares.Options{Total: math.MaxInt64, PerOwner: 1, PerUser: 1})}
}

// lock waits for the tenant's mutex until ctx ends. Unlock may be called again.
func (m tenantMutex) lock(ctx context.Context, id uuid.UUID) (unlock func(), err error) {
	place, err := m.places.Take(ctx, shares.User{Owner: id.String()}, 1)
	if err != nil {
		return nil, fmt.Errorf("wait for other work on the tenant: %w", err)
	}
	return place.GiveBack, nil
}
