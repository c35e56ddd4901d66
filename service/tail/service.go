package tail

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	defaultMemory   = 256 << 20
	defaultInterval = time.Second
)

// Options configure a Service.
type Options struct {
	Histories domain.TailRepository
	Log       *slog.Logger
	// Memory is how many bytes all windows may hold together; 256 MiB by default.
	Memory int64
	// Interval is how often windows are compared with the ends of their histories;
	// a second by default.
	Interval time.Duration
}

// Service keeps the windows of all tenants that have readers. Its methods are
// safe for concurrent use.
type Service struct {
	windows  *windows
	entrance *entrance
	ends     *ends
	// misses is how often readers had to read the database.
	misses atomic.Uint64
}

var _ domain.Tails = (*Service)(nil)

// NewService returns a Service whose windows know nothing until Run runs.
func NewService(o Options) *Service {
	w := newWindows(cmp.Or(o.Memory, defaultMemory))
	return &Service{windows: w, entrance: newEntrance(w), ends: newEnds(w, o.Histories, cmp.Or(o.Interval, defaultInterval), o.Log)}
}

// Run lets rows enter and compares the windows with the database, until ctx ends.
// Call it once.
func (s *Service) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { s.entrance.run(ctx) })
	running.Go(func() { s.ends.run(ctx) })
	running.Wait()
}

// Bytes returns how many bytes all windows hold.
func (s *Service) Bytes() int64 { return s.windows.held.Load() }

// Misses returns how often a reader was told to read the database.
func (s *Service) Misses() uint64 { return s.misses.Load() }

// Open implements domain.Tails.
func (s *Service) Open(tenantID uuid.UUID) domain.Tail {
	w, fresh := s.windows.open(tenantID)
	if fresh {
		s.ends.doubt(w)
	}
	return &reader{service: s, window: w}
}

// Committed takes what a transaction has stored, and keeps those payloads whose
// tenants have readers; the slices it does not keep. It never blocks, and costs
// next to nothing for tenants without readers.
func (s *Service) Committed(messages []domain.Message, appended []domain.AppendResult) {
	rows, doubted := s.windows.sort(messages, appended)
	if len(rows) > 0 && !s.entrance.add(rows) {
		for i := range rows {
			doubted = appendOther(doubted, rows[i].TenantID)
		}
	}
	if len(doubted) > 0 {
		s.Doubt(doubted)
	}
}

// Doubt says that these tenants, or all when there are none, may have messages
// that were not handed to Committed. It never blocks, and does not keep the slice.
func (s *Service) Doubt(tenants []uuid.UUID) {
	if len(tenants) == 0 {
		s.ends.doubt(s.windows.all()...)
		return
	}
	s.ends.doubt(s.windows.those(tenants)...)
}

// reader implements domain.Tail.
type reader struct {
	service *Service
	window  *window
	closing sync.Once
}

// After implements domain.Tail.
func (r *reader) After(cursor int64, limit, maxBytes int) domain.TailView {
	v, doubt := r.window.after(cursor, limit, maxBytes)
	if doubt {
		r.service.ends.doubt(r.window)
	}
	if v.Behind {
		r.service.misses.Add(1)
	}
	return v
}

// Close implements domain.Tail.
func (r *reader) Close() { r.closing.Do(func() { r.service.windows.close(r.window) }) }
