package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// linkHolders knows who calls with a portal link. It is safe for concurrent use.
type linkHolders struct {
	tokens   *tokens
	tenants  tenantDirectory
	openMode bool
	clock    func() time.Time
	keys     *keyHolders // nil where there are no keys
	// user returns the holder of a token; see Service.
	user func(ctx context.Context, token verified) (domain.Principal, error)
}

// authenticate returns the holder of the portal link with this token, with the errors of
// Service.Authenticate.
func (h *linkHolders) authenticate(ctx context.Context, text string) (domain.Principal, error) {
	link, err := h.tokens.verifyLink(ctx, text)
	if err != nil {
		return domain.Principal{}, err
	}
	return h.holder(ctx, &link)
}

// recheck returns a caller that came with a portal link as it is now.
func (h *linkHolders) recheck(ctx context.Context, p domain.Principal) (domain.Principal, error) {
	if !h.clock().Before(p.ExpiresAt) {
		return domain.Principal{}, domain.LinkInvalid(nil)
	}
	return h.holder(ctx, &domain.PortalLink{
		ID: p.LinkID, TenantID: p.KeyTenant, Scopes: p.Scopes, UserID: p.UserID, TokenVersion: p.TokenVersion, KeyID: p.KeyID,
		TenantVersion: p.LinkVersion, ExpiresAt: p.ExpiresAt,
	})
}

// holder returns the holder of a portal link, as it is now: whoever made it, as far as
// the link may be used. It is one ErrUnauthenticated whatever ended the link.
func (h *linkHolders) holder(ctx context.Context, l *domain.PortalLink) (domain.Principal, error) {
	p, err := h.maker(ctx, l)
	switch {
	case errors.Is(err, domain.ErrUnauthenticated):
		return domain.Principal{}, domain.LinkInvalid(err)
	case err != nil:
		return domain.Principal{}, err
	}
	tenant, err := h.tenants.Lookup(ctx, l.TenantID)
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return domain.Principal{}, domain.LinkInvalid(err)
	case err != nil:
		return domain.Principal{}, fmt.Errorf("find tenant of portal link: %w", err)
	case tenant.Gone(), tenant.PortalVersion != l.TenantVersion, !p.MayAccess(&tenant):
		return domain.Principal{}, domain.LinkInvalid(nil)
	}
	p.Scopes = l.Scopes & p.LinkScopes(&tenant)
	p.KeyTenant, p.LinkID, p.LinkVersion, p.TokenVersion = l.TenantID, l.ID, l.TenantVersion, l.TokenVersion
	p.ExpiresAt = l.ExpiresAt // a key that ends earlier is refused by itself
	return p, nil
}

// maker returns whoever made a portal link as it is now, or an ErrUnauthenticated.
func (h *linkHolders) maker(ctx context.Context, l *domain.PortalLink) (domain.Principal, error) {
	switch {
	case l.KeyID != uuid.Nil && h.keys == nil:
		return domain.Principal{}, keyInvalid()
	case l.KeyID != uuid.Nil:
		return h.keys.recheck(ctx, domain.Principal{KeyID: l.KeyID})
	case l.UserID == uuid.Nil && !h.openMode:
		return domain.Principal{}, tokenRevoked()
	case l.UserID == uuid.Nil:
		return domain.Principal{Role: domain.RoleAdmin}, nil
	}
	return h.user(ctx, verified{userID: l.UserID, version: l.TokenVersion, expires: l.ExpiresAt})
}
