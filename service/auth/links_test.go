package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// ChangeTenant makes memory a linkTenants.
func (m *memory) ChangeTenant(_ context.Context, id uuid.UUID, change func(*domain.Tenant) error) (domain.Tenant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.tenants[id]
	if !ok {
		return domain.Tenant{}, domain.TenantNotFound()
	}
	if err := change(&t); err != nil {
		return domain.Tenant{}, err
	}
	m.tenants[id] = t
	return t, m.err
}

// linkBench is a keyBench with portal links.
type linkBench struct {
	*keyBench

	links   *Links
	audit   []domain.AuditEntry
	changed []domain.Tenant
}

func newLinkBench(t *testing.T, change ...func(*Options)) *linkBench {
	t.Helper()
	b := &linkBench{keyBench: newKeyBench(t, change...)}
	b.links = NewLinks(LinkOptions{
		Auth: b.Service, Tenants: b.mem, Changed: func(t domain.Tenant) { b.changed = append(b.changed, t) },
		Audit: func(_ context.Context, e domain.AuditEntry) { b.audit = append(b.audit, e) },
	})
	return b
}

// link makes a portal link for Acme, and returns its token.
func (b *linkBench) link(t *testing.T, p domain.Principal, scopes ...string) (domain.PortalLink, string) {
	t.Helper()
	link, token, err := b.links.Create(t.Context(), p, b.acme, domain.NewPortalLink{Scopes: scopes})
	require.NoError(t, err)
	return link, token
}

// ended requires a portal link to be refused as all that do not count are.
func (b *linkBench) ended(t *testing.T, token string, was domain.Principal, why string) {
	t.Helper()
	_, err := b.Authenticate(t.Context(), token)
	require.ErrorIs(t, err, domain.ErrUnauthenticated, why)
	require.Equal(t, "portal_invalid", domain.CodeOf(err), why)
	_, err = b.Recheck(t.Context(), was)
	require.ErrorIs(t, err, domain.ErrUnauthenticated, why)
	require.Equal(t, "portal_invalid", domain.CodeOf(err), why)
}

// A link is for its tenant and its scopes, and for nothing else of whoever made it.
func TestLink(t *testing.T) {
	t.Parallel()
	b := newLinkBench(t)
	root := b.addUser(t, "root@example.com", func(c *domain.UserChange) { c.Role = new("admin") })
	other := b.addOwned(b.ada.ID)
	link, token := b.link(t, principal(&root), "read", "publish")
	require.True(t, strings.HasPrefix(token, "lkp_"))
	require.Equal(t, b.clock.Now().Add(time.Hour), link.ExpiresAt)
	require.Equal(t, []domain.AuditEntry{{
		Action: domain.AuditLinkCreate, TenantID: b.acme, Target: link.ID.String(),
		After: domain.Facts{"scopes": []string{"publish", "read"}, "expires_at": "2026-11-21T11:00:00Z"},
	}}, b.audit)

	p := b.by(t, token)
	require.Equal(t, domain.Principal{
		UserID: root.ID, Role: domain.RoleAdmin, ExpiresAt: link.ExpiresAt, KeyTenant: b.acme,
		Scopes: domain.ScopeRead | domain.ScopePublish, LinkID: link.ID,
	}, p)
	require.False(t, p.IsAdmin())
	require.False(t, p.ByKey())
	require.Equal(t, b.acme, p.Home())
	require.True(t, p.MayAccess(b.tenant(b.acme)))
	require.False(t, p.MayAccess(b.tenant(other)))
	require.False(t, p.MayManage(b.tenant(other)))
	require.NoError(t, p.Permit(domain.RoleMember, domain.ScopePublish))
	require.Equal(t, "scope_insufficient", domain.CodeOf(p.Permit(domain.RoleMember, domain.ScopeManage)))
	require.Equal(t, "portal_not_accepted", domain.CodeOf(p.Permit(domain.RoleViewer, 0)))
	require.Equal(t, "portal_not_accepted", domain.CodeOf(p.Permit(domain.RoleMember, domain.ScopeProvision)))
	again, err := b.Recheck(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, p, again)

	_, _, err = b.links.Create(t.Context(), p, b.acme, domain.NewPortalLink{})
	require.Equal(t, "portal_not_accepted", domain.CodeOf(err))
	require.Equal(t, "portal_not_accepted", domain.CodeOf(b.links.Revoke(t.Context(), p, b.acme)))
	_, err = b.keys.List(t.Context(), p, b.acme)
	require.Equal(t, "portal_not_accepted", domain.CodeOf(err))

	b.clock.move(time.Hour - time.Second)
	_, err = b.Recheck(t.Context(), p)
	require.NoError(t, err)
	b.clock.move(time.Second + leeway)
	b.ended(t, token, p, "it has expired")
}

