package repository

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func endpointOf(id uuid.UUID) domain.Endpoint {
	return domain.Endpoint{TenantID: id, URL: "https://example.com/hook?a=b", Timeout: 1500 * time.Millisecond, Secret: []byte("a secret of some length")}
}

func TestEndpointIsKept(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := newID(t)
	keeping := endpointOf(id)
	keeping.Secret = nil
	_, err := d.store.PutEndpoint(t.Context(), keeping)
	require.ErrorIs(t, err, domain.ErrNotFound, "there is no secret to keep")

	first, err := d.store.PutEndpoint(t.Context(), endpointOf(id))
	require.NoError(t, err)
	want := endpointOf(id)
	want.Version, want.CreatedAt, want.UpdatedAt = first.Version, first.CreatedAt, first.UpdatedAt
	require.Equal(t, want, first)
	require.NotZero(t, first.Version)
	found, err := d.store.FindEndpoint(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, first, found)

	keeping.URL, keeping.Timeout = "http://example.org/", 100*time.Millisecond
	second, err := d.store.PutEndpoint(t.Context(), keeping)
	require.NoError(t, err)
	require.Equal(t, "http://example.org/", second.URL)
	require.Equal(t, 100*time.Millisecond, second.Timeout)
	require.Equal(t, first.Secret, second.Secret)
	require.Greater(t, second.Version, first.Version)
	require.Equal(t, first.CreatedAt, second.CreatedAt)

	keeping.Secret = []byte("another")
	third, err := d.store.PutEndpoint(t.Context(), keeping)
	require.NoError(t, err)
	require.Equal(t, []byte("another"), third.Secret)

	require.NoError(t, d.store.DeleteEndpoint(t.Context(), id))
	require.ErrorIs(t, d.store.DeleteEndpoint(t.Context(), id), domain.ErrNotFound)
	_, err = d.store.FindEndpoint(t.Context(), id)
	require.ErrorIs(t, err, domain.ErrNotFound)
	again, err := d.store.PutEndpoint(t.Context(), endpointOf(id))
	require.NoError(t, err)
	require.Greater(t, again.Version, third.Version, "it must not look like the one that was deleted")
}

func TestPauseEndpoint(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := newID(t)
	first, err := d.store.PutEndpoint(t.Context(), endpointOf(id))
	require.NoError(t, err)

	require.NoError(t, d.store.PauseEndpoint(t.Context(), id, first.Version-1, "late"))
	found, err := d.store.FindEndpoint(t.Context(), id)
	require.NoError(t, err)
	require.False(t, found.Paused(), "that was about another version")

	require.NoError(t, d.store.PauseEndpoint(t.Context(), id, first.Version, "gone"))
	found, err = d.store.FindEndpoint(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, "gone", found.PausedReason)
	require.Greater(t, found.Version, first.Version)

	keeping := endpointOf(id)
	keeping.Secret = nil
	set, err := d.store.PutEndpoint(t.Context(), keeping)
	require.NoError(t, err)
	require.False(t, set.Paused(), "setting it again ends the pause")
	require.NoError(t, d.store.PauseEndpoint(t.Context(), newID(t), 1, "no such endpoint"))
}

