package repository

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/domain"
)

// However many calls there are at a time, an owner gets what its share has room for
// and not one more, and nobody else is refused.
func TestTenantsOfAnOwnerAreCounted(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	limits := domain.Limits{Tenants: 5, Workers: 3 * 8}
	owner, other := newID(t), newID(t)
	var made, refused atomic.Int32
	var calls errgroup.Group
	for range 12 {
		calls.Go(func() error {
			tenant := newTenant(t, owner)
			err := d.store.InsertTenant(t.Context(), tenant, func(use domain.OwnerUse) error { return limits.AdmitTenant(use, tenant.Workers) })
			switch {
			case err == nil:
				made.Add(1)
				return d.store.InsertTenant(t.Context(), tenant, func(domain.OwnerUse) error { return errors.New("it is there") })
			case errors.Is(err, domain.ErrLimited):
				refused.Add(1)
				return nil
			}
			return err
		})
		calls.Go(func() error { return d.store.InsertTenant(t.Context(), newTenant(t, other), nil) })
	}
	require.NoError(t, calls.Wait())
	require.EqualValues(t, 5, made.Load())
	require.EqualValues(t, 7, refused.Load())

	// They grow together as far as their share goes.
	var grown atomic.Int32
	tenants, err := d.store.ListTenants(t.Context(), domain.TenantQuery{Limit: 100, VisibleTo: &domain.Principal{UserID: owner}})
	require.NoError(t, err)
	require.Len(t, tenants, 5)
	for _, tenant := range tenants {
		calls.Go(func() error {
			_, err := d.store.GrowTenant(t.Context(), tenant.ID, func(t *domain.Tenant) error { t.Workers += 3; return nil },
				func(t domain.Tenant, use domain.OwnerUse) error { return limits.AdmitWorkers(use, t.Workers) })
			if err == nil {
				grown.Add(1)
			}
			return nil
		})
	}
	require.NoError(t, calls.Wait())
	require.EqualValues(t, 3, grown.Load(), "from 15 workers to 24")

	// Fewer workers, and changes of other kinds, ask nobody.
	_, err = d.store.GrowTenant(t.Context(), tenants[0].ID, func(t *domain.Tenant) error { t.Workers = 1; return nil }, nil)
	require.NoError(t, err)
	_, err = d.store.GrowTenant(t.Context(), tenants[0].ID, func(t *domain.Tenant) error { t.Name = "n"; return nil },
		func(domain.Tenant, domain.OwnerUse) error { return errors.New("asked") })
	require.NoError(t, err)
}

// What was deleted within a minute counts as created, and as nothing else.
func TestUseOfAnOwner(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	owner := newID(t)
	user := domain.User{ID: owner, Name: "n", Email: "o@example.com", Role: domain.RoleAdmin, Limits: domain.UserLimits{Tenants: new(7), Streams: new(0)}}
	require.NoError(t, d.store.InsertUser(t.Context(), user))
	var ids []uuid.UUID
	for range 3 {
		tenant := newTenant(t, owner)
		require.NoError(t, d.store.InsertTenant(t.Context(), tenant, nil))
		ids = append(ids, tenant.ID)
	}
	for _, status := range []domain.TenantStatus{domain.TenantDeleting, domain.TenantDeleted} {
		_, err := d.store.ChangeTenant(t.Context(), ids[0], func(t *domain.Tenant) error { return t.Transition(status) })
		require.NoError(t, err)
	}
	_, err := d.owner.Exec(t.Context(), `UPDATE tenants SET created_at = now() - interval '2 minutes' WHERE id = $1`, ids[1])
	require.NoError(t, err)
	var use domain.OwnerUse
	refused := errors.New("refused")
	require.ErrorIs(t, d.store.InsertTenant(t.Context(), newTenant(t, owner), func(u domain.OwnerUse) error { use = u; return refused }), refused)
	require.Equal(t, domain.OwnerUse{Role: domain.RoleAdmin, Limits: user.Limits, Tenants: 2, Created: 2, Workers: 6}, use)

	found, err := d.store.FindUser(t.Context(), owner)
	require.NoError(t, err)
	require.Equal(t, user.Limits, found.Limits)
	for _, text := range []string{`[]`, `{"tenants": "x", "workers": -1}`, `{"tenants": null}`, `"x"`, `{"streams": 1e30}`} {
		_, err := d.owner.Exec(t.Context(), `UPDATE users SET limits = $2 WHERE user_id = $1`, owner, text)
		require.NoError(t, err)
		found, err := d.store.FindUser(t.Context(), owner)
		require.NoError(t, err)
		require.Equal(t, domain.UserLimits{}, found.Limits, "what is not understood is as for everybody: "+text)
	}
}
