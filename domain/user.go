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
	MinPasswordLength = 8    // characters
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
	CreatedAt    time.Time
}

// UserChange is what is said of a user that is created (nil: the default) or
// changed (nil: as it is).
type UserChange struct {
	Name     *string
	Email    *string
	Password *string
	Role     *string
	// TenantID is a UUID; "" takes the user out of its tenant.
	TenantID *string
}

// Apply checks the change and applies all of it but the password, which the
// caller hashes. The error names every field that is wrong; on error u is
// unchanged.
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
		if utf8.RuneCountInString(*c.Password) < MinPasswordLength || len(*c.Password) > MaxPasswordLength {
			fields = append(fields, FieldError{"/password", fmt.Sprintf("must have at least %d characters and at most %d bytes", MinPasswordLength, MaxPasswordLength)})
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
	if len(fields) > 0 {
		return WithFields(fields...)
	}
	*u = changed
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
	// that ends; both zero for the built-in admin.
	TokenVersion int
	ExpiresAt    time.Time
}

// MayAccess reports whether the caller may see tenant t at all: as admin, as
// its creator, or as one that belongs to it.
func (p Principal) MayAccess(t *Tenant) bool {
	switch {
	case p.Role == RoleAdmin:
		return true
	case p.UserID != uuid.Nil && p.UserID == t.OwnerID:
		return true
	default:
		return p.TenantID != uuid.Nil && p.TenantID == t.ID
	}
}

// MayManage reports whether the caller may change or delete tenant t: as admin
// or as its creator.
func (p Principal) MayManage(t *Tenant) bool {
	return p.Role == RoleAdmin || p.Role == RoleMember && p.UserID != uuid.Nil && p.UserID == t.OwnerID
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
