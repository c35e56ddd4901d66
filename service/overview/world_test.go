package overview

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what a Service looks at. Tests change it, and Service reads it, under mu.
type world struct {
	t  *testing.T
	mu sync.Mutex

	sight  domain.FleetSight
	seqs   map[uuid.UUID]int64
	depths map[uuid.UUID]int64
	totals Totals
	down   error
	// slow is how long reading takes, and reads how often it was done.
	slow  time.Duration
	reads int
	asked []uuid.UUID
	ready int

	options Options
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, seqs: make(map[uuid.UUID]int64), depths: make(map[uuid.UUID]int64)}
	w.options = Options{
		Repository: w, Totals: func() Totals { w.mu.Lock(); defer w.mu.Unlock(); return w.totals },
		Lookup: w.lookup, Depth: w.depth, Now: time.Now, Log: slog.New(slog.DiscardHandler), Version: "1.2.3",
		Ready: func(context.Context) (string, bool, map[string]string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.ready++
			return "ready", true, map[string]string{"database": "ready"}
		},
	}
	return w
}

func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// add adds a tenant that flows, changed as the test likes.
func (w *world) add(change func(*domain.TenantSight)) uuid.UUID {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := uuid.Must(uuid.NewV7())
	s := domain.TenantSight{
		Tenant:   domain.Tenant{ID: id, Name: "Acme", Status: domain.TenantActive, Workers: 3, UpdatedAt: time.Now().Add(-time.Hour)},
		Consumer: domain.ConsumerRunning, Replica: "a", LastStoredAt: time.Now(),
	}
	change(&s)
	w.sight.Tenants = append(w.sight.Tenants, s)
	return id
}

func (w *world) ReadFleet(ctx context.Context, _ domain.SightQuery) (domain.FleetSight, error) {
	w.mu.Lock()
	w.reads++
	slow, down, sight := w.slow, w.down, w.sight
	sight.Tenants = append([]domain.TenantSight(nil), w.sight.Tenants...)
	w.mu.Unlock()
	sight.At = time.Now().UTC()
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-ctx.Done():
			return domain.FleetSight{}, away()
		}
	}
	return sight, down
}

func (w *world) CountStored(context.Context) (domain.StoredCounts, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	counts := domain.StoredCounts{At: time.Now().UTC(), LastSeq: make(map[uuid.UUID]int64)}
	for i := range w.sight.Tenants {
		counts.LastSeq[w.sight.Tenants[i].ID] = w.sight.Tenants[i].LastSeq
	}
	return counts, w.down
}

func (w *world) lookup(_ context.Context, id uuid.UUID) (domain.Tenant, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.sight.Tenants {
		if w.sight.Tenants[i].ID == id {
			return w.sight.Tenants[i].Tenant, nil
		}
	}
	return domain.Tenant{}, domain.TenantNotFound()
}

func (w *world) depth(_ context.Context, id uuid.UUID) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, id)
	n, known := w.depths[id]
	if !known {
		return 0, domain.New(domain.ErrUnavailable, "broker_unavailable", "away")
	}
	return n, nil
}

func away() error {
	return domain.New(domain.ErrUnavailable, "database_unavailable", "The database is away.")
}

func admin() domain.Principal { return domain.Principal{UserID: uuid.New(), Role: domain.RoleAdmin} }

func overviewOf(t *testing.T, s *Service, p domain.Principal) domain.Overview {
	t.Helper()
	o, err := s.Overview(t.Context(), p)
	require.NoError(t, err)
	return o
}

// pass lets time pass in a bubble of synctest.
func pass(d time.Duration) { <-time.After(d) }
