package fleet

import (
	"context"
	"fmt"
	"maps"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// Reported returns what other replicas reported of the consumers of these
// tenants, a few seconds ago, and nothing of this process. A tenant whose
// consumer no live replica has reported is left out. When the reports cannot be
// read it returns an ErrUnavailable.
func (f *Fleet) Reported(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]domain.ConsumerStatus, error) {
	reports, err := f.o.Reports.ConsumerReports(ctx, ids, deadAfter)
	if err != nil {
		return nil, fmt.Errorf("read what other replicas reported: %w", err)
	}
	maps.DeleteFunc(reports, func(_ uuid.UUID, status domain.ConsumerStatus) bool {
		return status.Replica == f.o.Replica.Name
	})
	return reports, nil
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
