package domain_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestScopes(t *testing.T) {
	t.Parallel()
	all := []string{"publish", "read", "manage", "provision"}
	require.Equal(t, all, domain.ScopesNamed(append([]string{"root", ""}, all...)).Names())
	require.Equal(t, "publish,manage", domain.ScopesNamed([]string{"manage", "publish"}).String())
	require.Empty(t, domain.Scopes(0).Names())
	for i, name := range all {
		scope := domain.ScopesNamed([]string{name})
		require.True(t, scope.Covers(scope))
		require.False(t, scope.Covers(0), "what asks for nothing is closed")
		for _, other := range all[i+1:] {
			require.False(t, scope.Covers(domain.ScopesNamed([]string{other})))
			require.True(t, (scope | domain.ScopesNamed([]string{other})).Covers(scope))
		}
	}
}

func TestWhatCallersMay(t *testing.T) {
	t.Parallel()
	owner, key, tenant := uuid.New(), uuid.New(), domain.Tenant{ID: uuid.New()}
	tenant.OwnerID = owner
	ownerless := domain.Tenant{ID: uuid.New()}
	readsAll := domain.ScopeRead
	for name, tc := range map[string]struct {
		p                              domain.Principal
		of                             *domain.Tenant
		access, manage, admin, publish bool
		read                           bool
	}{
		"owner":                      {domain.Principal{UserID: owner, Role: domain.RoleMember}, &tenant, true, true, false, true, true},
		"owner as viewer":            {domain.Principal{UserID: owner, Role: domain.RoleViewer}, &tenant, true, false, false, false, true},
		"admin":                      {domain.Principal{UserID: uuid.New(), Role: domain.RoleAdmin}, &tenant, true, true, true, true, true},
		"nobody and no owner":        {domain.Principal{Role: domain.RoleMember}, &ownerless, false, false, false, true, true},
		"key":                        {domain.Principal{UserID: owner, Role: domain.RoleMember, KeyID: key, Scopes: readsAll}, &tenant, true, true, false, false, true},
		"key of the tenant":          {domain.Principal{UserID: owner, Role: domain.RoleMember, KeyID: key, KeyTenant: tenant.ID}, &tenant, true, true, false, false, false},
		"key of another tenant":      {domain.Principal{UserID: owner, Role: domain.RoleMember, KeyID: key, KeyTenant: key}, &tenant, false, false, false, false, false},
		"admin's key":                {domain.Principal{UserID: key, Role: domain.RoleAdmin, KeyID: key, KeyTenant: tenant.ID}, &tenant, true, true, false, false, false},
		"admin's key, elsewhere":     {domain.Principal{UserID: key, Role: domain.RoleAdmin, KeyID: key, KeyTenant: key}, &tenant, false, false, false, false, false},
		"key of nobody":              {domain.Principal{Role: domain.RoleMember, KeyID: key}, &ownerless, true, true, false, false, false},
		"key of nobody, another's":   {domain.Principal{Role: domain.RoleMember, KeyID: key}, &tenant, false, false, false, false, false},
		"key without a role at last": {domain.Principal{UserID: owner, KeyID: key, Scopes: readsAll}, &tenant, true, false, false, false, false},
	} {
		require.Equal(t, tc.access, tc.p.MayAccess(tc.of), name)
		require.Equal(t, tc.manage, tc.p.MayManage(tc.of), name)
		require.Equal(t, tc.admin, tc.p.IsAdmin(), name)
		require.Equal(t, tc.publish, tc.p.Permit(domain.RoleMember, domain.ScopePublish) == nil, name)
		require.Equal(t, tc.read, tc.p.Permit(domain.RoleViewer, domain.ScopeRead) == nil, name)
		require.Equal(t, !tc.p.ByKey() && tc.admin, tc.p.Permit(domain.RoleAdmin, 0) == nil, name)
	}
}
