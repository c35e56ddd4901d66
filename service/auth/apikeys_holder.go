package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// keyHolders knows who calls with an API key. It is safe for concurrent use.
type keyHolders struct {
	keys     *APIKeys
	openMode bool
	// caller returns a user who may call, or ErrNotFound, and tenantGone reports
	// whether a tenant was deleted; see Service.
	caller     func(ctx context.Context, id uuid.UUID) (domain.User, error)
	tenantGone func(ctx context.Context, id uuid.UUID) (bool, error)
}

// authenticate returns the holder of the key with this text, with the errors of
// Service.Authenticate.
func (h *keyHolders) authenticate(ctx context.Context, text string) (domain.Principal, error) {
	key, err := h.keys.verify(ctx, text)
	if err != nil {
		return domain.Principal{}, err
	}
	return h.holder(ctx, &key)
}

// recheck returns a caller that came with a key, or with a ticket of one, as it is
// now. It goes on no longer than p.ExpiresAt.
func (h *keyHolders) recheck(ctx context.Context, p domain.Principal) (domain.Principal, error) {
	key, err := h.keys.current(ctx, p.KeyID)
	if err != nil {
		return domain.Principal{}, err
	}
	now, err := h.holder(ctx, &key)
	if err == nil && !p.ExpiresAt.IsZero() && (now.ExpiresAt.IsZero() || p.ExpiresAt.Before(now.ExpiresAt)) {
		now.ExpiresAt = p.ExpiresAt
	}
	return now, err
}

// holder returns the holder of a key, as it is now: its owner, as far as the key
// may be used.
func (h *keyHolders) holder(ctx context.Context, key *domain.APIKey) (domain.Principal, error) {
	p := domain.Principal{
		UserID: key.OwnerID, Role: domain.RoleAdmin, ExpiresAt: key.ExpiresAt,
		KeyID: key.ID, KeyTenant: key.TenantID, Scopes: key.Scopes,
	}
	switch {
	case key.OwnerID != uuid.Nil:
		owner, err := h.caller(ctx, key.OwnerID)
		if errors.Is(err, domain.ErrNotFound) {
			return domain.Principal{}, keyInvalid()
		}
		if err != nil {
			return domain.Principal{}, err
		}
		p.Role, p.TenantID = owner.Role, owner.TenantID
	case !h.openMode:
		return domain.Principal{}, keyInvalid()
	}
	// What an admin may do with what is others' no key may.
	if key.TenantID == uuid.Nil && p.Role == domain.RoleAdmin {
		p.Role = domain.RoleMember
	}
	if key.TenantID != uuid.Nil { // whoever inserted it by SQL
		p.Scopes &^= domain.ScopeProvision
	}
	gone, err := h.tenantGone(ctx, key.TenantID)
	switch {
	case err != nil:
		return domain.Principal{}, fmt.Errorf("find tenant of key: %w", err)
	case gone:
		return domain.Principal{}, keyInvalid()
	}
	h.keys.used(key.ID)
	return p, nil
}
