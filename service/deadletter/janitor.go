package deadletter

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// janitorEvery is how often old letters are looked for, and janitorChunk
	// how many are deleted in one statement.
	janitorEvery = time.Minute
	janitorChunk = 500
	// countEvery is how often the letters are counted, for the metrics.
	countEvery   = 15 * time.Second
	countTimeout = 5 * time.Second
)

// RunJanitor deletes old letters, in chunks, and counts the others, until ctx
// ends. Any number of replicas may run one.
func (s *Service) RunJanitor(ctx context.Context) {
	sweep, count := time.NewTicker(janitorEvery), time.NewTicker(countEvery)
	defer sweep.Stop()
	defer count.Stop()
	s.count(ctx)
	for {
		select {
		case <-sweep.C:
			s.deleteOld(ctx)
		case <-count.C:
			s.count(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// Waiting returns how many letters of the tenant were not replayed, as last
// counted; false while that is not known.
func (s *Service) Waiting(tenantID uuid.UUID) (int64, bool) {
	counted := s.waiting.Load()
	if counted == nil {
		return 0, false
	}
	return (*counted)[tenantID], true
}

// deleteOld is one round. Tenants whose letters cannot be deleted wait for the
// next one, and nobody waits for them.
func (s *Service) deleteOld(ctx context.Context) {
	var blocked []uuid.UUID
	for ctx.Err() == nil {
		n, more, err := s.o.Letters.DeleteOldDeadLetters(ctx, s.o.KeepReplayed, s.o.KeepOthers, janitorChunk, blocked)
		if err != nil {
			s.o.Log.DebugContext(ctx, "old dead letters not deleted, trying again later", slog.Any("error", err))
			return
		}
		for _, tenantID := range more {
			s.o.Log.WarnContext(domain.WithTenantID(ctx, tenantID), "old dead letters of a tenant not deleted, trying again later")
		}
		blocked = append(blocked, more...)
		if n < janitorChunk && len(more) == 0 {
			return
		}
	}
}

func (s *Service) count(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	waiting, err := s.o.Letters.WaitingDeadLetters(ctx)
	if err != nil {
		s.o.Log.DebugContext(ctx, "dead letters not counted, trying again later", slog.Any("error", err))
		s.waiting.Store(nil)
		return
	}
	s.waiting.Store(&waiting)
}
