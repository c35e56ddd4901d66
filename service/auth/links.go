package auth

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// linkTenants is where portal links find their tenants, and end.
type linkTenants interface {
	domain.TenantFinder
	// ChangeTenant changes the tenant under its lock.
	ChangeTenant(ctx context.Context, id uuid.UUID, change func(*domain.Tenant) error) (domain.Tenant, error)
}

// LinkOptions is what NewLinks needs.
type LinkOptions struct {
	// Auth knows the secrets that sign links, and the time.
	Auth    *Service
	Tenants linkTenants
	// Changed is told of a tenant whose links have ended.
	Changed func(t domain.Tenant)
	// Audit records in the audit log what was made.
	Audit func(ctx context.Context, e domain.AuditEntry)
}

// Links makes and ends portal links. They are kept nowhere: Service.Authenticate reads
// from a link's token what it is for, and finds out whether it still counts. Its methods
// are safe for concurrent use.
type Links struct{ o LinkOptions }

// NewLinks returns Links.
func NewLinks(o LinkOptions) *Links { return &Links{o} }

// Create makes a portal link for a tenant that the caller may access, and returns its
// token, which is to be shown this once. Errors are ErrInvalid with every field that is
// wrong, those of finding the tenant, an ErrForbidden for a caller that came with a portal
// link, and ErrUnavailable.
func (k *Links) Create(ctx context.Context, p domain.Principal, tenantID uuid.UUID, n domain.NewPortalLink) (link domain.PortalLink, token string, err error) {
	if p.ByLink() { // the route table says so, too
		return domain.PortalLink{}, "", domain.LinkNotAccepted()
	}
	tenant, err := domain.Accessible(ctx, k.o.Tenants, p, tenantID)
	if err != nil {
		return domain.PortalLink{}, "", err //nolint:wrapcheck // says what was read
	}
	if link, err = n.Build(p, &tenant, k.o.Auth.clock()); err != nil {
		return domain.PortalLink{}, "", err //nolint:wrapcheck // is meant for the caller
	}
	if link.ID, err = uuid.NewV7(); err != nil {
		return domain.PortalLink{}, "", fmt.Errorf("make portal link id: %w", err)
	}
	if token, err = k.o.Auth.tokens.issueLink(ctx, &link); err != nil {
		return domain.PortalLink{}, "", fmt.Errorf("issue portal link: %w", err)
	}
	k.o.Audit(ctx, domain.AuditEntry{Action: domain.AuditLinkCreate, TenantID: tenantID, Target: link.ID.String(), After: domain.FactsOfPortalLink(&link)})
	return link, token, nil
}

// Revoke ends all portal links of a tenant that were made until now, on every replica
// within seconds. Errors are those of finding the tenant, ErrForbidden, and
// ErrUnavailable.
func (k *Links) Revoke(ctx context.Context, p domain.Principal, tenantID uuid.UUID) error {
	if p.ByLink() { // the route table says so, too
		return domain.LinkNotAccepted()
	}
	if _, err := domain.Manageable(ctx, k.o.Tenants, p, tenantID); err != nil {
		return err //nolint:wrapcheck // says what was read
	}
	tenant, err := k.o.Tenants.ChangeTenant(ctx, tenantID, func(t *domain.Tenant) error {
		if t.Gone() {
			return domain.TenantNotFound()
		}
		t.PortalVersion++
		return nil
	})
	if err != nil {
		return fmt.Errorf("end portal links: %w", err)
	}
	k.o.Changed(tenant)
	return nil
}
