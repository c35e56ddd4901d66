package quota

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
	// countEvery is how often what was stored is counted, countChunk how many
	// messages in one statement, countTenants how many tenants are looked for at a
	// time, and countTimeout how long one statement may take.
	countEvery   = 30 * time.Second
	countChunk   = 10_000
	countTenants = 500
	countTimeout = 10 * time.Second
	// freshTime is how long a caller waits for its messages to be counted.
	freshTime = 2 * time.Second

	// keepUsage is for how long days are kept, and deleteChunk how many are deleted
	// at a time.
	keepUsage   = 3 * 366 * 24 * time.Hour
	deleteChunk = 5000

	// MaxUsageDays is how many days a caller may ask for at a time, and MaxUsagePage
	// how many rows.
	MaxUsageDays = 366
	MaxUsagePage = 1000
)

// UsageOptions configure NewUsage.
type UsageOptions struct {
	Usage   domain.UsageRepository
	Tenants domain.TenantFinder
	// Limits are those of owners for whom no others are set.
	Limits domain.Limits
	// Alone runs fn unless another replica does so with the same purpose.
	Alone func(ctx context.Context, purpose string, fn func(context.Context) error) (bool, error)
	// Now returns the database's time.
	Now func() time.Time
	Log *slog.Logger
}

// Usage counts what is stored for tenants. It is safe for concurrent use.
type Usage struct{ o UsageOptions }

// NewUsage returns a Usage; Run counts.
func NewUsage(o UsageOptions) *Usage { return &Usage{o} }

// Run counts in rounds until ctx ends. Any number of replicas may run it; one of them
// counts at a time.
func (u *Usage) Run(ctx context.Context) {
	janitor.Run(ctx, countEvery, func(ctx context.Context) {
		_, err := u.o.Alone(ctx, "usage", func(ctx context.Context) error {
			if err := u.count(ctx, nil); err != nil {
				return err
			}
			before := u.o.Now().Add(-keepUsage)
			return janitor.Sweep(ctx, deleteChunk, func(ctx context.Context, limit int) (int, error) {
				return u.o.Usage.DeleteUsage(ctx, before, limit)
			})
		})
		if err != nil && ctx.Err() == nil {
			u.o.Log.DebugContext(ctx, "usage not counted, trying again later", slog.Any("error", err))
		}
	})
}

// count counts what is stored for tenants that a caller may access; nil for all. A
// tenant that fails does not keep the others from being counted.
func (u *Usage) count(ctx context.Context, visibleTo *domain.Principal) error {
	var after uuid.UUID
	for {
		ids, err := u.o.Usage.ListUncounted(ctx, visibleTo, after, countTenants)
		if err != nil {
			return fmt.Errorf("list tenants to count: %w", err)
		}
		for _, id := range ids {
			if err := u.countTenant(ctx, id); err != nil {
				if ctx.Err() != nil {
					return err
				}
				u.o.Log.DebugContext(domain.WithTenantID(ctx, id), "usage of a tenant not counted, trying again later", slog.Any("error", err))
			}
		}
		if len(ids) < countTenants {
			return nil
		}
		after = ids[len(ids)-1]
	}
}

func (u *Usage) countTenant(ctx context.Context, id uuid.UUID) error {
	for {
		limited, cancel := context.WithTimeout(ctx, countTimeout)
		more, err := u.o.Usage.CountUsage(limited, id, countChunk)
		cancel()
		if err != nil || !more {
			return err //nolint:wrapcheck // the caller says what failed
		}
	}
}

// List returns a page of what was stored for tenants that the caller may access, and
// for those that it could access before they were deleted, and whether there is more.
// What is not counted yet is, as far as that does not take long; the rest is within a
// minute. Errors are ErrInvalid for the range, ErrNotFound for a tenant that is not
// the caller's, and ErrUnavailable.
func (u *Usage) List(ctx context.Context, p domain.Principal, q domain.UsageQuery) (days []domain.UsageDay, more bool, err error) {
	if q.To.Before(q.From) || q.To.Sub(q.From) >= MaxUsageDays*24*time.Hour {
		return nil, false, domain.WithFields(domain.FieldError{
			Pointer: "to", Message: fmt.Sprintf("must be the day of from or later, and less than %d days after it", MaxUsageDays),
		})
	}
	if q.Limit < 1 || q.Limit > MaxUsagePage {
		return nil, false, domain.WithFields(domain.FieldError{Pointer: "limit", Message: fmt.Sprintf("must be between 1 and %d", MaxUsagePage)})
	}
	if q.TenantID != uuid.Nil {
		t, err := u.o.Tenants.FindTenant(ctx, q.TenantID)
		if err != nil {
			return nil, false, fmt.Errorf("find tenant: %w", err)
		}
		if !p.MayAccess(&t) {
			return nil, false, domain.TenantNotFound()
		}
	}
	u.refresh(ctx, p, q.TenantID)
	limit := q.Limit
	q.Limit++
	q.VisibleTo = &p
	if days, err = u.o.Usage.ListUsage(ctx, q); err != nil {
		return nil, false, fmt.Errorf("list usage: %w", err)
	}
	if len(days) > limit {
		return days[:limit], true, nil
	}
	return days, false, nil
}

// refresh counts what the caller is about to see, as far as that does not take long.
func (u *Usage) refresh(ctx context.Context, p domain.Principal, tenantID uuid.UUID) {
	limited, cancel := context.WithTimeout(ctx, freshTime)
	defer cancel()
	var err error
	if tenantID != uuid.Nil {
		err = u.countTenant(limited, tenantID)
	} else if p.Role != domain.RoleAdmin { // there may be any number of tenants, which Run counts
		err = u.count(limited, &p)
	}
	if err != nil {
		u.o.Log.DebugContext(ctx, "usage is not counted to its end", slog.Any("error", err))
	}
}

// Has returns the limits of a caller, and what it has of them. The built-in admin of
// open mode has neither.
func (u *Usage) Has(ctx context.Context, p domain.Principal) (allowed domain.Limits, use domain.OwnerUse, err error) {
	if p.UserID == uuid.Nil {
		return allowed, domain.OwnerUse{Role: domain.RoleAdmin}, nil
	}
	if use, err = u.o.Usage.OwnerUse(ctx, p.UserID); err != nil {
		return allowed, use, fmt.Errorf("count what the caller has: %w", err)
	}
	return u.o.Limits.Of(use.Role, use.Limits), use, nil
}
