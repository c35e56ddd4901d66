package message

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"lanekeeper/domain"
)

const (
	// retentionEvery is how often old messages are looked for, and
	// retentionChunk how many of a tenant are deleted before it is the next
	// one's turn.
	retentionEvery = time.Minute
	retentionChunk = 1000
	// retentionFailures is how many failures in a row end a round: the database
	// is away then, and not one tenant in trouble.
	retentionFailures = 3
)

// RunRetention deletes the messages that tenants do not keep any longer, until
// ctx ends. Any number of replicas may run it; one of them works at a time.
func (s *Service) RunRetention(ctx context.Context) {
	tick := time.NewTicker(retentionEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if _, err := s.o.Retention.Alone(ctx, "retention", s.expire); err != nil && ctx.Err() == nil {
				s.o.Log.DebugContext(ctx, "old messages not deleted, trying again later", slog.Any("error", err))
			}
		case <-ctx.Done():
			return
		}
	}
}

// expire is one round: tenants take turns until none has anything left to
// delete. One that fails waits for the next round.
func (s *Service) expire(ctx context.Context) error {
	waiting, err := s.o.Retention.ListRetentions(ctx)
	if err != nil {
		return fmt.Errorf("list retentions: %w", err)
	}
	failures := 0
	for len(waiting) > 0 {
		var again []domain.Retention
		for _, r := range waiting {
			tenantCtx := domain.WithTenantID(ctx, r.TenantID)
			deleted, more, err := s.o.Retention.ExpireMessages(tenantCtx, r, retentionChunk)
			if err != nil {
				if failures++; failures >= retentionFailures || ctx.Err() != nil {
					return fmt.Errorf("expire messages: %w", err)
				}
				s.o.Log.WarnContext(tenantCtx, "old messages of a tenant not deleted, trying again later", slog.Any("error", err))
				continue
			}
			failures = 0
			if deleted > 0 {
				s.o.Log.DebugContext(tenantCtx, "old messages deleted", slog.Int("messages", deleted))
			}
			if more {
				again = append(again, r)
			}
		}
		waiting = again
	}
	return nil
}