// Every way to read a tenant shows its endpoint.
func TestTenantsHaveTheirEndpoints(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	with, without := newTenant(t, uuid.Nil), newTenant(t, uuid.Nil)
	for _, tenant := range []domain.Tenant{with, without} {
		require.NoError(t, d.store.InsertTenant(t.Context(), tenant))
	}
	endpoint, err := d.store.PutEndpoint(t.Context(), endpointOf(with.ID))
	require.NoError(t, err)

	for id, want := range map[uuid.UUID]*domain.Endpoint{with.ID: &endpoint, without.ID: nil} {
		found, err := d.store.FindTenant(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, want, found.Endpoint)
		changed, err := d.store.ChangeTenant(t.Context(), id, func(tenant *domain.Tenant) error {
			require.Equal(t, want, tenant.Endpoint)
			tenant.RetentionDays = 30
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, want, changed.Endpoint)
		require.Equal(t, 30, changed.RetentionDays)
		all, err := d.store.ListTenants(t.Context(), domain.TenantQuery{Limit: 10})
		require.NoError(t, err)
		require.Len(t, all, 2)
		for _, tenant := range all {
			require.True(t, tenant.ID != id || (tenant.Endpoint == nil) == (want == nil))
		}
	}
}

func TestTransmissions(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants := d.newTenants(t, 2)
	messages := messagesFor(t, tenants[:1], 3)
	_, err := d.store.AppendMessages(t.Context(), messages)
	require.NoError(t, err)
	ids := []uuid.UUID{messages[0].ID, messages[1].ID, messages[2].ID}
	record := func(tenant, message uuid.UUID, state domain.TransmissionState, attempts, status int) {
		t.Helper()
		require.NoError(t, d.store.RecordTransmission(t.Context(), domain.Transmission{
			TenantID: tenant, MessageID: message, State: state, Attempts: attempts, LastStatus: status,
		}))
	}
	record(tenants[0], ids[0], domain.TransmissionRetrying, 1, 500)
	record(tenants[0], ids[0], domain.TransmissionFailed, 5, 0)
	record(tenants[0], ids[1], domain.TransmissionSucceeded, 2, 204)
	record(tenants[0], ids[1], domain.TransmissionFailed, 3, 500)
	record(tenants[0], newID(t), domain.TransmissionSucceeded, 1, 200)
	record(tenants[1], ids[2], domain.TransmissionSucceeded, 1, 200)

	found, err := d.store.FindTransmissions(t.Context(), tenants[0], append(ids, newID(t)))
	require.NoError(t, err)
	got := map[uuid.UUID]domain.Transmission{}
	for _, f := range found {
		require.NotZero(t, f.UpdatedAt)
		f.UpdatedAt = time.Time{}
		got[f.MessageID] = f
	}
	require.Equal(t, map[uuid.UUID]domain.Transmission{
		ids[0]: {TenantID: tenants[0], MessageID: ids[0], State: domain.TransmissionFailed, Attempts: 5},
		ids[1]: {TenantID: tenants[0], MessageID: ids[1], State: domain.TransmissionSucceeded, Attempts: 2, LastStatus: 204},
	}, got)
	found, err = d.store.FindTransmissions(t.Context(), tenants[1], ids)
	require.NoError(t, err)
	require.Empty(t, found, "nothing of another tenant's, nor of messages that are not stored")
	found, err = d.store.FindTransmissions(t.Context(), tenants[0], nil)
	require.NoError(t, err)
	require.Empty(t, found)
}

func TestEndpointsAreErasedWithTheirTenant(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants := d.newTenants(t, 2)
	for _, id := range tenants {
		m := message(t, id, `1`)
		_, err := d.store.AppendMessages(t.Context(), []domain.Message{m})
		require.NoError(t, err)
		_, err = d.store.PutEndpoint(t.Context(), endpointOf(id))
		require.NoError(t, err)
		require.NoError(t, d.store.RecordTransmission(t.Context(), domain.Transmission{TenantID: id, MessageID: m.ID, State: domain.TransmissionSucceeded}))
	}
	// More than fits into one chunk.
	_, err := d.store.general.Exec(t.Context(), `INSERT INTO transmissions (tenant_id, message_id, state, attempts)
		SELECT $1, gen_random_uuid(), 'succeeded', 1 FROM generate_series(1, $2)`, tenants[0], 2*eraseChunk+1)
	require.NoError(t, err)

	require.NoError(t, d.store.ErasePartition(t.Context(), tenants[0]))
	for _, table := range []string{"endpoints", "transmissions"} {
		var left []uuid.UUID
		require.NoError(t, d.store.general.QueryRow(t.Context(), `SELECT array_agg(tenant_id) FROM `+table).Scan(&left))
		require.Equal(t, tenants[1:], left, table)
	}
}
