package metrics_test

import (
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/metrics"
)

// What Totals says is what was recorded, whatever became of the tenant since.
func TestTotals(t *testing.T) {
	t.Parallel()
	for _, labels := range []bool{true, false} {
		m := metrics.New(metrics.Options{TenantLabels: labels, MaxTenants: 2})
		require.Zero(t, m.Totals().Accepted)
		m.AddPublished("accepted", 3)
		m.AddPublished("refused", 5)
		m.ObservePublish(0.004)
		m.ObservePublish(20)
		m.ObserveEndToEnd(0.03)
		tenants := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
		for _, id := range tenants {
			m.AddMessages(id, "stored", 2)
			m.AddMessages(id, "duplicate", 7)
			m.AddDeliveries(id, "delivered", 4)
			m.AddDeliveries(id, "failed", 9)
		}
		check := func() {
			t.Helper()
			got := m.Totals()
			require.Equal(t, []float64{3, 6, 12}, []float64{got.Accepted, got.Stored, got.Delivered})
			require.EqualValues(t, 2, got.Publish.Count)
			for i, bound := range got.Publish.Bounds {
				want := uint64(0)
				if bound >= 0.005 {
					want = 1
				}
				require.Equal(t, want, got.Publish.Counts[i], "%v", bound)
			}
			require.EqualValues(t, 1, got.EndToEnd.Count)
		}
		check()
		for _, id := range tenants {
			m.Forget(id)
			m.Forget(id)
			check()
		}
	}
}

// Nothing is missed or added up twice while tenants go.
func TestTotalsWhileTenantsGo(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Options{TenantLabels: true, MaxTenants: 1000})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				id := uuid.New()
				m.AddMessages(id, "stored", 1)
				m.Forget(id)
			}
		})
	}
	last := 0.0
	for range 200 {
		now := m.Totals().Stored
		require.GreaterOrEqual(t, now, last)
		last = now
	}
	wg.Wait()
	require.InDelta(t, 400, m.Totals().Stored, 0)
}
