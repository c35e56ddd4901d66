package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"lanekeeper/domain"
)

// Login is the body of POST /login.
type Login struct {
	Email    *string `json:"email" validate:"required" example:"ada@example.com"`
	Password *string `json:"password" validate:"required" example:"correct horse battery"`
} //@name Login

// Domain returns email and password, or an ErrInvalid when one is missing.
func (r *Login) Domain() (email, password string, err error) {
	return bothTexts("/email", r.Email, "/password", r.Password)
}

// bothTexts returns what two fields hold, or an ErrInvalid that names those that are
// missing.
func bothTexts(firstName string, first *string, secondName string, second *string) (string, string, error) {
	var fields []domain.FieldError
	if first == nil {
		fields = append(fields, domain.FieldError{Pointer: firstName, Message: "is required"})
	}
	if second == nil {
		fields = append(fields, domain.FieldError{Pointer: secondName, Message: "is required"})
	}
	if len(fields) > 0 {
		return "", "", domain.WithFields(fields...)
	}
	return *first, *second, nil
}

// Token is the answer to POST /login.
type Token struct {
	// Token goes into the header Authorization, with or without "Bearer ".
	Token     string    `json:"token" validate:"required" example:"eyJhbGciOiJIUzI1NiIsImtpZCI6Ij..."`
	TokenType string    `json:"token_type" validate:"required" enums:"Bearer" example:"Bearer"`
	ExpiresAt time.Time `json:"expires_at" validate:"required" format:"date-time" example:"2026-11-21T11:00:00Z"`
	User      User      `json:"user" validate:"required"`
} //@name Token

// FromGrant returns the answer to a login.
func FromGrant(g *domain.Grant) Token {
	return Token{Token: g.Token, TokenType: "Bearer", ExpiresAt: g.ExpiresAt.UTC(), User: FromUser(&g.User)}
}

// NullableID is an id that may be given, given as null, or left out.
type NullableID struct {
	text *string
}

// UnmarshalJSON takes a string or null.
func (n *NullableID) UnmarshalJSON(data []byte) error {
	text := ""
	if !bytes.Equal(data, []byte("null")) {
		if err := json.Unmarshal(data, &text); err != nil {
			return fmt.Errorf("decode id: %w", err)
		}
	}
	n.text = &text
	return nil
}

// CreateUser is the body of POST /users.
type CreateUser struct {
	// Name has 1 to 200 characters.
	Name *string `json:"name" validate:"required" example:"Ada Lovelace"`
	// Email is what the user logs in with.
	Email *string `json:"email" validate:"required" example:"ada@example.com"`
	// Password has at least 12 characters and at most 1024 bytes, and must not be easy
	// to guess.
	Password *string `json:"password" validate:"required" example:"correct horse battery"`
	// Role is member unless said otherwise.
	Role *string `json:"role" enums:"viewer,member,admin" default:"member" example:"member"`
	// TenantID is the tenant the user belongs to; null or "" for none.
	TenantID NullableID `json:"tenant_id" swaggertype:"string" extensions:"x-nullable" example:""`
} //@name CreateUser

// Domain returns what is said of the user.
func (r *CreateUser) Domain() domain.UserChange {
	return domain.UserChange{Name: r.Name, Email: r.Email, Password: r.Password, Role: r.Role, TenantID: r.TenantID.text}
}

// ChangeUser is the body of PATCH /users/{id}; what is left out stays as it
// is.
type ChangeUser struct {
	// Name has 1 to 200 characters.
	Name *string `json:"name" example:"Ada King"`
	// Email is what the user logs in with.
	Email *string `json:"email" example:"ada@example.com"`
	// Password has at least 12 characters and at most 1024 bytes, and must not be easy
	// to guess.
	Password *string `json:"password" example:"correct horse battery"`
	// Role decides what the user may do.
	Role *string `json:"role" enums:"viewer,member,admin" example:"viewer"`
	// TenantID is the tenant the user belongs to; null or "" takes it out.
	TenantID NullableID `json:"tenant_id" swaggertype:"string" extensions:"x-nullable" example:""`
	// Disabled says whether the user is shut out: it cannot log in, and its tokens
	// end.
	Disabled *bool `json:"disabled" example:"false"`
	// Limits are what the user's tenants may have, by the names of the configuration:
	// 0 for any number, null for as everybody. What is left out stays as it is.
	Limits map[string]*int `json:"limits" example:"tenants:50"`
} //@name ChangeUser

// Domain returns what is to be changed.
func (r *ChangeUser) Domain() domain.UserChange {
	return domain.UserChange{Name: r.Name, Email: r.Email, Password: r.Password, Role: r.Role, TenantID: r.TenantID.text, Disabled: r.Disabled, Limits: r.Limits}
}

// User is a user as callers see it; there is no password in it.
type User struct {
	ID    string `json:"id" validate:"required" format:"uuid" example:"0197a3a2-0000-7000-8000-000000000001"`
	Name  string `json:"name" validate:"required" example:"Ada Lovelace"`
	Email string `json:"email" validate:"required" example:"ada@example.com"`
	Role  string `json:"role" validate:"required" enums:"viewer,member,admin" example:"member"`
	// TenantID is the tenant the user belongs to; null for none.
	TenantID  *string   `json:"tenant_id" validate:"required" format:"uuid" extensions:"x-nullable" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	CreatedAt time.Time `json:"created_at" validate:"required" format:"date-time" example:"2026-11-21T10:00:00Z"`
	// Disabled says whether the user is shut out, and DisabledAt since when; null while
	// it is not.
	Disabled   bool       `json:"disabled" validate:"required" example:"false"`
	DisabledAt *time.Time `json:"disabled_at" validate:"required" format:"date-time" extensions:"x-nullable" example:"2026-11-22T10:00:00Z"`
	// Limits are those that are set for the user; for others those of the
	// configuration hold.
	Limits map[string]int `json:"limits" validate:"required" example:"tenants:50"`
} //@name User

// FromUser returns a user as callers see it.
func FromUser(u *domain.User) User {
	user := User{
		ID: u.ID.String(), Name: u.Name, Email: u.Email, Role: string(u.Role),
		TenantID: optionalID(u.TenantID), CreatedAt: u.CreatedAt.UTC(), Limits: make(map[string]int),
	}
	for _, name := range domain.LimitNames() {
		if n := *u.Limits.Field(name); n != nil {
			user.Limits[name] = *n
		}
	}
	if u.Disabled() {
		user.Disabled, user.DisabledAt = true, optionalTime(u.DisabledAt)
	}
	return user
}

// UserPage is a page of users.
type UserPage struct {
	Data []User `json:"data" validate:"required"`
	// NextCursor begins the next page; "" at the end.
	NextCursor string `json:"next_cursor" validate:"required" example:""`
	// LastCursor says where to go on later.
	LastCursor string `json:"last_cursor" validate:"required" example:"0197a3a2-0000-7000-8000-000000000001"`
} //@name UserPage

// FromUsers returns a page of users; sent is the cursor of the request.
func FromUsers(users []domain.User, more bool, sent string) UserPage {
	page := UserPage{Data: make([]User, len(users))}
	for i := range users {
		page.Data[i] = FromUser(&users[i])
	}
	last := ""
	if n := len(users); n > 0 {
		last = page.Data[n-1].ID
	}
	page.NextCursor, page.LastCursor = cursors(last, more, sent)
	return page
}
