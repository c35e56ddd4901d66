package domain

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// For how long a portal link may last.
const (
	MinLinkLifetime     = time.Minute
	MaxLinkLifetime     = 24 * time.Hour
	DefaultLinkLifetime = time.Hour
)

// PortalLink lets whoever has it see, and with more scopes use, the pages of the console
// that are about one tenant. It is not kept anywhere: what is said here is in its token.
// What it may be used for is what whoever made it may do, as far as its scopes allow it.
type PortalLink struct {
	ID       uuid.UUID
	TenantID uuid.UUID
	Scopes   Scopes
	// UserID is the user who made it, TokenVersion that of the token with which, and
	// KeyID the API key, where it was made with one. It ends with either.
	UserID       uuid.UUID
	TokenVersion int
	KeyID        uuid.UUID
	// TenantVersion is the tenant's PortalVersion when it was made; it ends when that is
	// raised.
	TenantVersion int
	ExpiresAt     time.Time
}

// NewPortalLink is what a caller says of a portal link to be made.
type NewPortalLink struct {
	// TTL is for how long it is to last, as "90m"; nil for DefaultLinkLifetime.
	TTL *string
	// Scopes are nil for read alone.
	Scopes []string
}

// Build checks what was said and returns a link for the tenant, made by p, without an id.
// It has no scope that p has not, and does not outlive the API key that p came with. The
// error names every field that is wrong.
func (n NewPortalLink) Build(p Principal, t *Tenant, now time.Time) (PortalLink, error) {
	link := PortalLink{
		TenantID: t.ID, Scopes: ScopeRead, UserID: p.UserID, TokenVersion: p.TokenVersion, KeyID: p.KeyID,
		TenantVersion: t.PortalVersion, ExpiresAt: now.Add(DefaultLinkLifetime),
	}
	var fields []FieldError
	if n.TTL != nil {
		ttl, err := time.ParseDuration(*n.TTL)
		if err != nil || ttl < MinLinkLifetime || ttl > MaxLinkLifetime {
			fields = append(fields, FieldError{"/ttl", fmt.Sprintf(`must be a duration with a unit, such as "90m", from %gm to %gh`, MinLinkLifetime.Minutes(), MaxLinkLifetime.Hours())})
		}
		link.ExpiresAt = now.Add(ttl)
	}
	if n.Scopes != nil {
		scopes, problems := parseScopes(n.Scopes, p.LinkScopes(t), "you cannot hand this scope on: a portal link has read, publish and manage, as far as you have them for this tenant")
		if len(problems) == 0 && !scopes.Covers(ScopeRead) {
			problems = []FieldError{{"/scopes", `must have "read": pages show what they read`}}
		}
		link.Scopes, fields = scopes, append(fields, problems...)
	}
	if len(fields) > 0 {
		return PortalLink{}, WithFields(fields...)
	}
	if p.ByKey() && !p.ExpiresAt.IsZero() && p.ExpiresAt.Before(link.ExpiresAt) {
		link.ExpiresAt = p.ExpiresAt
	}
	link.ExpiresAt = link.ExpiresAt.UTC().Truncate(time.Second)
	return link, nil
}

// LinkScopes returns the scopes that the caller can hand on in a portal link for tenant
// t, which it may access: those that it has there itself. None is ScopeProvision.
func (p Principal) LinkScopes(t *Tenant) Scopes {
	scopes := ScopeRead
	if p.Role.Covers(RoleMember) {
		scopes |= ScopePublish
	}
	if p.MayManage(t) {
		scopes |= ScopeManage
	}
	if p.Scoped() {
		scopes &= p.Scopes
	}
	return scopes
}

// LinkNotAccepted is the answer to a call that no portal link may make.
func LinkNotAccepted() error {
	return New(ErrForbidden, "portal_not_accepted", "A portal link cannot be used for this.")
}

// LinkInvalid is the one answer to a portal link that does not count; cause may be nil.
func LinkInvalid(cause error) error {
	return Wrap(cause, ErrUnauthenticated, "portal_invalid", "The portal link is not valid any more; open the page again.")
}
