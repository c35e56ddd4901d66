package repository

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

// deliverer is what tests deliver as.
const deliverer = "replica-a"

// deliveryTTL is after how long a deliverer counts as gone.
const deliveryTTL = 10 * time.Second

// newEndpoints makes tenants with n endpoints each, whose cursors are at 0 and
// whose version is 1.
func (d *database) newEndpoints(t testing.TB, tenants, n int) []domain.Settlement {
	t.Helper()
	var all []domain.Settlement
	ids := d.newTenants(t, tenants)
	conn := d.connect(t)
	_, err := conn.Exec(t.Context(), `INSERT INTO tenants (id, name, status, workers) SELECT id, 't', 'active', 3 FROM unnest($1::uuid[]) AS t (id)`, postgres.UUIDs(ids))
	require.NoError(t, err)
	for _, tenantID := range ids {
		for range n {
			id := newID(t)
			_, err := conn.Exec(t.Context(), `INSERT INTO endpoints (tenant_id, id, url, timeout_ms, secret, version) VALUES ($1, $2, 'http://127.0.0.1', 5000, 's', 1)`, tenantID, id)
			require.NoError(t, err)
			_, err = conn.Exec(t.Context(), `INSERT INTO endpoint_cursors (tenant_id, endpoint_id, settled_seq, version) VALUES ($1, $2, 0, 1)`, tenantID, id)
			require.NoError(t, err)
			all = append(all, domain.Settlement{TenantID: tenantID, EndpointID: id, Version: 1})
		}
	}
	return all
}

// claimAll has the deliverer claim the tenants of settlements, whose epoch it sets.
func (d *database) claimAll(t testing.TB, settlements []domain.Settlement) {
	t.Helper()
	var ids []uuid.UUID
	for _, s := range settlements {
		ids = append(ids, s.TenantID)
	}
	_, err := d.store.BeatDeliverer(t.Context(), deliverer, false, deliveryTTL)
	require.NoError(t, err)
	claims, err := d.store.ClaimDeliveries(t.Context(), deliverer, ids, deliveryTTL)
	require.NoError(t, err)
	for i := range settlements {
		for _, c := range claims {
			if c.TenantID == settlements[i].TenantID {
				settlements[i].Epoch = c.Epoch
			}
		}
		require.NotZero(t, settlements[i].Epoch)
	}
}

// makeDays makes the partition of attempts that everything of a test goes to.
func (d *database) makeDays(t testing.TB) {
	t.Helper()
	_, err := d.connect(t).Exec(t.Context(), `CREATE TABLE attempts_default PARTITION OF attempts DEFAULT`)
	require.NoError(t, err)
}

func attempt(t testing.TB, seq int64) domain.Attempt {
	t.Helper()
	return domain.Attempt{
		ID: newID(t), MessageID: newID(t), Seq: seq, Number: 1, Ago: 50 * time.Millisecond, Duration: 20 * time.Millisecond, Status: 200, Answer: []byte("ok"),
	}
}

// settle settles as the deliverer and returns the only outcome.
func (d *database) settle(t testing.TB, s domain.Settlement) domain.SettleOutcome {
	t.Helper()
	outcomes, err := d.store.Settle(t.Context(), deliverer, []domain.Settlement{s})
	require.NoError(t, err)
	require.Len(t, outcomes, 1)
	return outcomes[0]
}

// ask runs a query for one value.
func ask[T any](t testing.TB, d *database, sql string, args ...any) T {
	t.Helper()
	var value T
	require.NoError(t, d.owner.QueryRow(t.Context(), sql, args...).Scan(&value))
	return value
}

// BenchmarkSettle settles 512 attempts that succeeded, of 16 endpoints, at a time.
// Bare is the same as one insert by hand and one update, on a connection without
// limits, with what the server calls a generic plan.
func BenchmarkSettle(b *testing.B) {
	const endpoints, results = 16, 512
	prepare := func(b *testing.B) (*database, []domain.Settlement) {
		d := newDatabase(b)
		settlements := d.newEndpoints(b, 4, endpoints/4)
		d.claimAll(b, settlements)
		d.makeDays(b)
		return d, settlements
	}
	fill := func(b *testing.B, settlements []domain.Settlement) {
		for i := range settlements {
			s := &settlements[i]
			s.Attempts = s.Attempts[:0]
			for range results / endpoints {
				s.Settled++
				s.Attempts = append(s.Attempts, attempt(b, s.Settled))
			}
		}
	}
	report := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(results*b.N), "µs/result")
	}
	b.Run("settle", func(b *testing.B) {
		d, settlements := prepare(b)
		for b.Loop() {
			b.StopTimer()
			fill(b, settlements)
			b.StartTimer()
			outcomes, err := d.store.Settle(b.Context(), deliverer, settlements)
			require.NoError(b, err)
			for _, o := range outcomes {
				require.Equal(b, domain.SettleDone, o)
			}
		}
		report(b)
	})
	b.Run("bare", func(b *testing.B) {
		d, settlements := prepare(b)
		conn := d.connect(b)
		_, err := conn.Exec(b.Context(), `SET plan_cache_mode = force_generic_plan`)
		require.NoError(b, err)
		for b.Loop() {
			b.StopTimer()
			fill(b, settlements)
			var batch pgx.Batch
			queueBare(&batch, settlements)
			b.StartTimer()
			require.NoError(b, conn.SendBatch(b.Context(), &batch).Close())
		}
		report(b)
	})
}

func queueBare(batch *pgx.Batch, settlements []domain.Settlement) {
	var tenants, endpoints, owners, of, ids, messages postgres.UUIDs
	var settled, seqs []int64
	var answers [][]byte
	for i := range settlements {
		s := &settlements[i]
		tenants, endpoints, settled = append(tenants, s.TenantID), append(endpoints, s.EndpointID), append(settled, s.Settled)
		for j := range s.Attempts {
			a := &s.Attempts[j]
			owners, of, ids, messages = append(owners, s.TenantID), append(of, s.EndpointID), append(ids, a.ID), append(messages, a.MessageID)
			seqs, answers = append(seqs, a.Seq), append(answers, a.Answer)
		}
	}
	batch.Queue(beginSQL)
	batch.Queue(`UPDATE endpoint_cursors c SET settled_seq = s.settled FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS s (tenant_id, endpoint_id, settled)
		WHERE c.tenant_id = s.tenant_id AND c.endpoint_id = s.endpoint_id`, tenants, endpoints, settled)
	batch.Queue(`INSERT INTO attempts (id, tenant_id, endpoint_id, message_id, seq, number, probe, at, duration_ms, status, error, answer)
		SELECT id, tenant_id, endpoint_id, message_id, seq, 1, false, now(), 20, 200, '', answer
		FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[], $6::bytea[]) AS a (id, tenant_id, endpoint_id, message_id, seq, answer)`,
		ids, owners, of, messages, seqs, flatBytes(answers))
	batch.Queue(commitSQL)
}