// Nobody hands on what they have not.
func TestScopesOfLinks(t *testing.T) {
	t.Parallel()
	b := newLinkBench(t)
	bob := b.addUser(t, "bob@example.com")
	member := b.addUser(t, "member@example.com", func(c *domain.UserChange) { c.TenantID = new(b.acme.String()) })
	viewer := b.addUser(t, "viewer@example.com", func(c *domain.UserChange) {
		c.TenantID, c.Role = new(b.acme.String()), new("viewer")
	})
	_, reads := b.issue(t, principal(&b.ada), b.acme, "read")
	_, manages := b.issue(t, principal(&b.ada), uuid.Nil, "read", "manage", "provision")
	for name, tc := range map[string]struct {
		p    domain.Principal
		said domain.NewPortalLink
		has  domain.Scopes
		not  []string
	}{
		"nothing said":       {principal(&b.ada), domain.NewPortalLink{}, domain.ScopeRead, nil},
		"all":                {principal(&b.ada), domain.NewPortalLink{Scopes: []string{"read", "publish", "manage"}}, domain.ScopeRead | domain.ScopePublish | domain.ScopeManage, nil},
		"provision":          {principal(&b.ada), domain.NewPortalLink{Scopes: []string{"read", "provision"}}, 0, []string{"/scopes/1"}},
		"none":               {principal(&b.ada), domain.NewPortalLink{Scopes: []string{}}, 0, []string{"/scopes"}},
		"nonsense":           {principal(&b.ada), domain.NewPortalLink{Scopes: []string{"read", "Manage"}}, 0, []string{"/scopes/1"}},
		"without read":       {principal(&b.ada), domain.NewPortalLink{Scopes: []string{"publish"}}, 0, []string{"/scopes"}},
		"member":             {principal(&member), domain.NewPortalLink{Scopes: []string{"read", "publish"}}, domain.ScopeRead | domain.ScopePublish, nil},
		"member who manages": {principal(&member), domain.NewPortalLink{Scopes: []string{"read", "manage"}}, 0, []string{"/scopes/1"}},
		"viewer":             {principal(&viewer), domain.NewPortalLink{}, domain.ScopeRead, nil},
		"viewer, more":       {principal(&viewer), domain.NewPortalLink{Scopes: []string{"read", "publish", "manage"}}, 0, []string{"/scopes/1", "/scopes/2"}},
		"key":                {b.by(t, reads), domain.NewPortalLink{}, domain.ScopeRead, nil},
		"key, more":          {b.by(t, reads), domain.NewPortalLink{Scopes: []string{"read", "publish", "manage"}}, 0, []string{"/scopes/1", "/scopes/2"}},
		"key of an owner":    {b.by(t, manages), domain.NewPortalLink{Scopes: []string{"read", "manage"}}, domain.ScopeRead | domain.ScopeManage, nil},
		"too short":          {principal(&b.ada), domain.NewPortalLink{TTL: new("59s")}, 0, []string{"/ttl"}},
		"too long":           {principal(&b.ada), domain.NewPortalLink{TTL: new("24h1s")}, 0, []string{"/ttl"}},
		"no duration":        {principal(&b.ada), domain.NewPortalLink{TTL: new("3600"), Scopes: []string{"x"}}, 0, []string{"/ttl", "/scopes/0"}},
	} {
		link, token, err := b.links.Create(t.Context(), tc.p, b.acme, tc.said)
		if tc.not != nil {
			require.Equal(t, tc.not, pointers(t, err), name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, tc.has, link.Scopes, name)
		require.Equal(t, tc.has, b.by(t, token).Scopes, name)
	}
	_, _, err := b.links.Create(t.Context(), principal(&bob), b.acme, domain.NewPortalLink{})
	require.Equal(t, "tenant_not_found", domain.CodeOf(err))
	require.Equal(t, "forbidden", domain.CodeOf(b.links.Revoke(t.Context(), principal(&member), b.acme)))
}

// What ends a link, and what makes it narrower.
func TestEndsOfLinks(t *testing.T) {
	t.Parallel()
	deleted := func(id uuid.UUID) domain.Tenant { return domain.Tenant{ID: id, Status: domain.TenantDeleting} }
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, b *linkBench, key domain.APIKey)
		// byUser and byKey: links that were made with a token, or with a key, end.
		byUser, byKey bool
	}{
		"nothing happened": {func(*testing.T, *linkBench, domain.APIKey) {}, false, false},
		"revoked": {func(t *testing.T, b *linkBench, _ domain.APIKey) {
			t.Helper()
			require.NoError(t, b.links.Revoke(t.Context(), principal(&b.ada), b.acme))
			require.Equal(t, 1, b.changed[0].PortalVersion)
			_, token := b.link(t, principal(&b.ada))
			b.by(t, token) // one that was made later counts
		}, true, true},
		"tenant deleted": {func(_ *testing.T, b *linkBench, _ domain.APIKey) {
			b.mem.set(func() { b.mem.tenants[b.acme] = deleted(b.acme) })
		}, true, true},
		"another's tenant": {func(_ *testing.T, b *linkBench, _ domain.APIKey) {
			b.mem.set(func() {
				b.mem.tenants[b.acme] = domain.Tenant{ID: b.acme, Status: domain.TenantActive, OwnerID: uuid.New()}
			})
		}, true, true},
		"logged out": {func(t *testing.T, b *linkBench, _ domain.APIKey) {
			t.Helper()
			require.NoError(t, b.Logout(t.Context(), principal(&b.ada)))
		}, true, false},
		"another role": {func(t *testing.T, b *linkBench, _ domain.APIKey) {
			t.Helper()
			_, err := b.ChangeUser(t.Context(), domain.Principal{Role: domain.RoleAdmin}, b.ada.ID, domain.UserChange{Role: new("viewer")})
			require.NoError(t, err)
		}, true, false},
		"disabled by SQL": {func(_ *testing.T, b *linkBench, _ domain.APIKey) {
			b.changeUser(b.ada.ID, func(u *domain.User) { u.DisabledAt = b.clock.Now() })
		}, true, true},
		"user deleted": {func(t *testing.T, b *linkBench, _ domain.APIKey) {
			t.Helper()
			require.NoError(t, b.DeleteUser(t.Context(), domain.Principal{Role: domain.RoleAdmin}, b.ada.ID))
		}, true, true},
		"key revoked": {func(t *testing.T, b *linkBench, key domain.APIKey) {
			t.Helper()
			require.NoError(t, b.keys.Revoke(t.Context(), principal(&b.ada), uuid.Nil, key.ID))
		}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newLinkBench(t)
			key, text := b.issue(t, principal(&b.ada), uuid.Nil, "read", "manage")
			_, ofUser := b.link(t, principal(&b.ada), "read", "manage")
			_, ofKey := b.link(t, b.by(t, text), "read", "manage")
			users, keys := b.by(t, ofUser), b.by(t, ofKey)
			require.Equal(t, key.ID, keys.KeyID)
			tc.spoil(t, b, key)
			for _, link := range []struct {
				token string
				was   domain.Principal
				ends  bool
			}{{ofUser, users, tc.byUser}, {ofKey, keys, tc.byKey}} {
				if link.ends {
					b.ended(t, link.token, link.was, name)
					continue
				}
				b.by(t, link.token)
				_, err := b.Recheck(t.Context(), link.was)
				require.NoError(t, err)
			}
		})
	}
}

