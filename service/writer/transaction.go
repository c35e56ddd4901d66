package writer

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/tracing"
)

// appendTimeout is the backstop of one transaction; the server's own statement
// timeout comes first.
const appendTimeout = 15 * time.Second

// Commit is what one transaction did.
type Commit struct {
	// Messages are those of the batch, with a result for each.
	Messages []domain.Message
	Appended []domain.AppendResult
	// Tenants are those of which messages are stored, each once. Duplicates count:
	// the commit that stored them may not have been reported.
	Tenants []uuid.UUID
}

// transactions runs transactions and reports what became of them. It is safe for
// concurrent use, as far as the room it is given is.
type transactions struct {
	repository domain.MessageRepository
	observe    func(rows int, elapsed time.Duration)
	committed  func(Commit)
	uncertain  func(tenants []uuid.UUID)
	failed     func(reason string)
	traces     *tracing.Tracer
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
		if t.failed != nil && !errors.Is(err, context.Canceled) {
			t.failed(reasonOf(err))
		}
		if t.uncertain != nil {
			t.uncertain(tenantsOf(messages, room, func(int) bool { return true }))
		}
		return appended, err
	}
	if t.observe != nil {
		t.observe(len(batch), time.Since(start))
	}
	if t.traces != nil {
		recordCommit(ctx, t.traces, messages, appended, start, time.Now())
	}
	if t.committed != nil {
		tenants := tenantsOf(messages, room, func(i int) bool {
			return appended[i].Outcome == domain.AppendStored || appended[i].Outcome == domain.AppendDuplicate
		})
		if len(tenants) > 0 {
			t.committed(Commit{messages, appended, tenants})
		}
	}
	return appended, nil
}

// reasonOf returns a word for the kind of an error of the store.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, domain.ErrUnavailable):
		return "unavailable"
	case errors.Is(err, domain.ErrContended):
		return "contended"
	case errors.Is(err, domain.ErrPartitionMissing):
		return "partition_missing"
	}
	return "rejected"
}

// tenantsOf returns the tenants of those messages that count, each once, in room
// if it is large enough. A batch takes turns between tenants, so messages of one
// are next to each other but for a few times.
func tenantsOf(messages []domain.Message, room []uuid.UUID, counts func(i int) bool) []uuid.UUID {
	tenants := room[:0]
	for i := range messages {
		if !counts(i) {
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
