package client

import (
	"context"
	"net/http"
	"time"
)

// CreatePortalLink is a portal link to be made; the zero value is one that reads, for an
// hour.
type CreatePortalLink struct {
	// TTL is for how long it lasts, from a minute to a day; 0 for an hour.
	TTL time.Duration
	// Scopes are ScopeRead and, where the caller has them, ScopePublish and ScopeManage.
	Scopes []string
}

// PortalLink opens the pages of one tenant in a browser.
type PortalLink struct {
	// ID names it in the audit log.
	ID       string `json:"id"`
	TenantID string `json:"tenant_id"`
	// URL is what to put into an iframe, or to open. It has the token, and is as secret.
	URL       string    `json:"url"`
	Token     string    `json:"token"`
	Scopes    []string  `json:"scopes"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Portal makes and ends portal links of the client's tenant.
type Portal struct{ scope *scope }

// CreateLink makes a portal link. Links are kept nowhere: make one when a page is opened.
func (p *Portal) CreateLink(ctx context.Context, n CreatePortalLink) (*PortalLink, error) {
	path, err := p.scope.path("portal-links")
	if err != nil {
		return nil, err
	}
	body := struct {
		TTL    string   `json:"ttl,omitempty"`
		Scopes []string `json:"scopes,omitempty"`
	}{Scopes: n.Scopes}
	if n.TTL != 0 {
		body.TTL = n.TTL.String()
	}
	return fetch[PortalLink](ctx, p.scope.api, &call{method: http.MethodPost, path: path, body: body, again: always})
}

// RevokeLinks ends all portal links of the tenant that were made until now.
func (p *Portal) RevokeLinks(ctx context.Context) error {
	path, err := p.scope.path("portal-links")
	if err != nil {
		return err
	}
	return p.scope.api.do(ctx, &call{method: http.MethodDelete, path: path, again: always}, nil)
}

// Branding is how the console looks to who came with a portal link. Each may be "".
type Branding struct {
	Name  string `json:"name"`
	Color string `json:"color"` // as #rrggbb
	Logo  string `json:"logo"`  // a data: URL
}

// Branding returns how the service is configured to look. It needs no token.
func (p *Portal) Branding(ctx context.Context) (*Branding, error) {
	return fetch[Branding](ctx, p.scope.api, &call{method: http.MethodGet, path: "/portal", anonymous: true, again: always})
}
