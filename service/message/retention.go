package message

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// retentionEvery is how often old messages are looked for, and
	// retentionChunk how many of a tenant are deleted before it is the next
	// one's turn.
	retentionEvery = time.Minute
	retentionChunk = 1000
	// retentionTimeout is how long a turn may take. That of a tenant in trouble
	// takes all of it.
	retentionTimeout = 5 * time.Second
)

// RunRetention deletes the messages that tenants do not keep any longer, until
// ctx ends. Any number of replicas may run it; one of them works at a time.
func (s *Service) RunRetention(ctx context.Context) {
	tick := time.NewTicker(retentionEvery)
	defer tick.Stop()
	var troubled map[uuid.UUID]bool // in the round before
	round := func(ctx context.Context) error {
		var err error
		troubled, err = s.expire(ctx, troubled)
		return err
	}
	for {
		select {
		case <-tick.C:
			if _, err := s.o.Retention.Alone(ctx, "retention", round); err != nil && ctx.Err() == nil {
				s.o.Log.DebugContext(ctx, "old messages not deleted, trying again later", slog.Any("error", err))
			}
		case <-ctx.Done():
			return
		}
	}
}

// expire is one round: tenants take turns until none has anything left to
// delete. One that fails waits for the next round, in which it comes last, and
// the round goes on behind it as long as the database answers. It returns which
// tenants failed.
func (s *Service) expire(ctx context.Context, troubled map[uuid.UUID]bool) (map[uuid.UUID]bool, error) {
	waiting, err := s.o.Retention.ListRetentions(ctx)
	if err != nil {
		return troubled, fmt.Errorf("list retentions: %w", err)
	}
	slices.SortStableFunc(waiting, func(a, b domain.Retention) int {
		switch {
		case troubled[a.TenantID] == troubled[b.TenantID]:
			return 0
		case troubled[a.TenantID]:
			return 1
		}
		return -1
	})
	failed := make(map[uuid.UUID]bool)
	for len(waiting) > 0 {
		var again []domain.Retention
		for _, r := range waiting {
			more, err := s.expireSome(domain.WithTenantID(ctx, r.TenantID), r)
			switch {
			case err == nil && more:
				again = append(again, r)
			case err != nil:
				failed[r.TenantID] = true
				// Whether it is this tenant alone.
				if _, err := s.o.Retention.ListRetentions(ctx); err != nil {
					return failed, fmt.Errorf("list retentions after a failure: %w", err)
				}
			}
		}
		waiting = again
	}
	return failed, nil
}

// expireSome is a tenant's turn; it reports whether the tenant wants another.
func (s *Service) expireSome(ctx context.Context, r domain.Retention) (more bool, err error) {
	limited, cancel := context.WithTimeout(ctx, retentionTimeout)
	defer cancel()
	deleted, more, err := s.o.Retention.ExpireMessages(limited, r, retentionChunk)
	switch {
	case err != nil && ctx.Err() == nil:
		s.o.Log.WarnContext(ctx, "old messages of a tenant not deleted, trying again later", slog.Any("error", err))
	case deleted > 0:
		s.o.Log.DebugContext(ctx, "old messages deleted", slog.Int("messages", deleted))
	}
	return more, err //nolint:wrapcheck // only that there is one counts
}
