package fleet

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// Statuses returns what is known of the consumers of these tenants: those of
// this process as they are now, others as their replicas reported them, a few
// seconds ago. A tenant without a consumer is left out. When the reports
// cannot be read it returns an ErrUnavailable, and nevertheless those of this
// process.
func (f *Fleet) Statuses(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]domain.ConsumerStatus, error) {
	statuses := make(map[uuid.UUID]domain.ConsumerStatus, len(ids))
	elsewhere := make(map[uuid.UUID]struct{}, len(ids))
	for _, id := range ids {
		elsewhere[id] = struct{}{}
	}
	running := f.o.Consumers()
	for i := range running {
		id := running[i].TenantID
		if _, wanted := elsewhere[id]; wanted {
			delete(elsewhere, id)
			statuses[id] = running[i]
		}
	}
	if len(elsewhere) == 0 {
		return statuses, nil
	}
	others := make([]uuid.UUID, 0, len(elsewhere))
	for id := range elsewhere {
		others = append(others, id)
	}
	reports, err := f.o.Reports.ConsumerReports(ctx, others, deadAfter)
	if err != nil {
		return statuses, fmt.Errorf("read what other replicas reported: %w", err)
	}
	for id, status := range reports {
		if status.Replica != f.o.Replica.Name { // or it has ended here since
			statuses[id] = status
		}
	}
	return statuses, nil
}

// Depth returns how many messages wait in a tenant's queue, as its replica
// reported a few seconds ago; false when that is not known, as always without
// TrackDepths.
func (f *Fleet) Depth(tenantID uuid.UUID) (int64, bool) {
	depths := f.depths.Load()
	if depths == nil {
		return 0, false
	}
	depth, known := (*depths)[tenantID]
	return depth, known
}
