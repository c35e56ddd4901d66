package apptest

import (
	"net/http"
	"time"
)

// PortalLink is a portal link as the API shows it.
type PortalLink struct {
	ID        string    `json:"id"`
	TenantID  string    `json:"tenant_id"`
	URL       string    `json:"url"`
	Token     string    `json:"token"`
	Scopes    []string  `json:"scopes"`
	ExpiresAt time.Time `json:"expires_at"`
}

// PortalLink makes a portal link for the tenant; without scopes it reads.
func (c *Client) PortalLink(tenant string, scopes ...string) PortalLink {
	c.t.Helper()
	body := make(map[string]any)
	if len(scopes) > 0 {
		body["scopes"] = scopes
	}
	var link PortalLink
	c.Want(http.StatusCreated, &link, "POST", "/api/tenants/"+tenant+"/portal-links", body)
	return link
}
