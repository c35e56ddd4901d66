package delivery

import (
	"context"
	"log/slog"
	"slices"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// claim claims the tenants that are wanted and not had.
func (k *keeper) claim(ctx, work context.Context) {
	if !k.beat.alive() {
		return
	}
	var missing []uuid.UUID
	for id := range k.tenants {
		if k.lanes[id] == nil && k.wants(id) {
			missing = append(missing, id)
		}
	}
	for chunk := range slices.Chunk(missing, claimsAtOnce) {
		limited, cancel := context.WithTimeout(ctx, repositoryTimeout)
		claims, err := k.service.o.Deliveries.ClaimDeliveries(limited, k.service.o.Replica, chunk, claimTTL)
		cancel()
		known := k.have(ctx, work, claims)
		if err != nil { // the database may have given more than it could say
			k.doubtful = true
			k.service.o.Log.DebugContext(ctx, "tenants cannot be claimed for deliveries, trying on", slog.Any("error", err))
		}
		if err != nil || !known {
			return
		}
	}
}

// have makes lanes of claims. It reports whether their endpoints are known; where
// they cannot be read the lanes have none until they can.
func (k *keeper) have(ctx, work context.Context, claims []domain.DeliveryClaim) bool {
	if len(claims) == 0 {
		return true
	}
	ids := make([]uuid.UUID, len(claims))
	k.mu.Lock()
	for i, c := range claims {
		l := newLane(work, k.service, c)
		ids[i], k.lanes[c.TenantID], k.view[c.TenantID] = c.TenantID, l, l
		delete(k.surplus, c.TenantID) // its epoch is an earlier one
	}
	k.mu.Unlock()
	targets, err := k.targets(ctx, ids)
	if err != nil {
		k.failed(ctx, err)
		return false
	}
	for _, id := range ids {
		k.lanes[id].apply(targets[id])
	}
	return true
}

// findSurplus finds claims that are this replica's without its knowing, because the
// answer to a claim was lost or came too late.
func (k *keeper) findSurplus(ctx context.Context) {
	if !k.doubtful {
		return
	}
	limited, cancel := context.WithTimeout(ctx, repositoryTimeout)
	claims, err := k.service.o.Deliveries.DeliveryClaims(limited, k.service.o.Replica)
	cancel()
	if err != nil {
		k.service.o.Log.DebugContext(ctx, "claims of deliveries cannot be read, trying on", slog.Any("error", err))
		return
	}
	k.doubtful = false
	for _, c := range claims {
		if k.lanes[c.TenantID] == nil && !k.wants(c.TenantID) { // what is wanted is claimed again
			k.surplus[c.TenantID] = c.Epoch
		}
	}
}

// release gives up the surplus claims. Those for which that fails stay surplus, until
// it succeeds or they are claimed again: nobody else gets them while this replica
// lives.
func (k *keeper) release(ctx context.Context) {
	claims := make([]domain.DeliveryClaim, 0, len(k.surplus))
	for id, epoch := range k.surplus {
		claims = append(claims, domain.DeliveryClaim{TenantID: id, Epoch: epoch})
	}
	for chunk := range slices.Chunk(claims, claimsAtOnce) {
		limited, cancel := context.WithTimeout(ctx, endTimeout)
		err := k.service.o.Deliveries.ReleaseDeliveries(limited, k.service.o.Replica, chunk)
		cancel()
		if err != nil {
			k.service.o.Log.DebugContext(ctx, "claims of deliveries cannot be released, trying on", slog.Any("error", err))
			return
		}
		for _, c := range chunk {
			delete(k.surplus, c.TenantID)
		}
	}
}
