package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/cache"
)

// APIKeyOptions is what NewAPIKeys needs.
type APIKeyOptions struct {
	Keys domain.APIKeyRepository
	// Users and Tenants know whose tenant is whose now.
	Users   domain.UserRepository
	Tenants domain.TenantFinder
	// OpenMode lets the built-in admin have keys.
	OpenMode bool
	// Now is the clock by which time passes; nil is time.Now.
	Now func() time.Time
	// Clock tells the time by which keys expire, the same for the whole fleet; nil
	// is Now.
	Clock func() time.Time
	Log   *slog.Logger
}

// APIKeys makes, lists and revokes API keys, and knows which are valid. Users do
// that with their tokens: no key makes, lists or revokes keys. Its methods are safe
// for concurrent use; Run is the goroutine that records their use.
type APIKeys struct {
	o         APIKeyOptions
	known     *cache.Cache[uuid.UUID, domain.APIKey]
	strangers *strangers
	uses      *keyUses
}

// NewAPIKeys returns APIKeys.
func NewAPIKeys(o APIKeyOptions) *APIKeys {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Clock == nil {
		o.Clock = o.Now
	}
	return &APIKeys{o: o, known: newKnownKeys(o.Keys, o.Now), strangers: newStrangers(o.Now), uses: newKeyUses()}
}

// Create makes a key of a tenant, or where tenantID is zero one of the caller's, for
// all tenants of the caller. The text, which is to be shown this once, is the only
// thing that has its secret. A tenant's key belongs to the owner of the tenant,
// whoever makes it; where there is none (any more), to the caller. Errors are
// ErrInvalid with every field that is wrong, those of finding the tenant,
// ErrForbidden, ErrLimited when there are too many, and ErrConflict with code
// "no_owner" when the key would belong to nobody.
func (k *APIKeys) Create(ctx context.Context, p domain.Principal, tenantID uuid.UUID, n domain.NewAPIKey) (key domain.APIKey, text string, err error) {
	owner, err := k.owner(ctx, p, tenantID)
	if err != nil {
		return domain.APIKey{}, "", err
	}
	if key, err = n.Build(scopesFor(p, tenantID), k.o.Clock().UTC()); err != nil {
		return domain.APIKey{}, "", err
	}
	if key.ID, err = uuid.NewV7(); err != nil {
		return domain.APIKey{}, "", fmt.Errorf("make API key id: %w", err)
	}
	key.TenantID, key.OwnerID, key.CreatedBy = tenantID, owner, p.UserID
	text, key.Hash = newAPIKey(key.ID)
	if err := k.o.Keys.InsertAPIKey(ctx, key); err != nil {
		return domain.APIKey{}, "", fmt.Errorf("insert API key: %w", err)
	}
	return key, text, nil
}

// List returns the keys of a tenant, or where tenantID is zero the caller's, oldest
// first. Errors are those of finding the tenant, and ErrForbidden.
func (k *APIKeys) List(ctx context.Context, p domain.Principal, tenantID uuid.UUID) ([]domain.APIKey, error) {
	if err := k.mayKeep(ctx, p, tenantID); err != nil {
		return nil, err
	}
	var keys []domain.APIKey
	var err error
	if tenantID == uuid.Nil {
		keys, err = k.o.Keys.ListOwnerAPIKeys(ctx, p.UserID)
	} else {
		keys, err = k.o.Keys.ListTenantAPIKeys(ctx, tenantID)
	}
	if err != nil {
		return nil, fmt.Errorf("list API keys: %w", err)
	}
	return keys, nil
}

// Revoke deletes a key of a tenant, or where tenantID is zero one of the caller's: an
// admin so deletes anybody's. Calls with it are refused within seconds. Errors are
// ErrNotFound, those of finding the tenant, and ErrForbidden.
func (k *APIKeys) Revoke(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID) error {
	if err := k.mayKeep(ctx, p, tenantID); err != nil {
		return err
	}
	key, err := k.o.Keys.FindAPIKey(ctx, id)
	if err != nil {
		return fmt.Errorf("find API key: %w", err)
	}
	mine := key.TenantID == tenantID && (tenantID != uuid.Nil || key.OwnerID == p.UserID)
	if !mine && (tenantID != uuid.Nil || !p.IsAdmin()) {
		return domain.APIKeyNotFound()
	}
	err = k.o.Keys.DeleteAPIKey(ctx, id)
	k.known.Drop(id)
	if err != nil {
		return fmt.Errorf("delete API key: %w", err)
	}
	return nil
}

// mayKeep returns nil when the caller may make, see and revoke keys of the tenant,
// or its own.
func (k *APIKeys) mayKeep(ctx context.Context, p domain.Principal, tenantID uuid.UUID) error {
	_, err := k.keeper(ctx, p, tenantID)
	return err
}

// keeper is mayKeep, and returns the tenant, which is the zero Tenant for the caller's
// own keys.
func (k *APIKeys) keeper(ctx context.Context, p domain.Principal, tenantID uuid.UUID) (domain.Tenant, error) {
	switch { // the route table says so, too
	case p.ByLink():
		return domain.Tenant{}, domain.LinkNotAccepted()
	case p.ByKey():
		return domain.Tenant{}, domain.KeyNotAccepted()
	}
	if tenantID == uuid.Nil {
		return domain.Tenant{}, nil
	}
	return domain.Manageable(ctx, k.o.Tenants, p, tenantID) //nolint:wrapcheck // says what was read
}

// owner returns to whom a key that the caller makes belongs.
func (k *APIKeys) owner(ctx context.Context, p domain.Principal, tenantID uuid.UUID) (uuid.UUID, error) {
	tenant, err := k.keeper(ctx, p, tenantID)
	if err != nil {
		return uuid.Nil, err
	}
	owner := p.UserID
	if tenant.OwnerID != uuid.Nil {
		switch _, err := k.o.Users.FindUser(ctx, tenant.OwnerID); {
		case err == nil:
			owner = tenant.OwnerID
		case !errors.Is(err, domain.ErrNotFound):
			return uuid.Nil, fmt.Errorf("find owner of tenant: %w", err)
		}
	}
	if owner == uuid.Nil && !k.o.OpenMode {
		return uuid.Nil, domain.New(domain.ErrConflict, "no_owner", "The tenant has no owner with whom the key could end; let an admin who is a user make it.")
	}
	return owner, nil
}

// scopesFor returns the scopes that a key may have which the caller makes.
func scopesFor(p domain.Principal, tenantID uuid.UUID) domain.Scopes {
	scopes := domain.ScopeRead
	if p.Role.Covers(domain.RoleMember) {
		scopes |= domain.ScopePublish | domain.ScopeManage
		if tenantID == uuid.Nil {
			scopes |= domain.ScopeProvision
		}
	}
	return scopes
}
