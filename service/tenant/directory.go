package tenant

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/cache"
)

const (
	// maxAge is how old an answer of the Directory may be.
	maxAge = 5 * time.Second
	// absentAge is how old the answer that there is no such tenant may be.
	absentAge = time.Second
	// loadTimeout is how long the database is waited for, and awayFor how long it
	// is left alone when it was found away.
	loadTimeout = time.Second
	awayFor     = time.Second

	maxCached = 20_000
	maxAbsent = 1_000
)

// finder is the part of domain.TenantRepository the Directory needs.
type finder interface {
	FindTenant(ctx context.Context, id uuid.UUID) (domain.Tenant, error)
	domain.TenantResolver
}

// Directory answers what is known of a tenant without asking the database
// each time. Its answers are at most 5 seconds old, and reflect at once what
// was changed through this process, or announced to it with Forget. That a tenant is
// being provisioned is never from memory: who saw that it is active may publish. While the
// database is away it goes on answering with the last known state. It is safe
// for concurrent use.
type Directory struct {
	entries *cache.Cache[uuid.UUID, domain.Tenant]
	// resolved has which tenants external ids were. It hears of no changes, because an
	// entry says something only as long as its tenant has the external id; that there
	// is none is not kept, so that one that was just made is found.
	resolved *cache.Cache[externalName, uuid.UUID]
}

// externalName is an external id as a caller says it. The caller has what decides which
// tenants it may access, and nothing else.
type externalName struct {
	externalID string
	caller     domain.Principal
}

func externalNameOf(p domain.Principal, externalID string) externalName {
	name := externalName{externalID, domain.Principal{UserID: p.UserID, TenantID: p.TenantID, KeyTenant: p.KeyTenant}}
	if p.Role == domain.RoleAdmin {
		name.caller.Role = domain.RoleAdmin
	}
	if p.UserID == uuid.Nil {
		name.caller.KeyID = p.KeyID
	}
	return name
}

// NewDirectory returns an empty Directory that loads from tenants.
func NewDirectory(tenants finder) *Directory {
	return &Directory{
		entries: cache.New(cache.Options[uuid.UUID, domain.Tenant]{
			Load: tenants.FindTenant, LoadTimeout: loadTimeout, FreshFor: maxAge, Size: maxCached, AwayFor: awayFor,
			Absent: func(err error) bool { return errors.Is(err, domain.ErrNotFound) }, AbsentFor: absentAge, AbsentSize: maxAbsent,
			Newer:   func(known, put domain.Tenant) bool { return known.UpdatedAt.After(put.UpdatedAt) },
			Passing: func(t domain.Tenant) bool { return t.Status == domain.TenantProvisioning },
		}),
		resolved: cache.New(cache.Options[externalName, uuid.UUID]{
			Load: func(ctx context.Context, n externalName) (uuid.UUID, error) {
				return tenants.ResolveTenant(ctx, n.caller, n.externalID)
			},
			LoadTimeout: loadTimeout, FreshFor: maxAge, Size: maxCached, AwayFor: awayFor,
			Absent: func(err error) bool { return errors.Is(err, domain.ErrNotFound) || errors.Is(err, domain.ErrConflict) },
		}),
	}
}

// Lookup returns the tenant. Those being deleted are as those that do not
// exist: ErrNotFound. While the database is away, tenants never seen before
// are ErrUnavailable.
func (d *Directory) Lookup(ctx context.Context, id uuid.UUID) (domain.Tenant, error) {
	t, err := d.entries.Get(ctx, id)
	if err != nil {
		return domain.Tenant{}, lookUpError(err)
	}
	return visible(t)
}

// LookupExternal is Lookup for what the caller calls a tenant, among those that it may
// access: its own one if there is one. It is an ErrConflict where the tenants of several
// others have the external id.
func (d *Directory) LookupExternal(ctx context.Context, p domain.Principal, externalID string) (domain.Tenant, error) {
	name := externalNameOf(p, externalID)
	for range 2 {
		id, err := d.resolved.Get(ctx, name)
		if err != nil {
			return domain.Tenant{}, lookUpError(err)
		}
		t, err := d.Lookup(ctx, id)
		if err == nil && t.ExternalID == externalID {
			return t, nil
		}
		if err != nil && !errors.Is(err, domain.ErrNotFound) {
			return domain.Tenant{}, err
		}
		d.resolved.Expire(name) // it is another one's by now, or nobody's
	}
	return domain.Tenant{}, domain.TenantNotFound()
}

func lookUpError(err error) error {
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return domain.TenantNotFound()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		err = domain.Wrap(err, domain.ErrUnavailable, "database_unavailable", "The tenant cannot be looked up at the moment.")
	}
	return fmt.Errorf("look up tenant: %w", err)
}

// Put notes that the tenant was just changed to t. The next Lookup asks the
// database, because somebody else may have changed it since; t is what is
// answered if the database is away by then.
func (d *Directory) Put(t domain.Tenant) { d.entries.Put(t.ID, t) }

// Forget notes that the tenant was changed somewhere. The next Lookup asks
// the database; what is known is kept for the case that it is away by then.
func (d *Directory) Forget(id uuid.UUID) { d.entries.Expire(id) }

// ForgetAll notes that any tenant may have been changed; see Forget.
func (d *Directory) ForgetAll() { d.entries.ExpireAll() }

// StillThere returns nil unless the tenant is gone: then it is the ErrNotFound
// of Lookup. A caller that looked the tenant up a moment ago, and did something
// since, asks it whether the tenant was deleted meanwhile. It asks the
// database only when a change was announced; when ctx leaves no time for that
// it is an ErrUnavailable. While the database is away the last known state
// counts.
func (d *Directory) StillThere(ctx context.Context, id uuid.UUID) error {
	if t, known, expired := d.entries.Peek(id); known && (!expired || t.Gone()) {
		_, err := visible(t)
		return err
	}
	if deadline, limited := ctx.Deadline(); limited && time.Until(deadline) < loadTimeout {
		return domain.New(domain.ErrUnavailable, "publish_unknown",
			"The tenant was changed meanwhile, so the outcome is unknown; retry with the same Idempotency-Key.")
	}
	if _, err := d.Lookup(ctx, id); errors.Is(err, domain.ErrNotFound) {
		return err
	}
	return nil
}

func visible(t domain.Tenant) (domain.Tenant, error) {
	if t.Gone() {
		return domain.Tenant{}, domain.TenantNotFound()
	}
	return t, nil
}
