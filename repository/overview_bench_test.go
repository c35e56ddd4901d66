package repository

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkReadFleet looks at 3,000 tenants with two endpoints each. A tenth of them is
// stopped and has dead letters, and a tenth of the endpoints fails and has 50 open
// deliveries.
func BenchmarkReadFleet(b *testing.B) {
	const tenants = 3000
	d := newDatabase(b)
	beat(b, d.store, replica("a"), "a")
	d.exec(b, `INSERT INTO tenants (id, name, status, workers, paused) SELECT lanekeeper_new_id(), 'Tenant ' || n, 'active', 3, n % 10 = 0 FROM generate_series(1, $1::int) AS n`, tenants)
	d.exec(b, `INSERT INTO tenant_streams (tenant_id, last_seq, last_stored_at) SELECT id, 1000, now() FROM tenants`)
	d.exec(b, `INSERT INTO consumer_reports (tenant_id, replica, state, workers, busy, depth, tag, since, last_error, oldest_at)
		SELECT id, 'a', 'running', 3, 1, 5, 'tag', now(), '', now() FROM tenants WHERE NOT paused`)
	d.exec(b, `INSERT INTO audit (actor_kind, action, tenant_id) SELECT 'user', 'consumer.stop', id FROM tenants WHERE paused`)
	d.exec(b, `INSERT INTO endpoints (tenant_id, id, url, timeout_ms, secret, version)
		SELECT id, gen_random_uuid(), 'https://example.com/hook', 5000, 's', 1 FROM tenants, generate_series(1, 2)`)
	d.exec(b, `INSERT INTO endpoint_cursors (tenant_id, endpoint_id, settled_seq, version, breaker_opened_at)
		SELECT tenant_id, id, 990, 1, CASE WHEN random() < 0.1 THEN now() END FROM endpoints`)
	d.exec(b, `INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id)
		SELECT tenant_id, endpoint_id, n, endpoint_id FROM endpoint_cursors, generate_series(1, 50) AS n WHERE breaker_opened_at IS NOT NULL`)
	d.exec(b, `INSERT INTO dead_letters (tenant_id, letter_id, message_id, body, headers, reason, error, attempts, created_at)
		SELECT id, gen_random_uuid(), 'm', '1', '{}', 'invalid_payload', '', 1, now() FROM tenants, generate_series(1, 10) WHERE paused`)
	d.exec(b, `ANALYZE`)
	for b.Loop() {
		sight, err := d.store.ReadFleet(b.Context(), sightQuery())
		require.NoError(b, err)
		require.Len(b, sight.Tenants, tenants)
	}
}
