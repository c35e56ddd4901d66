package controller

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/model"
)

var linkID = uuid.MustParse("0197a3a2-7d2c-7c3e-8f7e-0242ac12000b")

// fakeLinks answers with one link, and records what it was called with.
type fakeLinks struct{ *fakeServices }

func (f fakeLinks) Create(_ context.Context, p domain.Principal, tenantID uuid.UUID, n domain.NewPortalLink) (domain.PortalLink, string, error) {
	if err := f.record(func() { f.keyTenant = tenantID }); err != nil {
		return domain.PortalLink{}, "", err
	}
	tenant := someTenant()
	link, err := n.Build(p, &tenant, someTime)
	link.ID = linkID
	return link, "lkp_a.b.c", err
}

func (f fakeLinks) Revoke(_ context.Context, _ domain.Principal, tenantID uuid.UUID) error {
	return f.record(func() { f.keyTenant = tenantID })
}

func TestPortalLinks(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(o *Options) { o.PublicURL = "https://messages.example.com" })
	path := "/api/tenants/" + tenantID.String() + "/portal-links"
	for body, want := range map[string]model.PortalLink{
		"":   {Scopes: []string{"read"}, ExpiresAt: someTime.Add(time.Hour)},
		"{}": {Scopes: []string{"read"}, ExpiresAt: someTime.Add(time.Hour)},
		`{"ttl":"90s","scopes":["manage","read"]}`: {Scopes: []string{"read", "manage"}, ExpiresAt: someTime.Add(90 * time.Second)},
	} {
		got := a.do("POST", path, body, "Authorization: member")
		require.Equal(t, http.StatusCreated, got.status, got.body)
		want.ID, want.TenantID, want.Token = linkID.String(), tenantID.String(), "lkp_a.b.c"
		want.URL = "https://messages.example.com/console/#portal=lkp_a.b.c"
		require.Equal(t, want, decodeReply[model.PortalLink](t, got))
		require.Equal(t, tenantID, a.fakes.keyTenant)
	}
	for body, pointer := range map[string]string{
		`{"ttl":"2s"}`: "/ttl", `{"ttl":3600}`: "/ttl", `{"scopes":"read"}`: "/scopes", `{"scopes":["write"]}`: "/scopes/0", `{"scopes":null}`: "/scopes", `{"scopes":[1]}`: "/scopes", `{"scope":["read"]}`: "/scope",
	} {
		p := a.problem(a.do("POST", path, body, "Authorization: member"), http.StatusUnprocessableEntity, "invalid_fields")
		require.Equal(t, pointer, p.Errors[0].Pointer, body)
	}
	a.problem(a.do("POST", "/api/tenants/x/portal-links", "{}"), http.StatusBadRequest, "invalid_id")
	a.problem(a.do("DELETE", "/api/tenants/x/portal-links", ""), http.StatusBadRequest, "invalid_id")
	require.Equal(t, http.StatusNoContent, a.do("DELETE", path, "").status)

	relative := newAPI(t)
	link := decodeReply[model.PortalLink](t, relative.do("POST", path, "{}", "Authorization: member"))
	require.Equal(t, "/console/#portal=lkp_a.b.c", link.URL, "where it is not known how browsers reach the service")
}

// To a portal link /me says what it is for, and nothing of whoever made it.
func TestMeByPortalLink(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for token, role := range map[string]string{"link-read": "viewer", "link-manage": "member"} {
		got := a.do("GET", "/api/me", "", "Authorization: "+token)
		require.JSONEq(t, `{"user":null,"role":"`+role+`","tenant_id":"`+tenantID.String()+`","limits":{},"used":{"tenants":0,"tenants_last_minute":0,"workers":0},
			"portal":{"id":"`+linkID.String()+`","tenant_id":"`+tenantID.String()+`","scopes":["`+token[5:]+`"],"expires_at":"2026-11-21T10:00:00Z"}}`, got.body)
	}
	require.Zero(t, a.fakes.called())
	require.Contains(t, a.logs.String(), `"portal_link_id":"`+linkID.String()+`"`)
}

func TestBranding(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	require.JSONEq(t, `{"name":"","color":"","logo":""}`, a.do("GET", "/api/portal", "", "Authorization:").body)
	a = newAPI(t, func(o *Options) {
		o.Branding = model.Branding{Name: "Acme", Color: "#0a66c2", Logo: "data:image/png;base64,AA=="}
	})
	require.JSONEq(t, `{"name":"Acme","color":"#0a66c2","logo":"data:image/png;base64,AA=="}`, a.do("GET", "/portal", "", "Authorization:").body)
}
