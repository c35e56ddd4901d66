package repository

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// Portal links end by a number of their tenant; the audit log says so, and which link
// something was done with.
func TestPortalVersionAndItsAudit(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenant := newTenant(t, newID(t))
	require.NoError(t, d.store.InsertTenant(t.Context(), tenant, nil))
	by := domain.Actor{Kind: domain.ActorPortal, UserID: tenant.OwnerID, LinkID: newID(t), Address: "203.0.113.7"}
	ctx := domain.WithActor(t.Context(), by)
	for range 2 {
		_, err := d.store.ChangeTenant(ctx, tenant.ID, func(c *domain.Tenant) error {
			c.PortalVersion++
			return nil
		})
		require.NoError(t, err)
	}
	_, err := d.store.ChangeTenant(t.Context(), tenant.ID, func(c *domain.Tenant) error { return c.SetWorkers(9) })
	require.NoError(t, err)
	found, err := d.store.FindTenant(t.Context(), tenant.ID)
	require.NoError(t, err)
	require.Equal(t, 2, found.PortalVersion)

	lines, err := d.store.ListAudit(t.Context(), domain.AuditQuery{TenantID: tenant.ID, Limit: 10})
	require.NoError(t, err)
	require.Len(t, lines, 2)
	for _, line := range lines {
		require.Equal(t, domain.AuditLinksRevoke, line.Action)
		require.Equal(t, by, line.Actor)
	}
	by.Kind, by.KeyID, by.LinkID = domain.ActorKey, by.LinkID, uuid.Nil
	require.NoError(t, d.store.RecordAudit(domain.WithActor(t.Context(), by), domain.AuditEntry{Action: domain.AuditLinkCreate, TenantID: tenant.ID}))
	lines, err = d.store.ListAudit(t.Context(), domain.AuditQuery{TenantID: tenant.ID, Limit: 1})
	require.NoError(t, err)
	require.Equal(t, by, lines[0].Actor)
}
