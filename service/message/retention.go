package message

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/janitor"
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

// RetentionOptions are what a Retention needs.
type RetentionOptions struct {
	Store domain.RetentionRepository
	Log   *slog.Logger
	// Lost is told how many messages of a tenant its endpoints had not got before
	// they were too old: an upper bound. It may be nil.
	Lost func(tenantID uuid.UUID, messages int64)
}

// Retention deletes the messages that tenants do not keep any longer.
type Retention struct {
	store domain.RetentionRepository
	log   *slog.Logger
	lost  func(uuid.UUID, int64)
	// troubled are the tenants that failed in the round before. It belongs to the
	// goroutine of Run.
	troubled map[uuid.UUID]bool
}

// NewRetention returns a Retention; Run works.
func NewRetention(o RetentionOptions) *Retention {
	r := &Retention{store: o.Store, log: o.Log, lost: o.Lost}
	if r.lost == nil {
		r.lost = func(uuid.UUID, int64) {}
	}
	return r
}

// Run works in rounds until ctx ends. Any number of replicas may run it; one of
// them works at a time.
func (r *Retention) Run(ctx context.Context) {
	janitor.Run(ctx, retentionEvery, func(ctx context.Context) {
		if _, err := r.store.Alone(ctx, "retention", r.expire); err != nil && ctx.Err() == nil {
			r.log.DebugContext(ctx, "old messages not deleted, trying again later", slog.Any("error", err))
		}
	})
}

// expire is one round: tenants take turns until none has anything left to
// delete. One that fails waits for the next round, in which it comes last, and
// the round goes on behind it as long as the database answers.
func (r *Retention) expire(ctx context.Context) error {
	waiting, err := r.store.ListRetentions(ctx)
	if err != nil {
		return fmt.Errorf("list retentions: %w", err)
	}
	slices.SortStableFunc(waiting, func(a, b domain.Retention) int {
		switch {
		case r.troubled[a.TenantID] == r.troubled[b.TenantID]:
			return 0
		case r.troubled[a.TenantID]:
			return 1
		}
		return -1
	})
	r.troubled = make(map[uuid.UUID]bool)
	for len(waiting) > 0 {
		var again []domain.Retention
		for _, retention := range waiting {
			more, err := r.expireSome(domain.WithTenantID(ctx, retention.TenantID), retention)
			switch {
			case err == nil && more:
				again = append(again, retention)
			case err != nil:
				r.troubled[retention.TenantID] = true
				// Whether it is this tenant alone.
				if _, err := r.store.ListRetentions(ctx); err != nil {
					return fmt.Errorf("list retentions after a failure: %w", err)
				}
			}
		}
		waiting = again
	}
	return nil
}

// expireSome is a tenant's turn; it reports whether the tenant wants another.
func (r *Retention) expireSome(ctx context.Context, retention domain.Retention) (more bool, err error) {
	limited, cancel := context.WithTimeout(ctx, retentionTimeout)
	defer cancel()
	expiry, err := r.store.ExpireMessages(limited, retention, retentionChunk)
	for endpointID, n := range expiry.Lost {
		r.lost(retention.TenantID, n)
		r.log.WarnContext(ctx, "messages are too old to be delivered to an endpoint that has not got them",
			slog.String("endpoint_id", endpointID.String()), slog.Int64("messages_at_most", n))
	}
	switch {
	case err != nil && ctx.Err() == nil:
		r.log.WarnContext(ctx, "old messages of a tenant not deleted, trying again later", slog.Any("error", err))
	case expiry.Deleted > 0:
		r.log.DebugContext(ctx, "old messages deleted", slog.Int("messages", expiry.Deleted))
	}
	return expiry.More, err //nolint:wrapcheck // only that there is one counts
}
