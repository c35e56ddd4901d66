package repository

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// A record goes from making to ready and to revoking, and only then away; what is asked
// for while it is revoked makes it anew.
func TestAMQPCredentialsAreRecorded(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ctx, id := t.Context(), newID(t)
	_, err := d.store.FindAMQPCredentials(ctx, id)
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, err = d.store.FinishAMQPCredentials(ctx, id)
	require.ErrorIs(t, err, domain.ErrNotFound)
	require.ErrorIs(t, d.store.RevokeAMQPCredentials(ctx, id), domain.ErrNotFound)

	begun, err := d.store.BeginAMQPCredentials(ctx, id)
	require.NoError(t, err)
	require.Equal(t, domain.AMQPMaking, begun.State)
	require.Zero(t, begun.IssuedAt)
	made, err := d.store.FinishAMQPCredentials(ctx, id)
	require.NoError(t, err)
	require.Equal(t, domain.AMQPReady, made.State)
	require.WithinDuration(t, time.Now(), made.IssuedAt, time.Minute)
	again, err := d.store.BeginAMQPCredentials(ctx, id)
	require.NoError(t, err)
	require.Equal(t, made, again, "what works goes on working")
	require.NoError(t, d.store.DeleteAMQPCredentials(ctx, id))
	found, err := d.store.FindAMQPCredentials(ctx, id)
	require.NoError(t, err, "what is ready stays")
	require.Equal(t, made, found)

	require.NoError(t, d.store.RevokeAMQPCredentials(ctx, id))
	_, err = d.store.FinishAMQPCredentials(ctx, id)
	require.ErrorIs(t, err, domain.ErrNotFound)
	begun, err = d.store.BeginAMQPCredentials(ctx, id)
	require.NoError(t, err)
	require.Equal(t, domain.AMQPMaking, begun.State)
	require.NoError(t, d.store.DeleteAMQPCredentials(ctx, id))
	all, err := d.store.ListAMQPCredentials(ctx, uuid.Nil, 10)
	require.NoError(t, err)
	require.Empty(t, all)
}

// What has to be revoked is found by its own state, by how long nothing came of it, and
// by that of its tenant; what could not be revoked lets the others go first.
func TestAMQPCredentialsThatAreDue(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ctx := t.Context()
	record := func(status domain.TenantStatus, state string) uuid.UUID {
		tenant := domain.Tenant{ID: newID(t), Name: "x", Status: status, Target: domain.TenantActive, Workers: 1, CreatedAt: time.Now(), UpdatedAt: time.Now()}
		require.NoError(t, d.store.InsertTenant(ctx, tenant, nil))
		_, err := d.store.callers.Exec(ctx, `INSERT INTO amqp_credentials (tenant_id, state) VALUES ($1, $2)`, tenant.ID, state)
		require.NoError(t, err)
		return tenant.ID
	}
	due := func(unfinished time.Duration) []uuid.UUID {
		ids, err := d.store.ListDueAMQPCredentials(ctx, unfinished, 10)
		require.NoError(t, err)
		return ids
	}
	record(domain.TenantActive, "ready")
	record(domain.TenantInactive, "ready")
	making := record(domain.TenantActive, "making")
	revoking := record(domain.TenantActive, "revoking")
	deleting := record(domain.TenantDeleting, "ready")
	_, err := d.store.callers.Exec(ctx, `INSERT INTO amqp_credentials (tenant_id, state) VALUES ($1, 'ready')`, newID(t))
	require.NoError(t, err)
	require.Len(t, due(time.Hour), 3)
	require.Equal(t, []uuid.UUID{revoking, deleting}, due(time.Hour)[:2])
	require.Len(t, due(0), 4)
	require.Contains(t, due(0), making)
	require.NoError(t, d.store.PostponeAMQPCredentials(ctx, revoking))
	require.Equal(t, revoking, due(time.Hour)[2])
}
