package endpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// tenantRepository is the part of domain.TenantRepository that is needed here.
type tenantRepository interface {
	FindTenant(ctx context.Context, id uuid.UUID) (domain.Tenant, error)
}

// gate decides who may do what.
type gate struct{ tenants tenantRepository }

// access returns the tenant if the caller may access it.
func (g gate) access(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.Tenant, error) {
	t, err := g.tenants.FindTenant(ctx, id)
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return domain.Tenant{}, domain.TenantNotFound()
	case err != nil:
		return domain.Tenant{}, fmt.Errorf("read tenant: %w", err)
	case t.Gone() || !p.MayAccess(&t):
		return domain.Tenant{}, domain.TenantNotFound()
	}
	return t, nil
}

// manage returns the tenant if the caller may change its endpoints.
func (g gate) manage(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.Tenant, error) {
	t, err := g.access(ctx, p, id)
	if err == nil && !p.MayManage(&t) {
		err = domain.New(domain.ErrForbidden, "forbidden", "You may not do this.")
	}
	return t, err
}

// mayAdd returns nil if the caller may give the tenant an endpoint, and the tenant
// has a history that it can begin in.
func (g gate) mayAdd(ctx context.Context, p domain.Principal, id uuid.UUID) error {
	t, err := g.manage(ctx, p, id)
	if err == nil && t.Status == domain.TenantProvisioning {
		err = t.AcceptsMessages()
	}
	return err
}
