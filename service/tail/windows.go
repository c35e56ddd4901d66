package tail

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// windowShare is which part of the memory one window may have at most.
const windowShare = 8

// windows are those of all tenants with readers. They are safe for concurrent use,
// but for enter.
type windows struct {
	memory int64        // how many bytes they may hold together
	held   atomic.Int64 // how many they do

	mu       sync.RWMutex // guards the map, and how many readers its windows have
	byTenant map[uuid.UUID]*window
}

func newWindows(memory int64) *windows {
	return &windows{memory: memory, byTenant: make(map[uuid.UUID]*window)}
}

// open gives one more reader a part in a tenant's window, which may be a fresh one.
func (s *windows) open(tenantID uuid.UUID) (w *window, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w = s.byTenant[tenantID]
	if w == nil {
		w, fresh = newWindow(tenantID), true
		s.byTenant[tenantID] = w
	}
	w.readers++
	return w, fresh
}

// close gives a reader's part in a window back.
func (s *windows) close(w *window) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.readers--; w.readers == 0 {
		delete(s.byTenant, w.tenant)
		s.held.Add(-w.close())
	}
}

// find returns the window of a tenant, or nil.
func (s *windows) find(tenantID uuid.UUID) *window {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byTenant[tenantID]
}

// those returns the windows of these tenants, as far as there are any.
func (s *windows) those(tenants []uuid.UUID) []*window {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var found []*window
	for _, id := range tenants {
		if w := s.byTenant[id]; w != nil {
			found = append(found, w)
		}
	}
	return found
}

// all returns all windows.
func (s *windows) all() []*window {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*window, 0, len(s.byTenant))
	for _, w := range s.byTenant {
		all = append(all, w)
	}
	return all
}

// sort returns those rows of a commit whose tenants have windows, and those of
// these tenants of which it is not known any more where their history ends.
func (s *windows) sort(messages []domain.Message, appended []domain.AppendResult) (rows []domain.Message, doubted []uuid.UUID) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.byTenant) == 0 {
		return nil, nil
	}
	for i := range messages {
		m, r := &messages[i], &appended[i]
		if s.byTenant[m.TenantID] == nil {
			continue
		}
		switch {
		case r.Outcome == domain.AppendStored && r.Seq > 0:
			rows = append(rows, *m)
			rows[len(rows)-1].Seq, rows[len(rows)-1].CreatedAt = r.Seq, r.CreatedAt
		case r.Outcome == domain.AppendStored || r.Outcome == domain.AppendDuplicate:
			// The commit that stored it may not have been reported.
			doubted = appendOther(doubted, m.TenantID)
		}
	}
	return rows, doubted
}

// appendOther appends an id unless it is the last one.
func appendOther(ids []uuid.UUID, id uuid.UUID) []uuid.UUID {
	if n := len(ids); n > 0 && ids[n-1] == id {
		return ids
	}
	return append(ids, id)
}

// enter lets rows, which are as the history gives them, enter a window. Only one
// goroutine may do that.
func (s *windows) enter(w *window, rows []domain.Message) {
	room := s.makeRoom(w, sizeOfAll(rows))
	s.held.Add(w.enter(rows, room, time.Now()))
	s.held.Add(-w.trim(windowRows, s.memory/windowShare))
}

// makeRoom makes sure that a window may grow by size, and reports whether it may.
// When all windows are too large together, those above an equal share are cut to
// a little below.
func (s *windows) makeRoom(w *window, size int64) bool {
	if s.held.Load()+size <= s.memory {
		return true
	}
	all := s.all()
	share := s.memory / int64(max(1, len(all)))
	for _, other := range all {
		more := int64(0)
		if other == w {
			more = size
		}
		if other.size()+more > share {
			s.held.Add(-other.trim(windowRows, max(0, share-share/8-more)))
		}
	}
	return s.held.Load()+size <= s.memory
}

// forget drops what entered before a time.
func (s *windows) forget(before time.Time) {
	for _, w := range s.all() {
		s.held.Add(-w.trimOld(before))
	}
}

// settle takes where histories end, as it was read after the marks were made.
func (s *windows) settle(marks []mark, ends map[uuid.UUID]int64) {
	for _, m := range marks {
		last, found := ends[m.window.tenant]
		s.held.Add(-m.settle(last, found))
	}
}
