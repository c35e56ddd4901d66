package repository

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/domain"
)

func newTenant(t testing.TB, owner uuid.UUID) domain.Tenant {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	tenant, err := domain.NewTenant{Name: "Bäckerei \"Süß\" 🥐", Description: "line\nline"}.Build(owner, 3, now)
	require.NoError(t, err)
	return tenant
}

func TestTenantIsKept(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenant := newTenant(t, newID(t))
	require.NoError(t, d.store.InsertTenant(t.Context(), tenant, nil))

	found, err := d.store.FindTenant(t.Context(), tenant.ID)
	require.NoError(t, err)
	require.Equal(t, tenant, found)

	again := tenant
	again.Name = "other"
	require.NoError(t, d.store.InsertTenant(t.Context(), again, nil))
	found, err = d.store.FindTenant(t.Context(), tenant.ID)
	require.NoError(t, err)
	require.Equal(t, tenant, found)

	ownerless := newTenant(t, uuid.Nil)
	require.NoError(t, d.store.InsertTenant(t.Context(), ownerless, nil))
	found, err = d.store.FindTenant(t.Context(), ownerless.ID)
	require.NoError(t, err)
	require.Equal(t, ownerless, found)

	_, err = d.store.FindTenant(t.Context(), newID(t))
	require.ErrorIs(t, err, domain.ErrNotFound)
}

func TestChangeTenant(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenant := newTenant(t, newID(t))
	require.NoError(t, d.store.InsertTenant(t.Context(), tenant, nil))

	changed, err := d.store.ChangeTenant(t.Context(), tenant.ID, func(c *domain.Tenant) error {
		require.Equal(t, tenant, *c)
		c.Name, c.Description, c.Workers, c.Stopped, c.Discarded = "new", "", 7, true, 5
		c.Target = domain.TenantInactive
		return c.Transition(domain.TenantActive)
	})
	require.NoError(t, err)
	require.True(t, changed.UpdatedAt.After(tenant.UpdatedAt))
	found, err := d.store.FindTenant(t.Context(), tenant.ID)
	require.NoError(t, err)
	require.Equal(t, changed, found)
	require.Equal(t, "new", found.Name)
	require.Equal(t, 7, found.Workers)
	require.True(t, found.Stopped)
	require.EqualValues(t, 5, found.Discarded)
	require.Equal(t, domain.TenantInactive, found.Target)
	require.Zero(t, found.DeletedAt)

	refused := errors.New("no")
	_, err = d.store.ChangeTenant(t.Context(), tenant.ID, func(c *domain.Tenant) error { c.Name = "x"; return refused })
	require.Same(t, refused, err)
	found, err = d.store.FindTenant(t.Context(), tenant.ID)
	require.NoError(t, err)
	require.Equal(t, changed, found)

	deleted, err := d.store.ChangeTenant(t.Context(), tenant.ID, func(c *domain.Tenant) error {
		return errors.Join(c.Transition(domain.TenantDeleting), c.Transition(domain.TenantDeleted))
	})
	require.NoError(t, err)
	require.NotZero(t, deleted.DeletedAt)
	require.Empty(t, deleted.Name)

	for name, id := range map[string]uuid.UUID{"tombstone": tenant.ID, "unknown": newID(t)} {
		_, err = d.store.ChangeTenant(t.Context(), id, func(*domain.Tenant) error { return nil })
		require.ErrorIs(t, err, domain.ErrNotFound, name)
	}
	found, err = d.store.FindTenant(t.Context(), tenant.ID)
	require.NoError(t, err)
	require.Equal(t, deleted, found)
}

func TestChangeTenantIsExclusive(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenant := newTenant(t, uuid.Nil)
	require.NoError(t, d.store.InsertTenant(t.Context(), tenant, nil))
	var g errgroup.Group
	for range 40 {
		g.Go(func() error {
			_, err := d.store.ChangeTenant(t.Context(), tenant.ID, func(c *domain.Tenant) error { c.Discarded++; return nil })
			return err
		})
	}
	require.NoError(t, g.Wait())
	found, err := d.store.FindTenant(t.Context(), tenant.ID)
	require.NoError(t, err)
	require.EqualValues(t, 40, found.Discarded)
}

func TestListTenants(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ann, bob := newID(t), newID(t)
	var all []domain.Tenant
	for i := range 6 {
		tenant := newTenant(t, ann)
		if i%2 == 1 {
			tenant = newTenant(t, bob)
		}
		require.NoError(t, d.store.InsertTenant(t.Context(), tenant, nil))
		all = append(all, tenant)
	}
	_, err := d.store.ChangeTenant(t.Context(), all[5].ID, func(c *domain.Tenant) error {
		return errors.Join(c.Transition(domain.TenantDeleting), c.Transition(domain.TenantDeleted))
	})
	require.NoError(t, err)
	_, err = d.store.ChangeTenant(t.Context(), all[4].ID, func(c *domain.Tenant) error { return c.Transition(domain.TenantActive) })
	require.NoError(t, err)

	for name, tt := range map[string]struct {
		q    domain.TenantQuery
		want []int
	}{
		"everything but tombstones": {domain.TenantQuery{Limit: 10}, []int{0, 1, 2, 3, 4}},
		"first page":                {domain.TenantQuery{Limit: 2}, []int{0, 1}},
		"second page":               {domain.TenantQuery{Limit: 2, After: all[1].ID}, []int{2, 3}},
		"nothing asked for":         {domain.TenantQuery{}, nil},
		"active":                    {domain.TenantQuery{Limit: 10, Statuses: []domain.TenantStatus{domain.TenantActive}}, []int{4}},
		"tombstones":                {domain.TenantQuery{Limit: 10, Statuses: []domain.TenantStatus{domain.TenantDeleted}}, []int{5}},
		"admin":                     {domain.TenantQuery{Limit: 10, VisibleTo: &domain.Principal{Role: domain.RoleAdmin}}, []int{0, 1, 2, 3, 4}},
		"owner":                     {domain.TenantQuery{Limit: 10, VisibleTo: &domain.Principal{UserID: ann, Role: domain.RoleMember}}, []int{0, 2, 4}},
		"owner who belongs": {
			domain.TenantQuery{Limit: 10, VisibleTo: &domain.Principal{UserID: bob, TenantID: all[0].ID, Role: domain.RoleViewer}},
			[]int{0, 1, 3},
		},
		"nobody":          {domain.TenantQuery{Limit: 10, VisibleTo: &domain.Principal{Role: domain.RoleMember}}, nil},
		"key of a tenant": {domain.TenantQuery{Limit: 10, VisibleTo: &domain.Principal{UserID: ann, Role: domain.RoleMember, KeyID: ann, KeyTenant: all[2].ID}}, []int{2}},
		"key of a tenant that is another's": {
			domain.TenantQuery{Limit: 10, VisibleTo: &domain.Principal{UserID: ann, Role: domain.RoleMember, KeyID: ann, KeyTenant: all[1].ID}}, nil,
		},
		"admin's key of a tenant": {domain.TenantQuery{Limit: 10, VisibleTo: &domain.Principal{UserID: bob, Role: domain.RoleAdmin, KeyID: ann, KeyTenant: all[4].ID}}, []int{4}},
	} {
		got, err := d.store.ListTenants(t.Context(), tt.q)
		require.NoError(t, err, name)
		var want, ids []uuid.UUID
		for _, i := range tt.want {
			want = append(want, all[i].ID)
		}
		for _, tenant := range got {
			ids = append(ids, tenant.ID)
		}
		require.Equal(t, want, ids, name)
	}
}
