package domain

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Limits of API keys.
const (
	MaxAPIKeyNameLength = 100 // characters
	// MaxAPIKeys is how many keys a tenant, and how many an owner, may have.
	MaxAPIKeys = 100
)

// Scopes is a set of what an API key may be used for. The zero value allows
// nothing.
type Scopes uint8

// The scopes. Each allows what it says and nothing else: one that manages does not
// read by that.
const (
	ScopePublish   Scopes = 1 << iota // publish messages
	ScopeRead                         // read everything that its owner may read, and follow streams
	ScopeManage                       // change tenants, their workers, consumers and endpoints, replay and purge dead letters
	ScopeProvision                    // create and delete tenants; keys of owners only
)

// scopesInOrder has the scopes as they are listed.
func scopesInOrder() []Scopes { return []Scopes{ScopePublish, ScopeRead, ScopeManage, ScopeProvision} }

// name returns the name of one scope.
func (s Scopes) name() string {
	switch s {
	case ScopePublish:
		return "publish"
	case ScopeRead:
		return "read"
	case ScopeManage:
		return "manage"
	case ScopeProvision:
		return "provision"
	}
	return ""
}

// Names returns the names of the scopes, in a fixed order.
func (s Scopes) Names() []string {
	names := make([]string, 0, len(scopesInOrder()))
	for _, scope := range scopesInOrder() {
		if s&scope != 0 {
			names = append(names, scope.name())
		}
	}
	return names
}

// String returns the names, with commas.
func (s Scopes) String() string { return strings.Join(s.Names(), ",") }

// Covers reports whether all of need, which is not empty, is in s.
func (s Scopes) Covers(need Scopes) bool { return need != 0 && s&need == need }

// ScopesNamed returns the scopes with these names. Names that mean nothing are
// left out.
func ScopesNamed(names []string) Scopes {
	var s Scopes
	for _, name := range names {
		s |= scopeNamed(name)
	}
	return s
}

func scopeNamed(name string) Scopes {
	for _, scope := range scopesInOrder() {
		if scope.name() == name {
			return scope
		}
	}
	return 0
}

// APIKey lets a machine call. What it may do is what its owner may, as far as its
// scopes and its tenant allow it.
type APIKey struct {
	ID uuid.UUID
	// Hash is the SHA-256 of the secret.
	Hash []byte
	Name string
	// TenantID is the tenant that the key is for; zero for a key of an owner, which
	// is for all tenants of that user.
	TenantID uuid.UUID
	// OwnerID is the user who bounds what the key may do, and with whom it ends; zero
	// for the built-in admin of open mode. That of a tenant's key is the tenant's
	// owner, whoever made it.
	OwnerID uuid.UUID
	// CreatedBy is who made it; zero for the built-in admin.
	CreatedBy uuid.UUID
	Scopes    Scopes
	// ExpiresAt is zero for never.
	ExpiresAt time.Time
	// LastUsedAt is to the minute; zero for never.
	LastUsedAt time.Time
	CreatedAt  time.Time
}

// Expired reports whether the key has expired at this time.
func (k *APIKey) Expired(now time.Time) bool {
	return !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt)
}

// NewAPIKey is what a caller says of a key to be made.
type NewAPIKey struct {
	Name   *string
	Scopes []string
	// ExpiresAt is a time as RFC 3339 has it; nil for never.
	ExpiresAt *string
}

// Build checks what was said and returns the key, without id and hash. Allowed are
// the scopes that a key of this kind, made by this caller, may have. The error names
// every field that is wrong.
func (n NewAPIKey) Build(allowed Scopes, now time.Time) (APIKey, error) {
	key := APIKey{CreatedAt: now}
	var fields []FieldError
	if n.Name == nil {
		fields = append(fields, FieldError{"/name", "is required"})
	} else if key.Name = strings.TrimSpace(*n.Name); key.Name == "" || utf8.RuneCountInString(key.Name) > MaxAPIKeyNameLength || !storableText(key.Name) {
		fields = append(fields, FieldError{"/name", fmt.Sprintf("must have 1 to %d characters and no control characters", MaxAPIKeyNameLength)})
	}
	scopes, problems := parseScopes(n.Scopes, allowed, "this key cannot have this scope: provision is for keys of owners, and a viewer's keys only read")
	key.Scopes, fields = scopes, append(fields, problems...)
	if n.ExpiresAt != nil {
		var err error
		key.ExpiresAt, err = time.Parse(time.RFC3339, *n.ExpiresAt)
		key.ExpiresAt = key.ExpiresAt.UTC()
		switch {
		case err != nil || key.ExpiresAt.Year() > 9999:
			fields = append(fields, FieldError{"/expires_at", "must be a time as RFC 3339 has it, such as 2027-11-21T10:00:00Z"})
		case !key.ExpiresAt.After(now):
			fields = append(fields, FieldError{"/expires_at", "must be in the future"})
		}
	}
	if len(fields) > 0 {
		return APIKey{}, WithFields(fields...)
	}
	return key, nil
}

// parseScopes returns the scopes with these names. Beyond is what is said of one that is
// not allowed.
func parseScopes(names []string, allowed Scopes, beyond string) (scopes Scopes, fields []FieldError) {
	const most = 16
	switch {
	case len(names) == 0:
		return 0, []FieldError{{"/scopes", "must name at least one scope"}}
	case len(names) > most:
		return 0, []FieldError{{"/scopes", fmt.Sprintf("must have at most %d entries", most)}}
	}
	for i, name := range names {
		scope := scopeNamed(name)
		pointer := Pointer("scopes", fmt.Sprint(i))
		switch {
		case scope == 0:
			fields = append(fields, FieldError{pointer, `must be "publish", "read", "manage" or "provision"`})
		case allowed&scope == 0:
			fields = append(fields, FieldError{pointer, beyond})
		}
		scopes |= scope
	}
	return scopes, fields
}

// APIKeyNotFound is the answer for a key that does not exist, or not for this
// caller.
func APIKeyNotFound() error {
	return New(ErrNotFound, "api_key_not_found", "There is no such API key.")
}

// APIKeyRepository keeps the API keys. Methods are safe for concurrent use.
type APIKeyRepository interface {
	// InsertAPIKey stores a key. It is an ErrLimited (code quota_exceeded) when its
	// tenant, or for the key of an owner that user, has MaxAPIKeys.
	InsertAPIKey(ctx context.Context, k APIKey) error
	// FindAPIKey returns the key, or ErrNotFound.
	FindAPIKey(ctx context.Context, id uuid.UUID) (APIKey, error)
	// ListTenantAPIKeys returns the keys of a tenant, oldest first, and
	// ListOwnerAPIKeys those of an owner, which is zero for the built-in admin. There
	// are no more than MaxAPIKeys, but for those that were inserted by SQL.
	ListTenantAPIKeys(ctx context.Context, tenantID uuid.UUID) ([]APIKey, error)
	ListOwnerAPIKeys(ctx context.Context, ownerID uuid.UUID) ([]APIKey, error)
	// DeleteAPIKey deletes a key; one that is not there is an ErrNotFound.
	DeleteAPIKey(ctx context.Context, id uuid.UUID) error
	// RecordAPIKeyUses sets when keys were used last; what is known to be later
	// stays.
	RecordAPIKeyUses(ctx context.Context, uses map[uuid.UUID]time.Time) error
	// DeleteDeadAPIKeys deletes at most limit of the keys that expired longer than
	// expired ago, or whose tenant or owner is gone, and returns how many there were.
	DeleteDeadAPIKeys(ctx context.Context, expired time.Duration, limit int) (int, error)
}
