package domain

import (
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Role is what a user may do at all; what it may do it to is decided by
// Principal.MayAccess.
type Role string

// The roles, from least to most.
const (
	RoleViewer Role = "viewer" // reads in its tenant
	RoleMember Role = "member" // also publishes, and manages tenants it created
	RoleAdmin  Role = "admin"  // everything, everywhere
)

// ParseRole returns the role named s, or an ErrInvalid for the field /role.
func ParseRole(s string) (Role, error) {
	switch role := Role(s); role {
	case RoleViewer, RoleMember, RoleAdmin:
		return role, nil
	}
	return "", WithFields(FieldError{"/role", `must be "viewer", "member" or "admin"`})
}

// Covers reports whether a caller with role r may use a route that asks for
// need.
func (r Role) Covers(need Role) bool { return r.rank() >= need.rank() && need.rank() > 0 }

func (r Role) rank() int {
	switch r {
	case RoleViewer:
		return 1
	case RoleMember:
		return 2
	case RoleAdmin:
		return 3
	}
	return 0
}

// Limits of a user's fields.
const (
	MaxUserNameLength = 200  // characters
	MinPasswordLength = 12   // characters
	MaxPasswordLength = 1024 // bytes
	maxEmailLength    = 254  // bytes, RFC 5321 section 4.5.3.1.3
)

// User is a person or program that can log in.
type User struct {
	ID    uuid.UUID
	Name  string
	Email string
	// PasswordHash is an argon2id or bcrypt hash in its usual text form; ""
	// for a user that cannot log in.
	PasswordHash string
	Role         Role
	// TenantID is the tenant the user belongs to; the zero UUID for none.
	TenantID uuid.UUID
	// TokenVersion is raised to make the tokens issued so far invalid.
	TokenVersion int
	// Limits are those set for the user.
	Limits    UserLimits
	CreatedAt time.Time
	// DisabledAt is since when the user may not do anything; zero while it may.
	DisabledAt time.Time
}

// Disabled reports whether the user may not do anything: it cannot log in, and its
// tokens are not valid.
func (u *User) Disabled() bool { return !u.DisabledAt.IsZero() }

// UserChange is what is said of a user that is created (nil: the default) or
// changed (nil: as it is).
type UserChange struct {
	Name     *string
	Email    *string
	Password *string
	Role     *string
	// TenantID is a UUID; "" takes the user out of its tenant.
	TenantID *string
	// Disabled disables the user, or enables it again.
	Disabled *bool
	// Limits are limits by their names: nil for as everybody. Others stay as they are.
	Limits map[string]*int
}

// Apply checks the change and applies all of it but the password, which the
// caller hashes, and Disabled, for which it needs the time. The error names every field
// that is wrong; on error u is unchanged.
func (c UserChange) Apply(u *User) error {
	changed := *u
	var fields []FieldError
	if c.Name != nil {
		changed.Name = strings.TrimSpace(*c.Name)
		if changed.Name == "" || utf8.RuneCountInString(changed.Name) > MaxUserNameLength || !storableText(changed.Name) {
			fields = append(fields, FieldError{"/name", fmt.Sprintf("must have 1 to %d characters and no control characters", MaxUserNameLength)})
		}
	}
	if c.Email != nil {
		email, ok := NormalizeEmail(*c.Email)
		if !ok {
			fields = append(fields, FieldError{"/email", "must be an email address"})
		}
		changed.Email = email
	}
	if c.Password != nil {
		if !passwordFits(*c.Password) {
			fields = append(fields, FieldError{"/password", passwordLengths()})
		}
	}
	if c.Role != nil {
		role, err := ParseRole(*c.Role)
		if err != nil {
			fields = append(fields, FieldError{"/role", `must be "viewer", "member" or "admin"`})
		}
		changed.Role = role
	}
	if c.TenantID != nil {
		changed.TenantID = uuid.Nil
		if *c.TenantID != "" {
			id, err := ParseID(*c.TenantID)
			if err != nil {
				fields = append(fields, FieldError{"/tenant_id", "must be a UUID"})
			}
			changed.TenantID = id
		}
	}
	fields = append(fields, changed.Limits.apply(c.Limits)...)
	if len(fields) > 0 {
		return WithFields(fields...)
	}
	*u = changed
	return nil
}

func passwordLengths() string {
	return fmt.Sprintf("must have at least %d characters and at most %d bytes", MinPasswordLength, MaxPasswordLength)
}

func passwordFits(password string) bool {
	return utf8.RuneCountInString(password) >= MinPasswordLength && len(password) <= MaxPasswordLength
}

// CheckPassword returns an ErrInvalid for the field unless a new password has a length
// that is allowed. Those that were set before are as they are.
func CheckPassword(field, password string) error {
	if !passwordFits(password) {
		return WithFields(FieldError{field, passwordLengths()})
	}
	return nil
}

// NormalizeEmail returns the address in the form in which it is stored and
// compared, and whether it is one.
func NormalizeEmail(s string) (string, bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	addr, err := mail.ParseAddress(s)
	return s, err == nil && addr.Address == s && len(s) <= maxEmailLength && storableText(s)
}

// UserNotFound is the answer for a user that does not exist.
func UserNotFound() error { return New(ErrNotFound, "user_not_found", "There is no such user.") }

// Principal is the caller of a request.
type Principal struct {
	// UserID is the zero UUID for the built-in admin of open mode.
	UserID   uuid.UUID
	Role     Role
	TenantID uuid.UUID // the tenant the caller belongs to; zero for none
	// TokenVersion is that of the token the call came with, and ExpiresAt when
	// that ends; both zero for the built-in admin. With a key ExpiresAt is when that
	// expires, and zero for never.
	TokenVersion int
	ExpiresAt    time.Time

	// KeyID is the API key the call came with; zero for none. UserID, Role and
	// TenantID are then those of the key's owner, and the role of a key that is for
	// all tenants of an owner is never admin.
	KeyID uuid.UUID
	// KeyTenant is the only tenant that the key, or the portal link, is for; zero for a
	// key of an owner.
	KeyTenant uuid.UUID
	// Scopes are what the key, or the portal link, is for.
	Scopes Scopes

	// LinkID is the portal link the call came with; zero for none. The rest is then
	// whoever made the link: a user, or with KeyID an API key. LinkVersion is the
	// tenant's PortalVersion when it was made.
	LinkID      uuid.UUID
	LinkVersion int
}

// ByKey reports whether the call came with an API key, or with a portal link that was
// made with one.
func (p Principal) ByKey() bool { return p.KeyID != uuid.Nil }

// ByLink reports whether the call came with a portal link.
func (p Principal) ByLink() bool { return p.LinkID != uuid.Nil }

// Scoped reports whether the caller has what its scopes say, and nothing else: it came
// with an API key or with a portal link.
func (p Principal) Scoped() bool { return p.ByKey() || p.ByLink() }

// IsAdmin reports whether the caller may do everything everywhere. No key and no portal
// link may.
func (p Principal) IsAdmin() bool { return p.Role == RoleAdmin && !p.Scoped() }

// Home returns the tenant that a call is for that names none; zero for none.
func (p Principal) Home() uuid.UUID {
	if p.KeyTenant != uuid.Nil {
		return p.KeyTenant
	}
	return p.TenantID
}

// Permit returns nil when the caller may make a call that asks for a role, and of a key
// or a portal link for a scope; 0 is for calls that neither may make. Else it is an
// ErrForbidden.
func (p Principal) Permit(role Role, scope Scopes) error {
	switch {
	case p.ByLink() && (scope == 0 || scope == ScopeProvision):
		return LinkNotAccepted()
	case p.ByLink() && !p.Scopes.Covers(scope):
		return New(ErrForbidden, "scope_insufficient", "This needs a portal link with the scope "+scope.String()+".")
	case p.ByKey() && scope == 0:
		return KeyNotAccepted()
	case p.ByKey() && !p.Scopes.Covers(scope):
		return New(ErrForbidden, "scope_insufficient", "This needs a key with the scope "+scope.String()+".")
	case !p.Role.Covers(role):
		return New(ErrForbidden, "role_insufficient", "This needs the role "+string(role)+".")
	}
	return nil
}

// KeyNotAccepted is the answer to a call that no API key may make.
func KeyNotAccepted() error {
	return New(ErrForbidden, "key_not_accepted", "API keys cannot be used for this; log in.")
}

// MayAccess reports whether the caller may see tenant t at all: as admin, as
// its creator, or as one that belongs to it; and a key of a tenant, or a portal link,
// only that one.
func (p Principal) MayAccess(t *Tenant) bool {
	switch {
	case p.KeyTenant != uuid.Nil && p.KeyTenant != t.ID:
		return false
	case p.Role == RoleAdmin, p.Owns(t):
		return true
	default:
		return p.TenantID != uuid.Nil && p.TenantID == t.ID
	}
}

// MayManage reports whether the caller may change or delete tenant t: as admin
// or as its creator; and a key of a tenant, or a portal link, only that one.
func (p Principal) MayManage(t *Tenant) bool {
	if p.KeyTenant != uuid.Nil && p.KeyTenant != t.ID {
		return false
	}
	return p.Role == RoleAdmin || p.Role == RoleMember && p.Owns(t)
}

// Owns reports whether the caller is the owner of tenant t. Those without an owner
// are the built-in admin's, of whom there are keys and portal links only in open mode.
func (p Principal) Owns(t *Tenant) bool {
	return p.UserID == t.OwnerID && (p.UserID != uuid.Nil || p.Scoped())
}

// ParseID parses a UUID in its canonical 36 character form. Other spellings
// that UUID libraries accept (URN, braces, no dashes) are refused, so that an
// id has one name. The error is an ErrMalformed.
func ParseID(s string) (uuid.UUID, error) {
	if len(s) == 36 {
		if id, err := uuid.Parse(s); err == nil {
			return id, nil
		}
	}
	return uuid.Nil, New(ErrMalformed, "invalid_id", "The id is not a UUID.")
}

// Grant is the answer to a login.
type Grant struct {
	// Token is to be sent in the header Authorization until ExpiresAt.
	Token     string
	ExpiresAt time.Time
	User      User
}
