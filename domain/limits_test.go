package domain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestLimitsOfUsers(t *testing.T) {
	t.Parallel()
	all := domain.Limits{
		Tenants: 1, TenantsPerMinute: 2, Workers: 3, EndpointsPerTenant: 4, Streams: 5, BacklogMiB: 6, BacklogMiBPerTenant: 7, PublishRate: 8,
	}
	require.Equal(t, all, all.Of(domain.RoleMember, domain.UserLimits{}))
	require.Equal(t, domain.Limits{}, all.Of(domain.RoleAdmin, domain.UserLimits{}), "admins have none")
	require.Equal(t, domain.Limits{Workers: 9}, all.Of(domain.RoleAdmin, domain.UserLimits{Workers: new(9)}), "unless they are set")
	for _, name := range domain.LimitNames() {
		var set domain.UserLimits
		*set.Field(name) = new(99)
		want := all
		*want.Field(name) = 99
		require.NotEqual(t, want, all, name)
		require.Equal(t, want, all.Of(domain.RoleViewer, set), name)
		*set.Field(name) = new(0)
		*want.Field(name) = 0
		require.Equal(t, want, all.Of(domain.RoleViewer, set), "any number is a limit that is set")
	}
	require.Nil(t, all.Field("other"))
	require.Nil(t, (&domain.UserLimits{}).Field("other"))
}

func TestAdmitTenant(t *testing.T) {
	t.Parallel()
	limits := domain.Limits{Tenants: 3, TenantsPerMinute: 2, Workers: 10}
	for name, tt := range map[string]struct {
		use     domain.OwnerUse
		workers int
		refused string
	}{
		"room for all":            {domain.OwnerUse{Tenants: 2, Created: 1, Workers: 7}, 3, ""},
		"too many":                {domain.OwnerUse{Tenants: 3}, 1, "tenants"},
		"too fast":                {domain.OwnerUse{Created: 2}, 1, "tenants_per_minute"},
		"too many workers":        {domain.OwnerUse{Workers: 8}, 3, "workers"},
		"as the user's own limit": {domain.OwnerUse{Tenants: 3, Limits: domain.UserLimits{Tenants: new(4)}}, 1, ""},
		"beyond it":               {domain.OwnerUse{Tenants: 1, Limits: domain.UserLimits{Tenants: new(1)}}, 1, "tenants"},
		"admins":                  {domain.OwnerUse{Role: domain.RoleAdmin, Tenants: 99, Created: 99, Workers: 999}, 99, ""},
		"admins with a limit":     {domain.OwnerUse{Role: domain.RoleAdmin, Limits: domain.UserLimits{Tenants: new(9)}, Tenants: 9}, 1, "tenants"},
	} {
		err := limits.AdmitTenant(tt.use, tt.workers)
		if tt.refused == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorIs(t, err, domain.ErrLimited, name)
		var e *domain.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "quota_exceeded", e.Code)
		require.Equal(t, "limits."+tt.refused, e.Fields[0].Pointer, name)
		require.Positive(t, e.RetryAfter)
	}
}