// A link becomes narrower with whoever made it, where that does not end it.
func TestLinksNarrow(t *testing.T) {
	t.Parallel()
	b := newLinkBench(t)
	_, text := b.issue(t, principal(&b.ada), b.acme, "read", "publish", "manage")
	_, token := b.link(t, b.by(t, text), "read", "publish", "manage")
	was := b.by(t, token)
	require.Equal(t, domain.ScopeRead|domain.ScopePublish|domain.ScopeManage, was.Scopes)
	b.changeUser(b.ada.ID, func(u *domain.User) { u.Role = domain.RoleViewer })
	require.Equal(t, domain.ScopeRead, b.by(t, token).Scopes)
	now, err := b.Recheck(t.Context(), was)
	require.NoError(t, err)
	require.Equal(t, domain.ScopeRead, now.Scopes)
}

// A link does not outlive the key that made it.
func TestLinkOfAKeyThatExpires(t *testing.T) {
	t.Parallel()
	b := newLinkBench(t)
	_, text, err := b.keys.Create(t.Context(), principal(&b.ada), b.acme, domain.NewAPIKey{Name: new("x"), Scopes: []string{"read"}, ExpiresAt: new("2026-11-21T10:30:00Z")})
	require.NoError(t, err)
	link, token := b.link(t, b.by(t, text))
	require.Equal(t, b.clock.Now().Add(30*time.Minute), link.ExpiresAt)
	p := b.by(t, token)
	b.clock.move(30 * time.Minute)
	b.ended(t, token, p, "without a leeway, as the key")
}

// The built-in admin makes links, which count as long as there is open mode.
func TestLinksInOpenMode(t *testing.T) {
	t.Parallel()
	b := newLinkBench(t, func(o *Options) { o.OpenMode = true })
	_, token := b.link(t, domain.Principal{Role: domain.RoleAdmin}, "read", "manage")
	p := b.by(t, token)
	require.Equal(t, uuid.Nil, p.UserID)
	require.True(t, p.MayManage(b.tenant(b.acme)))
	require.False(t, p.MayAccess(b.tenant(b.addTenant())))
	require.False(t, p.IsAdmin())
	closed := newBench(t, func(o *Options) { o.Users, o.Tenants, o.Now = b.mem, b.mem, b.clock.Now })
	_, err := closed.Authenticate(t.Context(), token)
	require.Equal(t, "portal_invalid", domain.CodeOf(err))
}

