package metrics

import (
	"sync"

	"github.com/google/uuid"
)

const (
	// otherTenant labels what belongs to tenants beyond the limit.
	otherTenant = "_other"
	// maxForgotten is how many tenants that are gone are remembered, so that
	// late messages do not bring their series back.
	maxForgotten = 4096
)

// tenants decides which label a tenant has: its id for the first that are
// seen, otherTenant for those beyond the limit and those that are gone.
type tenants struct {
	enabled bool
	limit   int

	mu        sync.RWMutex
	labels    map[uuid.UUID]string   // guarded by mu
	forgotten map[uuid.UUID]struct{} // guarded by mu
	order     []uuid.UUID            // guarded by mu: forgotten, as a ring
	next      int                    // guarded by mu: the oldest in order, once it is full
}

func newTenants(enabled bool, limit int) *tenants {
	return &tenants{
		enabled: enabled, limit: limit,
		labels: make(map[uuid.UUID]string), forgotten: make(map[uuid.UUID]struct{}),
	}
}

func (t *tenants) label(id uuid.UUID) string {
	if !t.enabled {
		return ""
	}
	t.mu.RLock()
	label, known := t.labels[id]
	_, gone := t.forgotten[id]
	full := len(t.labels) >= t.limit
	t.mu.RUnlock()
	switch {
	case known:
		return label
	case gone || full:
		return otherTenant
	}
	return t.admit(id)
}

func (t *tenants) admit(id uuid.UUID) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if label, known := t.labels[id]; known {
		return label
	}
	if _, gone := t.forgotten[id]; gone || len(t.labels) >= t.limit {
		return otherTenant
	}
	label := id.String()
	t.labels[id] = label
	return label
}

// forget returns the label the tenant had, and whether it had one of its own.
func (t *tenants) forget(id uuid.UUID) (label string, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, again := t.forgotten[id]; again {
		return "", false
	}
	t.forgotten[id] = struct{}{}
	if len(t.order) < maxForgotten {
		t.order = append(t.order, id)
	} else {
		delete(t.forgotten, t.order[t.next])
		t.order[t.next] = id
		t.next = (t.next + 1) % maxForgotten
	}
	label, known = t.labels[id]
	delete(t.labels, id)
	return label, known
}
