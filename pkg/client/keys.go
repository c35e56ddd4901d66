package client

import (
	"context"
	"net/http"
	"time"
)

// Scopes of API keys.
const (
	ScopePublish   = "publish"
	ScopeRead      = "read"
	ScopeManage    = "manage"
	ScopeProvision = "provision" // for keys that are for all tenants of their owner
)

// APIKey lets a machine call.
type APIKey struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// TenantID is the tenant that it is for; nil for all of its owner.
	TenantID *string `json:"tenant_id"`
	// UserID is the owner, with whom it ends; nil for the built-in admin of open mode.
	UserID *string  `json:"user_id"`
	Scopes []string `json:"scopes"`
	// Key is what to call with. It is there only in the answer to Create.
	Key string `json:"key,omitempty"`
	// ExpiresAt is nil for never.
	ExpiresAt *time.Time `json:"expires_at"`
	// LastUsedAt is to the minute; nil for never.
	LastUsedAt *time.Time `json:"last_used_at"`
	CreatedAt  time.Time  `json:"created_at"`
}

// CreateAPIKey is a key to be made.
type CreateAPIKey struct {
	Name   string   `json:"name"`
	Scopes []string `json:"scopes"`
	// ExpiresAt is nil for never.
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// Keys manages API keys: those of a tenant, or those that are for all tenants of their
// owner. An API key cannot do that, only a user.
type Keys struct {
	scope    *scope
	ofTenant bool
}

func (k *Keys) path(segments ...string) (string, error) {
	segments = append([]string{"api-keys"}, segments...)
	if !k.ofTenant {
		return join(segments...), nil
	}
	return k.scope.path(segments...)
}

// Create makes a key. Its Key is not shown again.
func (k *Keys) Create(ctx context.Context, n CreateAPIKey) (*APIKey, error) {
	path, err := k.path()
	if err != nil {
		return nil, err
	}
	return fetch[APIKey](ctx, k.scope.api, &call{method: http.MethodPost, path: path, body: n})
}

// List returns all keys.
func (k *Keys) List(ctx context.Context) ([]APIKey, error) {
	path, err := k.path()
	if err != nil {
		return nil, err
	}
	return list[APIKey](ctx, k.scope.api, path)
}

// Revoke ends a key.
func (k *Keys) Revoke(ctx context.Context, id string) error {
	path, err := k.path(id)
	if err != nil {
		return err
	}
	return k.scope.api.do(ctx, &call{method: http.MethodDelete, path: path, again: always}, nil)
}

// list returns a list that has no pages.
func list[T any](ctx context.Context, c *caller, path string) ([]T, error) {
	return listOf[T](ctx, c, &call{method: http.MethodGet, path: path, again: always})
}

// listOf is list of what a call answers.
func listOf[T any](ctx context.Context, c *caller, r *call) ([]T, error) {
	p, err := fetch[page[T]](ctx, c, r)
	if err != nil {
		return nil, err
	}
	return p.Data, nil
}
