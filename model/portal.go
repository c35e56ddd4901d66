package model

import (
	"encoding/json"
	"time"

	"lanekeeper/domain"
)

// Branding is how the console looks to who came with a portal link.
type Branding struct {
	// Name is that of the product; "" for none.
	Name string `json:"name" validate:"required" example:"Acme Cloud"`
	// Color is the accent, as #rrggbb; "" for the console's own.
	Color string `json:"color" validate:"required" example:"#0a66c2"`
	// Logo is an image as a `data:` URL; "" for none.
	Logo string `json:"logo" validate:"required" example:"data:image/png;base64,iVBORw0KGgo="`
} //@name Branding

// CreatePortalLink is the body of POST /tenants/{id}/portal-links.
type CreatePortalLink struct {
	// TTL is for how long the link lasts, from 1m to 24h.
	TTL *string `json:"ttl" default:"1h" example:"1h"`
	// Scopes are what may be done with it: read, and publish and manage, as far as the
	// caller has them itself. Read alone unless given.
	Scopes json.RawMessage `json:"scopes" swaggertype:"array,string" enums:"read,publish,manage" example:"read"`
} //@name CreatePortalLink

// Domain returns what is wanted, or an ErrInvalid.
func (r *CreatePortalLink) Domain() (domain.NewPortalLink, error) {
	const pointer, expected = "/scopes", "must be a list of text"
	var f fieldReader
	wanted := domain.NewPortalLink{TTL: r.TTL}
	if string(r.Scopes) == "null" {
		f.wrong(pointer, expected)
	} else if scopes := readField[[]string](&f, pointer, r.Scopes, expected); scopes.Value != nil {
		wanted.Scopes = *scopes.Value
	}
	return wanted, f.err()
}

// PortalLink is a link to the pages of one tenant.
type PortalLink struct {
	// ID names the link in the audit log and in the log of the service.
	ID       string `json:"id" validate:"required" format:"uuid" example:"0197a3a2-0000-7000-8000-00000000000b"`
	TenantID string `json:"tenant_id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	// URL is what to put into an iframe, or to open. The token in it is in the fragment,
	// which browsers send to no server. It is in this answer only.
	URL string `json:"url" validate:"required" example:"https://messages.example.com/console/#portal=lkp_eyJhbGciOiJIUzI1NiJ9.e30.c2ln"`
	// Token is the same that the URL has, for pages of your own that call the API.
	Token     string    `json:"token" validate:"required" example:"lkp_eyJhbGciOiJIUzI1NiJ9.e30.c2ln"`
	Scopes    []string  `json:"scopes" validate:"required" enums:"read,publish,manage" example:"read"`
	ExpiresAt time.Time `json:"expires_at" validate:"required" format:"date-time" example:"2026-11-30T11:00:00Z"`
} //@name PortalLink

// FromPortalLink returns a link. URL is that of the service, without a path.
func FromPortalLink(l *domain.PortalLink, url, token string) PortalLink {
	return PortalLink{
		ID: l.ID.String(), TenantID: l.TenantID.String(), URL: url + "/console/#portal=" + token, Token: token,
		Scopes: l.Scopes.Names(), ExpiresAt: l.ExpiresAt,
	}
}

// MyPortalLink is the portal link that a caller came with.
type MyPortalLink struct {
	ID       string `json:"id" validate:"required" format:"uuid" example:"0197a3a2-0000-7000-8000-00000000000b"`
	TenantID string `json:"tenant_id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	// Scopes are what may be done with it now.
	Scopes    []string  `json:"scopes" validate:"required" enums:"read,publish,manage" example:"read"`
	ExpiresAt time.Time `json:"expires_at" validate:"required" format:"date-time" example:"2026-11-30T11:00:00Z"`
} //@name MyPortalLink

// FromLinkHolder returns who calls with a portal link: a viewer, or with more scopes than
// read a member, of its tenant. It says nothing of whoever made the link.
func FromLinkHolder(p domain.Principal) Me {
	me := Me{
		Role: string(domain.RoleViewer), TenantID: optionalID(p.KeyTenant), Limits: make(map[string]int),
		Portal: &MyPortalLink{ID: p.LinkID.String(), TenantID: p.KeyTenant.String(), Scopes: p.Scopes.Names(), ExpiresAt: p.ExpiresAt},
	}
	if p.Scopes != domain.ScopeRead {
		me.Role = string(domain.RoleMember)
	}
	return me
}
