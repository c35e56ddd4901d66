package domain_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestRoles(t *testing.T) {
	t.Parallel()
	order := []domain.Role{domain.RoleViewer, domain.RoleMember, domain.RoleAdmin}
	for i, have := range order {
		for j, need := range order {
			require.Equal(t, i >= j, have.Covers(need), "%s for %s", have, need)
		}
		require.False(t, have.Covers(""), "a route without a role is for nobody")
		require.False(t, domain.Role("root").Covers(have))
		parsed, err := domain.ParseRole(string(have))
		require.NoError(t, err)
		require.Equal(t, have, parsed)
	}
	for _, text := range []string{"", "Admin", "root"} {
		_, err := domain.ParseRole(text)
		require.Equal(t, []string{"/role"}, pointers(t, err))
	}
}

func TestPrincipals(t *testing.T) {
	t.Parallel()
	owner := uuid.New()
	owned := domain.Tenant{ID: uuid.New(), OwnerID: owner}
	unowned := domain.Tenant{ID: uuid.New()}
	for name, c := range map[string]struct {
		who            domain.Principal
		tenant         domain.Tenant
		access, manage bool
	}{
		"admin":                      {domain.Principal{UserID: uuid.New(), Role: domain.RoleAdmin}, owned, true, true},
		"open mode":                  {domain.Principal{Role: domain.RoleAdmin}, unowned, true, true},
		"owner":                      {domain.Principal{UserID: owner, Role: domain.RoleMember}, owned, true, true},
		"owner made viewer":          {domain.Principal{UserID: owner, Role: domain.RoleViewer}, owned, true, false},
		"member of it":               {domain.Principal{UserID: uuid.New(), Role: domain.RoleMember, TenantID: owned.ID}, owned, true, false},
		"viewer of it":               {domain.Principal{UserID: uuid.New(), Role: domain.RoleViewer, TenantID: owned.ID}, owned, true, false},
		"stranger":                   {domain.Principal{UserID: uuid.New(), Role: domain.RoleMember}, owned, false, false},
		"member of another":          {domain.Principal{UserID: uuid.New(), Role: domain.RoleMember, TenantID: unowned.ID}, owned, false, false},
		"nobody, tenant of nobody":   {domain.Principal{Role: domain.RoleMember}, unowned, false, false},
		"nobody, tenant without id":  {domain.Principal{Role: domain.RoleMember}, domain.Tenant{}, false, false},
		"owner with an unknown role": {domain.Principal{UserID: owner, Role: "root"}, owned, true, false},
	} {
		require.Equal(t, c.access, c.who.MayAccess(&c.tenant), name)
		require.Equal(t, c.manage, c.who.MayManage(&c.tenant), name)
		require.True(t, c.access || !c.manage, name)
	}
}

func TestUserChange(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	user := domain.User{Name: "a", Role: domain.RoleViewer}
	require.NoError(t, domain.UserChange{}.Apply(&user))
	require.NoError(t, domain.UserChange{
		Name: new(" Ann "), Email: new(" Ann@Example.COM "), Password: new("äöüßäöüßäöüß"), Role: new("admin"), TenantID: new(tenant.String()),
	}.Apply(&user))
	want := domain.User{Name: "Ann", Email: "ann@example.com", Role: domain.RoleAdmin, TenantID: tenant}
	require.Equal(t, want, user)

	err := domain.UserChange{
		Name: new(" "), Email: new("ann"), Password: new("short"), Role: new("root"), TenantID: new("x"),
	}.Apply(&user)
	require.ElementsMatch(t, []string{"/name", "/email", "/password", "/role", "/tenant_id"}, pointers(t, err))
	require.Equal(t, want, user, "an error changes nothing")

	require.Equal(t, []string{"/password"}, pointers(t, domain.UserChange{Password: new(strings.Repeat("x", 1025))}.Apply(&user)))
	require.Equal(t, []string{"/password"}, pointers(t, domain.UserChange{Password: new("äöüßäöüßäöü")}.Apply(&user)))
	require.Equal(t, []string{"/new"}, pointers(t, domain.CheckPassword("/new", "")))
	require.NoError(t, domain.CheckPassword("/new", strings.Repeat("x", 1024)))
	require.NoError(t, domain.UserChange{TenantID: new("")}.Apply(&user))
	require.Equal(t, uuid.Nil, user.TenantID)
}

func TestNormalizeEmail(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"a@b.c": "a@b.c", " A.B+c@D.example ": "a.b+c@d.example"} {
		got, ok := domain.NormalizeEmail(text)
		require.True(t, ok, text)
		require.Equal(t, want, got)
	}
	for _, text := range []string{
		"", "a", "@b", "a@", "a b@c", "Ann <a@b.c>", "a@b.c, d@e.f", "a@b\x00.c", strings.Repeat("a", 255) + "@b.c",
	} {
		_, ok := domain.NormalizeEmail(text)
		require.False(t, ok, text)
	}
}

// An id has one spelling (but for the case of its letters).
func TestParseID(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	for _, text := range []string{id.String(), strings.ToUpper(id.String())} {
		got, err := domain.ParseID(text)
		require.NoError(t, err)
		require.Equal(t, id, got)
	}
	for _, text := range []string{
		"", "x", "{" + id.String() + "}", "urn:uuid:" + id.String(), strings.ReplaceAll(id.String(), "-", ""),
		id.String() + " ", "'; DROP TABLE tenants; --------------", strings.Repeat("-", 36), strings.Repeat("é", 18),
	} {
		_, err := domain.ParseID(text)
		require.ErrorIs(t, err, domain.ErrMalformed, text)
	}
}
