package main

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// hastyDeliveries settles messages before they are answered: the cursor is moved to
// the end of what a dispatcher may have read.
type hastyDeliveries struct{ domain.DeliveryRepository }

// Settle implements domain.DeliveryRepository, wrongly.
func (r hastyDeliveries) Settle(ctx context.Context, name string, settlements []domain.Settlement) ([]domain.SettleOutcome, error) {
	const ahead, bytes = 512, 1 << 20
	hasty := slices.Clone(settlements)
	for i := range hasty {
		s := &hasty[i]
		if read, err := r.ReadDeliveries(ctx, s.TenantID, s.Settled, ahead, bytes); err == nil && len(read) > 0 {
			s.Settled = read[len(read)-1].Seq
		}
	}
	return r.DeliveryRepository.Settle(ctx, name, hasty) //nolint:wrapcheck // passed on
}

// greedyDeliveries claims tenants that another replica still delivers for.
type greedyDeliveries struct{ domain.DeliveryRepository }

// ClaimDeliveries implements domain.DeliveryRepository, wrongly.
func (r greedyDeliveries) ClaimDeliveries(ctx context.Context, name string, tenants []uuid.UUID, _ time.Duration) ([]domain.DeliveryClaim, error) {
	return r.DeliveryRepository.ClaimDeliveries(ctx, name, tenants, 0) //nolint:wrapcheck // passed on
}

// forgetfulDeliveries moves cursors past messages that are to be tried again, and
// writes no rows for them.
type forgetfulDeliveries struct{ domain.DeliveryRepository }

// Settle implements domain.DeliveryRepository, wrongly.
func (r forgetfulDeliveries) Settle(ctx context.Context, name string, settlements []domain.Settlement) ([]domain.SettleOutcome, error) {
	forgetful := slices.Clone(settlements)
	for i := range forgetful {
		forgetful[i].Open = nil
	}
	return r.DeliveryRepository.Settle(ctx, name, forgetful) //nolint:wrapcheck // passed on
}
