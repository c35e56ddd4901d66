package repository

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

// appendRows holds the columns of the messages that have no outcome yet, and
// how many each tenant has.
type appendRows struct {
	tenants []uuid.UUID
	counts  []int64
	alive   int // how many of the tenants have a stream

	tenantIDs []uuid.UUID
	ids       []uuid.UUID
	numbers   []int64 // the position within the tenant's part of the batch
	payloads  [][]byte
	// These are nil where no message has any.
	types        []string
	orderingKeys []string
	headers      [][]byte
	traces       []string
}

// newAppendRows returns an error for headers that cannot be encoded, of which
// there are none.
func newAppendRows(messages []domain.Message, appended []domain.AppendResult) (*appendRows, error) {
	n := 0
	for i := range appended {
		if appended[i].Outcome == 0 {
			n++
		}
	}
	r := &appendRows{
		tenantIDs: make([]uuid.UUID, 0, n), ids: make([]uuid.UUID, 0, n),
		numbers: make([]int64, 0, n), payloads: make([][]byte, 0, n),
	}
	positions := make(map[uuid.UUID]int)
	for i := range messages {
		if appended[i].Outcome != 0 {
			continue
		}
		m := &messages[i]
		at, seen := positions[m.TenantID]
		if !seen {
			at = len(r.tenants)
			positions[m.TenantID] = at
			r.tenants = append(r.tenants, m.TenantID)
			r.counts = append(r.counts, 0)
		}
		r.counts[at]++
		r.tenantIDs = append(r.tenantIDs, m.TenantID)
		r.ids = append(r.ids, m.ID)
		r.numbers = append(r.numbers, r.counts[at])
		r.payloads = append(r.payloads, m.Payload)
		if err := r.addEnvelope(m, n); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// addEnvelope adds what the last message, one of n, has besides its payload.
func (r *appendRows) addEnvelope(m *domain.Message, n int) error {
	at := len(r.ids) - 1
	if m.Type != "" && r.types == nil {
		r.types = make([]string, n)
	}
	if r.types != nil {
		r.types[at] = m.Type
	}
	if m.OrderingKey != "" && r.orderingKeys == nil {
		r.orderingKeys = make([]string, n)
	}
	if r.orderingKeys != nil {
		r.orderingKeys[at] = m.OrderingKey
	}
	if m.Trace != "" && r.traces == nil {
		r.traces = make([]string, n)
	}
	if r.traces != nil {
		r.traces[at] = string(m.Trace)
	}
	if len(m.Headers) == 0 {
		return nil
	}
	if r.headers == nil {
		r.headers = make([][]byte, n)
	}
	encoded, err := json.Marshal(m.Headers)
	if err != nil {
		return fmt.Errorf("encode headers: %w", err)
	}
	r.headers[at] = encoded
	return nil
}

func (r *appendRows) queueInsert(batch *pgx.Batch) {
	batch.Queue(insertMessagesSQL, postgres.UUIDs(r.tenants), r.counts, postgres.UUIDs(r.tenantIDs), postgres.UUIDs(r.ids),
		r.numbers, pgtype.FlatArray[[]byte](r.payloads), r.types, r.orderingKeys, pgtype.FlatArray[[]byte](r.headers), r.traces)
}
