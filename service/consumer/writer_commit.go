package consumer

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// attempt runs one transaction, and tells of its commit. It uses room for the
// tenants' ids.
func (w *Writer) attempt(ctx context.Context, batch []row, room []uuid.UUID) ([]domain.AppendOutcome, error) {
	messages := make([]domain.Message, len(batch))
	for i, r := range batch {
		messages[i] = *r.message()
	}
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	start := time.Now()
	outcomes, err := w.options.Repository.AppendMessages(ctx, messages)
	if err != nil {
		return outcomes, err
	}
	if w.options.ObserveBatch != nil {
		w.options.ObserveBatch(len(batch), time.Since(start))
	}
	if w.options.Committed != nil {
		if tenants := touchedTenants(messages, outcomes, room); len(tenants) > 0 {
			w.options.Committed(tenants)
		}
	}
	return outcomes, nil
}

// touchedTenants returns the tenants of which messages are stored, in room if
// it is large enough. Duplicates count: it may be that nobody was told of the
// commit that stored them. A batch takes turns between tenants, so messages of
// one are next to each other but for a few times.
func touchedTenants(messages []domain.Message, outcomes []domain.AppendOutcome, room []uuid.UUID) []uuid.UUID {
	tenants := room[:0]
	for i := range messages {
		if outcomes[i] != domain.AppendStored && outcomes[i] != domain.AppendDuplicate {
			continue
		}
		if id := messages[i].TenantID; len(tenants) == 0 || tenants[len(tenants)-1] != id {
			tenants = append(tenants, id)
		}
	}
	if len(tenants) > 1 {
		slices.SortFunc(tenants, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
		tenants = slices.Compact(tenants)
	}
	return tenants
}
