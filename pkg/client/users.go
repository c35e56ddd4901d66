package client

import (
	"context"
	"iter"
	"net/http"
	"time"
)

// Roles of users.
const (
	RoleViewer = "viewer"
	RoleMember = "member"
	RoleAdmin  = "admin"
)

// User is somebody who can log in.
type User struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
	Role  string `json:"role"`
	// TenantID is the tenant that the user belongs to; nil for none.
	TenantID   *string    `json:"tenant_id"`
	Disabled   bool       `json:"disabled"`
	DisabledAt *time.Time `json:"disabled_at"`
	// Limits are those that are set for the user alone.
	Limits    map[string]int `json:"limits"`
	CreatedAt time.Time      `json:"created_at"`
}

// CreateUser is a user to be made.
type CreateUser struct {
	Name     string `json:"name"`
	Email    string `json:"email"`
	Password string `json:"password"`
	// Role is member when it is left out.
	Role     string `json:"role,omitempty"`
	TenantID string `json:"tenant_id,omitempty"`
}

// ChangeUser is what is to change; nil leaves a field as it is.
type ChangeUser struct {
	Name     *string `json:"name,omitempty"`
	Email    *string `json:"email,omitempty"`
	Password *string `json:"password,omitempty"`
	Role     *string `json:"role,omitempty"`
	// TenantID is "" for none.
	TenantID *string `json:"tenant_id,omitempty"`
	Disabled *bool   `json:"disabled,omitempty"`
	// Limits: 0 for any number, nil for as everybody.
	Limits map[string]*int `json:"limits,omitempty"`
}

// Users manages users, for admins.
type Users struct{ api *caller }

// Create makes a user.
func (u *Users) Create(ctx context.Context, n CreateUser) (*User, error) {
	return fetch[User](ctx, u.api, &call{method: http.MethodPost, path: "/users", body: n})
}

// List yields all users.
func (u *Users) List(ctx context.Context) iter.Seq2[User, error] {
	return pages[User](ctx, u.api, &call{path: "/users"})
}

// Get returns a user.
func (u *Users) Get(ctx context.Context, id string) (*User, error) {
	return fetch[User](ctx, u.api, &call{method: http.MethodGet, path: join("users", id), again: always})
}

// Change changes a user and returns what it is then.
func (u *Users) Change(ctx context.Context, id string, change ChangeUser) (*User, error) {
	return fetch[User](ctx, u.api, &call{method: http.MethodPatch, path: join("users", id), body: change, again: always})
}

// Delete deletes a user. The tenants that it created stay.
func (u *Users) Delete(ctx context.Context, id string) error {
	return u.api.do(ctx, &call{method: http.MethodDelete, path: join("users", id), again: always}, nil)
}
