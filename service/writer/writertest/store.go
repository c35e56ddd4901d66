package writertest

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// Store is a message store in memory with the outcomes of the real one. It is
// safe for concurrent use.
type Store struct {
	domain.MessageRepository

	mu      sync.Mutex
	fault   func(batch []domain.Message) error
	history map[uuid.UUID][]domain.Message
	batches [][]domain.Message
}

// NewStore returns a store without messages.
func NewStore() *Store {
	return &Store{history: make(map[uuid.UUID][]domain.Message)}
}

// SetFault has every append ask f first; an error means that nothing is stored.
func (s *Store) SetFault(f func(batch []domain.Message) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// AppendMessages implements domain.MessageRepository. It panics when an id is
// twice in one batch.
func (s *Store) AppendMessages(_ context.Context, batch []domain.Message) ([]domain.AppendResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		if err := s.fault(batch); err != nil {
			return nil, err
		}
	}
	s.batches = append(s.batches, batch)
	appended := make([]domain.AppendResult, len(batch))
	type key struct{ tenant, id uuid.UUID }
	keys := make(map[key]bool)
	for i, m := range batch {
		k := key{m.TenantID, m.ID}
		if keys[k] {
			panic("an id twice in one batch")
		}
		keys[k] = true
		appended[i].Outcome = domain.AppendStored
		for _, stored := range s.history[m.TenantID] {
			before, now := stored.Envelope(), m.Envelope()
			switch {
			case stored.ID != m.ID:
			case bytes.Equal(stored.Payload, m.Payload) && before.Equal(&now):
				appended[i].Outcome = domain.AppendDuplicate
			default:
				appended[i].Outcome = domain.AppendConflict
			}
		}
		if appended[i].Outcome == domain.AppendStored {
			m.Seq, m.CreatedAt = int64(len(s.history[m.TenantID])+1), time.Now().UTC()
			appended[i].Seq, appended[i].CreatedAt = m.Seq, m.CreatedAt
			s.history[m.TenantID] = append(s.history[m.TenantID], m)
		}
	}
	return appended, nil
}

// Stored returns the messages of a tenant, in the order in which they were
// stored.
func (s *Store) Stored(tenant uuid.UUID) []domain.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.history[tenant])
}

// Batches returns what was committed together.
func (s *Store) Batches() [][]domain.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

// Has reports whether a batch has the message or messages of the tenant with
// this id.
func Has(batch []domain.Message, id uuid.UUID) bool {
	return slices.ContainsFunc(batch, func(m domain.Message) bool { return m.ID == id || m.TenantID == id })
}
