package tenant_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/service/tenant"
)

// room returns a Capacity with room for n tenants.
func room(n int, count func(context.Context) (int, error)) *tenant.Capacity {
	footprint := domain.Footprint{QuorumPerTenant: 10}
	limit := (footprint.Files(n, 1)*100 + 94) / 95
	return tenant.NewCapacity(tenant.CapacityOptions{FileLimit: limit, Footprint: footprint, Count: count})
}

func TestCapacityAdmitsUntilTheBrokerIsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, tenants, counted := t.Context(), 7, 0
		c := room(10, func(context.Context) (int, error) { counted++; return tenants, nil })
		for range 3 {
			require.NoError(t, c.Admit(ctx))
		}
		err := c.Admit(ctx)
		require.ErrorIs(t, err, domain.ErrUnavailable)
		require.Equal(t, "broker_capacity", domain.CodeOf(err))
		require.Equal(t, 1, counted, "calls in quick succession share one count")

		// Those admitted were not created after all, and two more are gone.
		tenants = 5
		time.Sleep(2 * time.Second) //nolint:forbidigo // of the bubble's clock
		for range 5 {
			require.NoError(t, c.Admit(ctx))
		}
		require.Error(t, c.Admit(ctx))
		require.Equal(t, 2, counted)
	})
}

func TestCapacityWithoutALimitAsksNobody(t *testing.T) {
	t.Parallel()
	for _, c := range []*tenant.Capacity{nil, tenant.NewCapacity(tenant.CapacityOptions{})} {
		require.NoError(t, c.Admit(t.Context()))
		use, err := c.Use(t.Context())
		require.NoError(t, err)
		require.Zero(t, use)
	}
}

func TestCapacityThatCannotBeCounted(t *testing.T) {
	t.Parallel()
	c := room(10, func(context.Context) (int, error) {
		return 0, domain.New(domain.ErrUnavailable, "database_unavailable", "It is away.")
	})
	require.ErrorIs(t, c.Admit(t.Context()), domain.ErrUnavailable)
	_, err := c.Use(t.Context())
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

func TestCapacityAdmitsAtOnce(t *testing.T) {
	t.Parallel()
	c := room(1000, func(context.Context) (int, error) { return 0, nil })
	var calls sync.WaitGroup
	for range 50 {
		calls.Go(func() { _ = c.Admit(t.Context()) })
	}
	calls.Wait()
}
