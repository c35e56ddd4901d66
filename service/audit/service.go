package audit

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/janitor"
)

const (
	// MaxPageSize is how many lines a caller may ask for at a time.
	MaxPageSize = 1000

	janitorEvery = 10 * time.Minute
	janitorChunk = 5000
	// recordTimeout is for a line that is written by itself.
	recordTimeout = time.Second
)

// Options configure NewService.
type Options struct {
	Log    domain.AuditRepository
	Logger *slog.Logger
	// Keep is for how long lines are kept; 0 for ever.
	Keep time.Duration
}

// Service is the audit log. It is safe for concurrent use.
type Service struct{ o Options }

// NewService returns a Service; Run deletes old lines.
func NewService(o Options) *Service { return &Service{o} }

// List returns a page of the log, newest first, and whether there is more. Admins see
// all of it; others what was done to tenants that they own, and what they did
// themselves. Errors are ErrInvalid for a limit out of range, and ErrUnavailable.
func (s *Service) List(ctx context.Context, p domain.Principal, q domain.AuditQuery) (entries []domain.AuditEntry, more bool, err error) {
	if q.Limit < 1 || q.Limit > MaxPageSize {
		return nil, false, domain.WithFields(domain.FieldError{Pointer: "limit", Message: fmt.Sprintf("must be between 1 and %d", MaxPageSize)})
	}
	q.VisibleTo = uuid.Nil
	if p.Role != domain.RoleAdmin {
		if p.UserID == uuid.Nil { // nobody's
			return nil, false, nil
		}
		q.VisibleTo = p.UserID
	}
	limit := q.Limit
	q.Limit++
	if entries, err = s.o.Log.ListAudit(ctx, q); err != nil {
		return nil, false, fmt.Errorf("list the audit log: %w", err)
	}
	if len(entries) > limit {
		return entries[:limit], true, nil
	}
	return entries, false, nil
}

// Record writes a line for what is in no transaction of its own. It does so even when
// the caller has gone; one that cannot be written is in the log of the service.
func (s *Service) Record(ctx context.Context, e domain.AuditEntry) {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := s.o.Log.RecordAudit(limited, e); err != nil {
		s.o.Logger.WarnContext(ctx, "line of the audit log not written", slog.String("action", string(e.Action)), slog.Any("error", err))
	}
}

// Run deletes old lines until ctx ends. Any number of replicas may run it.
func (s *Service) Run(ctx context.Context) {
	if s.o.Keep == 0 {
		return
	}
	janitor.Run(ctx, janitorEvery, func(ctx context.Context) {
		err := janitor.Sweep(ctx, janitorChunk, func(ctx context.Context, limit int) (int, error) {
			return s.o.Log.DeleteAudit(ctx, s.o.Keep, limit)
		})
		if err != nil && ctx.Err() == nil {
			s.o.Logger.DebugContext(ctx, "old lines of the audit log not deleted, trying again later", slog.Any("error", err))
		}
	})
}
