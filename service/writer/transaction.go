package writer

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// appendTimeout is the backstop of one transaction; the server's own statement
// timeout comes first.
const appendTimeout = 15 * time.Second

// transactions runs transactions and reports their commits. It is safe for
// concurrent use, as far as the room it is given is.
type transactions struct {
	repository domain.MessageRepository
	observe    func(rows int, elapsed time.Duration)
	committed  func(tenants []uuid.UUID)
}

// run stores a batch in one transaction, and reports its commit. It uses room
// for the tenants' ids.
func (t *transactions) run(ctx context.Context, batch []row, room []uuid.UUID) ([]domain.AppendResult, error) {
	messages := make([]domain.Message, len(batch))
	for i, r := range batch {
		messages[i] = *r.message()
	}
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	start := time.Now()
	appended, err := t.repository.AppendMessages(ctx, messages)
	if err != nil {
		return appended, err
	}
	if t.observe != nil {
		t.observe(len(batch), time.Since(start))
	}
	if t.committed != nil {
		if tenants := touchedTenants(messages, appended, room); len(tenants) > 0 {
			t.committed(tenants)
		}
	}
	return appended, nil
}

// touchedTenants returns the tenants of which messages are stored, in room if
// it is large enough. Duplicates count: the commit that stored them may not have
// been reported. A batch takes turns between tenants, so messages of one are next
// to each other but for a few times.
func touchedTenants(messages []domain.Message, appended []domain.AppendResult, room []uuid.UUID) []uuid.UUID {
	tenants := room[:0]
	for i := range messages {
		if appended[i].Outcome != domain.AppendStored && appended[i].Outcome != domain.AppendDuplicate {
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
