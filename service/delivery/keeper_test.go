package delivery_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/service/delivery"
)

var errBroken = errors.New("broken")

// broken is a repository some of whose methods fail until it is mended.
type broken struct {
	domain.DeliveryRepository

	releases, claims, targets bool // which of them
	mended, together          atomic.Bool
	failures                  atomic.Int32 // since there are two replicas
}

func (b *broken) fails(this bool) bool {
	fails := this && !b.mended.Load()
	if fails && b.together.Load() {
		b.failures.Add(1)
	}
	return fails
}

func (b *broken) BeatDeliverer(ctx context.Context, name string, leaving bool, ttl time.Duration) ([]string, error) {
	names, err := b.DeliveryRepository.BeatDeliverer(ctx, name, leaving, ttl)
	b.together.Store(len(names) == 2)
	return names, err
}

func (b *broken) ReleaseDeliveries(ctx context.Context, name string, claims []domain.DeliveryClaim) error {
	if b.fails(b.releases) {
		return errBroken
	}
	return b.DeliveryRepository.ReleaseDeliveries(ctx, name, claims)
}

// ClaimDeliveries claims, but what it got is lost.
func (b *broken) ClaimDeliveries(ctx context.Context, name string, ids []uuid.UUID, ttl time.Duration) ([]domain.DeliveryClaim, error) {
	claims, err := b.DeliveryRepository.ClaimDeliveries(ctx, name, ids, ttl)
	if b.fails(b.claims) {
		return nil, errBroken
	}
	return claims, err
}

func (b *broken) DeliveryTargets(ctx context.Context, ids []uuid.UUID) ([]domain.DeliveryTarget, error) {
	if b.fails(b.targets) {
		return nil, errBroken
	}
	return b.DeliveryRepository.DeliveryTargets(ctx, ids)
}

// A tenant that moved is given up in the end, whatever went wrong when it was claimed
// or released.
func TestMovedTenantsAreGivenUp(t *testing.T) {
	t.Parallel()
	const tenants = 16
	for name, tt := range map[string]struct {
		repository *broken
		failures   int32 // after which the first replica knows of the second
	}{
		"releases fail":                {&broken{releases: true}, 1},
		"answers to claims are lost":   {&broken{claims: true}, 3},
		"endpoints could not be read":  {&broken{targets: true}, 3},
		"all of that at the same time": {&broken{releases: true, claims: true, targets: true}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := newWorld(t), newReceiver(t)
			var endpoints []domain.Endpoint
			for range tenants {
				endpoints = append(endpoints, w.endpoint(w.newTenant(1), r.URL, nil))
			}
			tt.repository.DeliveryRepository = w.store
			w.start("a", func(o *delivery.Options) { o.Deliveries = tt.repository })
			await(t, func() error {
				if w.count(`SELECT count(*) FROM delivery_claims WHERE owner = 'a'`) < tenants {
					return errNotYet
				}
				return nil
			})
			w.start("b", nil)
			await(t, func() error {
				if tt.repository.failures.Load() < tt.failures {
					return errNotYet
				}
				return nil
			})
			tt.repository.mended.Store(true)
			for i, e := range endpoints {
				w.publish(domain.Tenant{ID: e.TenantID}, 100*i, 3, nil)
			}
			for _, e := range endpoints {
				w.awaitCaughtUp(e)
			}
			require.Len(t, r.taken(), 3*tenants)
			require.Positive(t, w.count(`SELECT count(*) FROM delivery_claims WHERE owner = 'b'`), "some have moved")
		})
	}
}
