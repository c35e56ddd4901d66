package endpoint

import (
	"context"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// gate decides who may do what.
type gate struct{ tenants domain.TenantFinder }

// access returns the tenant if the caller may access it.
func (g gate) access(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.Tenant, error) {
	return domain.Accessible(ctx, g.tenants, p, id) //nolint:wrapcheck // says what was read
}

// manage returns the tenant if the caller may change its endpoints.
func (g gate) manage(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.Tenant, error) {
	return domain.Manageable(ctx, g.tenants, p, id) //nolint:wrapcheck // says what was read
}

// mayAdd returns the tenant if the caller may give it an endpoint, and it has a
// history that the endpoint can begin in.
func (g gate) mayAdd(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.Tenant, error) {
	t, err := g.manage(ctx, p, id)
	if err == nil && t.Status == domain.TenantProvisioning {
		err = t.AcceptsMessages()
	}
	return t, err
}
