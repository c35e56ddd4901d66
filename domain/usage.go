package domain

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// UsageDay is what was stored for a tenant on one day (UTC).
type UsageDay struct {
	TenantID uuid.UUID
	// Day is its beginning.
	Day      time.Time
	Messages int64
	// Bytes are those of the payloads as text, with a space after each comma and
	// colon.
	Bytes int64
}

// UsageQuery asks for days in the order of day and tenant.
type UsageQuery struct {
	// From and To are the first and the last day.
	From, To time.Time
	// TenantID restricts the answer to one tenant; zero for all.
	TenantID uuid.UUID
	// VisibleTo restricts it to tenants that this caller may access, those that are
	// deleted included; nil for everything.
	VisibleTo *Principal
	// AfterDay and AfterTenant are the last of the page before; zero begins at the
	// start.
	AfterDay    time.Time
	AfterTenant uuid.UUID
	Limit       int
}

// UsageRepository counts what is stored. Methods are safe for concurrent use. Errors
// are ErrUnavailable while the database is away.
type UsageRepository interface {
	// ListUncounted returns at most limit tenants, with an id greater than after,
	// which have messages that are not counted, and are visible to a caller; nil for
	// everybody.
	ListUncounted(ctx context.Context, visibleTo *Principal, after uuid.UUID, limit int) ([]uuid.UUID, error)
	// CountUsage counts at most limit of a tenant's messages that are not counted,
	// and reports whether there may be more. What another call counts at the same
	// time it leaves alone.
	CountUsage(ctx context.Context, tenantID uuid.UUID, limit int) (more bool, err error)
	// ListUsage returns what was counted.
	ListUsage(ctx context.Context, q UsageQuery) ([]UsageDay, error)
	// DeleteUsage deletes at most limit days before one.
	DeleteUsage(ctx context.Context, before time.Time, limit int) (int, error)
	// OwnerUse returns what an owner has.
	OwnerUse(ctx context.Context, ownerID uuid.UUID) (OwnerUse, error)
}
