package overview

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/model"
)

// BenchmarkPoll is what one look of three screens at 3,000 tenants costs this process
// besides reading them: a fresh snapshot, and for each of three callers the overview and
// the first 1,000 tenants, as JSON.
func BenchmarkPoll(b *testing.B) {
	sight := domain.FleetSight{At: time.Now()}
	for i := range 3000 {
		sight.Tenants = append(sight.Tenants, domain.TenantSight{
			Tenant:   domain.Tenant{ID: uuid.Must(uuid.NewV7()), Name: fmt.Sprint("Tenant ", i), Status: domain.TenantActive, Workers: 3, UpdatedAt: sight.At.Add(-time.Hour)},
			Consumer: domain.ConsumerRunning, Replica: "a", Backlog: int64(i % 7), OldestAt: sight.At.Add(-time.Duration(i%90) * time.Second), LastSeq: 1000, LastStoredAt: sight.At,
			Endpoints: domain.EndpointCounts{Total: 2, Active: 2, Lag: 3},
		})
	}
	o := &Options{Log: slog.New(slog.DiscardHandler)}
	callers := []domain.Principal{admin(), admin(), admin()}
	for b.Loop() {
		s := &snapshot{sight: sight, pace: unknownRate, taken: time.Now()}
		s.complete()
		for _, p := range callers {
			v := s.view(p, o)
			answer, err := json.Marshal(model.FromOverview(&v.overview))
			require.NoError(b, err)
			tenants, err := page(sight.At, v.tenants, &domain.OverviewQuery{Sort: domain.SortState, Limit: 1000})
			require.NoError(b, err)
			rows, err := json.Marshal(model.FromTenantOverviews(&tenants))
			require.NoError(b, err)
			b.ReportMetric(float64(len(answer)+len(rows)), "bytes/answer")
		}
	}
}
