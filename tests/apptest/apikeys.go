package apptest

import (
	"net/http"
	"time"

	"github.com/stretchr/testify/require"
)

// APIKey is an API key as the service answers it.
type APIKey struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	TenantID   *string    `json:"tenant_id"`
	UserID     *string    `json:"user_id"`
	Scopes     []string   `json:"scopes"`
	Key        string     `json:"key"`
	ExpiresAt  *time.Time `json:"expires_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
}

// Path is where the key is revoked.
func (k *APIKey) Path() string {
	if k.TenantID == nil {
		return APIKeysPath("") + "/" + k.ID
	}
	return APIKeysPath(*k.TenantID) + "/" + k.ID
}

// APIKeysPath is where the keys of a tenant are, or for "" those of the caller.
func APIKeysPath(tenant string) string {
	if tenant == "" {
		return "/api/api-keys"
	}
	return "/api/tenants/" + tenant + "/api-keys"
}

// CreateAPIKey makes a key of a tenant, or for "" one of the caller's.
func (c *Client) CreateAPIKey(tenant string, scopes ...string) APIKey {
	c.t.Helper()
	return c.CreateAPIKeyWith(tenant, map[string]any{"name": "a test", "scopes": scopes})
}

// CreateAPIKeyWith is CreateAPIKey with a body.
func (c *Client) CreateAPIKeyWith(tenant string, body any) APIKey {
	c.t.Helper()
	var key APIKey
	c.Want(http.StatusCreated, &key, "POST", APIKeysPath(tenant), body)
	require.Regexp(c.t, `^lk_[0-9a-f]{32}_[0-9a-f]{72}$`, key.Key)
	return key
}

// APIKeys lists the keys of a tenant, or for "" the caller's.
func (c *Client) APIKeys(tenant string) []APIKey {
	c.t.Helper()
	var list struct {
		Data []APIKey `json:"data"`
	}
	c.Want(http.StatusOK, &list, "GET", APIKeysPath(tenant), nil)
	require.NotNil(c.t, list.Data)
	return list.Data
}

// By returns a client that calls with a key.
func (c *Client) By(key *APIKey) *Client { return c.As("Bearer " + key.Key) }
