package repository

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// recordTransmission notes of a message what earlier versions did.
func (d *database) recordTransmission(t *testing.T, tenantID, messageID uuid.UUID) {
	t.Helper()
	_, err := d.owner.Exec(t.Context(),
		`INSERT INTO transmissions (tenant_id, message_id, state, attempts) VALUES ($1, $2, 'succeeded', 1)`, tenantID, messageID)
	require.NoError(t, err)
}

// What earlier versions wrote of endpoints goes with its tenant.
func TestTransmissionsAreErasedWithTheirTenant(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants := d.newTenants(t, 2)
	for _, id := range tenants {
		m := message(t, id, `1`)
		_, err := d.store.AppendMessages(t.Context(), []domain.Message{m})
		require.NoError(t, err)
		_, err = d.owner.Exec(t.Context(), `INSERT INTO endpoints (tenant_id, url, timeout_ms, secret) VALUES ($1, 'u', 100, 's')`, id)
		require.NoError(t, err)
		d.recordTransmission(t, id, m.ID)
	}
	// More than fits into one chunk.
	_, err := d.owner.Exec(t.Context(), `INSERT INTO transmissions (tenant_id, message_id, state, attempts)
		SELECT $1, gen_random_uuid(), 'succeeded', 1 FROM generate_series(1, $2)`, tenants[0], 2*eraseChunk+1)
	require.NoError(t, err)

	require.NoError(t, d.store.ErasePartition(t.Context(), tenants[0]))
	for _, table := range []string{"endpoints", "transmissions"} {
		var left []uuid.UUID
		require.NoError(t, d.owner.QueryRow(t.Context(), `SELECT array_agg(tenant_id) FROM `+table).Scan(&left))
		require.Equal(t, tenants[1:], left, table)
	}
}