// A link is no token of its maker, and a token is no link: neither with another prefix,
// nor with another content, nor signed by others.
func TestForgedLinks(t *testing.T) {
	t.Parallel()
	b := newLinkBench(t)
	_, link := b.link(t, principal(&b.ada), "read")
	grant, err := b.IssueFor(t.Context(), b.ada.Email)
	require.NoError(t, err)
	_, err = b.Authenticate(t.Context(), strings.TrimPrefix(link, linkPrefix))
	require.Equal(t, "token_invalid", domain.CodeOf(err), "the token of a link is none of its maker")
	_, err = b.Authenticate(t.Context(), linkPrefix+grant.Token)
	require.Equal(t, "portal_invalid", domain.CodeOf(err))

	parts := strings.Split(strings.TrimPrefix(link, linkPrefix), ".")
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	var content map[string]any
	require.NoError(t, json.Unmarshal(text, &content))
	content["scope"] = "read publish manage"
	text, err = json.Marshal(content)
	require.NoError(t, err)
	for name, token := range map[string]string{
		"more scopes":     linkPrefix + parts[0] + "." + base64.RawURLEncoding.EncodeToString(text) + "." + parts[2],
		"no signature":    linkPrefix + parts[0] + "." + parts[1] + ".",
		"nothing":         linkPrefix,
		"too long":        linkPrefix + strings.Repeat("a", maxTokenLength+1),
		"another's token": linkOf(t, secretB, b),
	} {
		_, err := b.Authenticate(t.Context(), token)
		require.ErrorIs(t, err, domain.ErrUnauthenticated, name)
		require.Equal(t, "portal_invalid", domain.CodeOf(err), name)
	}
	for name, change := range map[string]func(*linkClaims){
		"no id":           func(c *linkClaims) { c.ID = "" },
		"no tenant":       func(c *linkClaims) { c.TenantID = "" },
		"no subject":      func(c *linkClaims) { c.Subject = "" },
		"no key":          func(c *linkClaims) { c.KeyID = "x" },
		"no version":      func(c *linkClaims) { c.Links = nil },
		"another version": func(c *linkClaims) { c.Links = new(1) },
		"for all":         func(c *linkClaims) { c.Audience[0] = "lanekeeper" },
	} {
		good := linkClaims{TenantID: b.acme.String(), Scope: "read", Links: new(0)}
		good.Issuer, good.Subject, good.ID, good.Audience = "lanekeeper", b.ada.ID.String(), uuid.NewString(), []string{linkAudience("lanekeeper")}
		good.ExpiresAt = jwt.NewNumericDate(b.clock.Now().Add(time.Hour))
		signed, err := b.tokens.sign(t.Context(), good)
		require.NoError(t, err)
		b.by(t, linkPrefix+signed)
		change(&good)
		signed, err = b.tokens.sign(t.Context(), good)
		require.NoError(t, err)
		_, err = b.Authenticate(t.Context(), linkPrefix+signed)
		require.Equal(t, "portal_invalid", domain.CodeOf(err), name)
	}
}

// linkOf returns a link to Acme that is signed with another secret.
func linkOf(t *testing.T, secret []byte, b *linkBench) string {
	t.Helper()
	other := newBench(t, func(o *Options) { o.Users, o.Tenants, o.Now, o.Secrets = b.mem, b.mem, b.clock.Now, Fixed(secret) })
	token, err := other.tokens.issueLink(t.Context(), &domain.PortalLink{
		ID: uuid.New(), TenantID: b.acme, Scopes: domain.ScopeRead, UserID: b.ada.ID, ExpiresAt: b.clock.Now().Add(time.Hour),
	})
	require.NoError(t, err)
	return token
}

// While the database is away a link counts by what was known last.
func TestLinksWithoutADatabase(t *testing.T) {
	t.Parallel()
	b := newLinkBench(t)
	_, token := b.link(t, principal(&b.ada))
	b.by(t, token)
	b.mem.set(func() { b.mem.err = domain.New(domain.ErrUnavailable, "database_unavailable", "Away.") })
	b.clock.move(10 * time.Second)
	_, err := b.maker(t, token)
	require.NoError(t, err)
}

// maker returns the user of a link.
func (b *linkBench) maker(t *testing.T, token string) (domain.Principal, error) {
	t.Helper()
	link, err := b.tokens.verifyLink(t.Context(), token)
	require.NoError(t, err)
	return b.Service.links.maker(t.Context(), &link)
}
