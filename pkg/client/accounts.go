package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// Me is who the caller is.
type Me struct {
	// User is nil for the built-in admin of open mode, and for a portal link.
	User *User  `json:"user"`
	Role string `json:"role"`
	// TenantID is the tenant that the caller belongs to; nil for none.
	TenantID *string `json:"tenant_id"`
	// Portal is the portal link that the caller came with; nil without one.
	Portal *MyPortalLink `json:"portal,omitempty"`
	// Limits are what the tenants that the caller has created may have; 0 is any number.
	Limits map[string]int `json:"limits"`
	// Used is what they have.
	Used struct {
		Tenants           int `json:"tenants"`
		TenantsLastMinute int `json:"tenants_last_minute"`
		Workers           int `json:"workers"`
	} `json:"used"`
}

// MyPortalLink is the portal link that a caller came with.
type MyPortalLink struct {
	ID       string `json:"id"`
	TenantID string `json:"tenant_id"`
	// Scopes are what may be done with it.
	Scopes    []string  `json:"scopes"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Health is how the service is.
type Health struct {
	// Status is ready, degraded, or what stands in the way.
	Status string `json:"status"`
	// Details has the state of each server that the service needs.
	Details map[string]string `json:"details"`
}

// ready asks for the health once: whoever asks wants to know how it is now.
func ready(ctx context.Context, c *caller) (*Health, error) {
	h := new(Health)
	got, err := c.exchange(ctx, &call{method: http.MethodGet, path: "/readyz", outside: true, anonymous: true, again: never}, h)
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusServiceUnavailable && json.Unmarshal(got.body, h) == nil && h.Status != "" {
		e.Detail = "the service is " + h.Status
		return h, err
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}

// UsageDay is what one tenant stored on one day.
type UsageDay struct {
	TenantID string `json:"tenant_id"`
	// Day is a day in UTC, as 2006-01-02.
	Day      string `json:"day"`
	Messages int64  `json:"messages"`
	// Bytes are those of the payloads as text.
	Bytes int64 `json:"bytes"`
}

// UsageOptions says which days; the zero value is for the last 30 of all tenants.
type UsageOptions struct {
	// From and To are the first and the last day, as 2006-01-02.
	From, To string
	TenantID string
	Cursor   string
	PageSize int
}

func (o *UsageOptions) query() url.Values {
	q := listing(o.Cursor, o.PageSize)
	set(q, "from", o.From)
	set(q, "to", o.To)
	set(q, "tenant_id", o.TenantID)
	return q
}

// AuditEntry is something that somebody changed.
type AuditEntry struct {
	ID    string     `json:"id"`
	At    time.Time  `json:"at"`
	Actor AuditActor `json:"actor"`
	// Action says what was done, as "tenant.workers".
	Action string `json:"action"`
	// TenantID is the tenant that it is about; nil for none.
	TenantID *string `json:"tenant_id"`
	// Target is what was changed, other than the tenant itself.
	Target    string `json:"target,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	// Before and After are what differs.
	Before map[string]any `json:"before,omitempty"`
	After  map[string]any `json:"after,omitempty"`
}

// AuditActor is who did it.
type AuditActor struct {
	// Kind is user, key, portal, open, command or anonymous.
	Kind   string  `json:"kind"`
	UserID *string `json:"user_id"`
	KeyID  *string `json:"key_id,omitempty"`
	// PortalLinkID is the portal link with which it was done.
	PortalLinkID *string `json:"portal_link_id,omitempty"`
	Address      string  `json:"address,omitempty"`
}

// AuditOptions says which entries; the zero value is for all.
type AuditOptions struct {
	// TenantID is for what is about this tenant, deleted ones included.
	TenantID string
	// Actor is the id of a user.
	Actor string
	// Action is one, or, with a dot at its end, all that begin with it.
	Action   string
	Cursor   string
	PageSize int
}

func (o *AuditOptions) query() url.Values {
	q := listing(o.Cursor, o.PageSize)
	set(q, "tenant_id", o.TenantID)
	set(q, "actor", o.Actor)
	set(q, "action", o.Action)
	return q
}
