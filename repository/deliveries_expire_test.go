package repository

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// Retention that passes a cursor moves it, and ends the deliveries of what is gone.
func TestRetentionMovesCursors(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.newEndpoints(t, 2, 3)
	behind, ahead, at, other := s[0], s[1], s[2], s[3]
	for _, id := range []uuid.UUID{behind.TenantID, other.TenantID} {
		_, err := d.store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{id}, 20))
		require.NoError(t, err)
	}
	conn := d.connect(t)
	run := func(sql string, args ...any) {
		_, err := conn.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	run(`UPDATE endpoint_cursors SET settled_seq = 4 WHERE endpoint_id = $1`, behind.EndpointID)
	run(`UPDATE endpoint_cursors SET settled_seq = 15 WHERE endpoint_id = $1`, ahead.EndpointID)
	run(`UPDATE endpoint_cursors SET settled_seq = 10 WHERE endpoint_id = $1`, at.EndpointID)
	run(`INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id, ordering_key, next_at)
		SELECT tenant_id, endpoint_id, seq, endpoint_id, key, CASE WHEN seq = 2 THEN now() + interval '1 h' END
		FROM endpoint_cursors, (VALUES (2, 'a'), (3, 'a'), (12, 'a'), (13, 'a'), (14, 'b')) AS r (seq, key) WHERE endpoint_id IN ($1, $2)`, ahead.EndpointID, other.EndpointID)

	d.age(t, behind.TenantID, 10)
	lost := make(map[uuid.UUID]int64)
	for more := true; more; {
		expiry, err := d.store.ExpireMessages(t.Context(), domain.Retention{TenantID: behind.TenantID, Days: 1}, 4)
		require.NoError(t, err)
		more = expiry.More
		for id, n := range expiry.Lost {
			lost[id] += n
		}
	}
	require.Equal(t, map[uuid.UUID]int64{behind.EndpointID: 6, ahead.EndpointID: 2}, lost)
	require.EqualValues(t, 10, d.settled(t, behind))
	require.EqualValues(t, 15, d.settled(t, ahead))
	require.EqualValues(t, 10, d.settled(t, at))
	require.Equal(t, "12 13- 14-", d.rowsOf(t, ahead), "the next of its key is due")
	require.Equal(t, "2+ 3- 12- 13- 14-", d.rowsOf(t, other), "another tenant's stay")
	require.Zero(t, d.settled(t, other))
}

// The beginning of a history moves only together with the cursors.
func TestRetentionWaitsForCursors(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.newEndpoints(t, 1, 1)[0]
	_, err := d.store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{s.TenantID}, 10))
	require.NoError(t, err)
	d.age(t, s.TenantID, 10)
	tx, err := d.connect(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT FROM endpoint_cursors FOR UPDATE`)
	require.NoError(t, err)
	store := d.open(t, Options{URL: d.withParams(t, "lock_timeout", "15s")})
	expired := make(chan domain.Expiry, 1)
	go func() {
		expiry, _ := store.ExpireMessages(context.WithoutCancel(t.Context()), domain.Retention{TenantID: s.TenantID, Days: 1}, 100)
		expired <- expiry
	}()
	d.awaitWaiting(t, "lanekeeper")
	_, err = d.store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{s.TenantID}, 1))
	require.NoError(t, err, "appending does not wait for it")
	require.Len(t, d.history(t, s.TenantID), 11)
	_, err = tx.Exec(t.Context(), `UPDATE endpoint_cursors SET settled_seq = 9`)
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, domain.Expiry{Deleted: 10, Lost: map[uuid.UUID]int64{s.EndpointID: 1}}, <-expired)
	require.EqualValues(t, 10, d.settled(t, s))
}

// Erasing a tenant leaves nothing of its deliveries, and a settlement that comes late
// leaves nothing either.
func TestErasedTenantsLeaveNothing(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for ahead := -3; ahead <= 1; ahead++ {
		d.makeDay(t, ahead)
	}
	s := d.newEndpoints(t, 2, 2)
	d.claimAll(t, s)
	for i := range s {
		for day := range 3 {
			a := attempt(t, int64(day))
			a.Ago = time.Duration(day) * 24 * time.Hour
			s[i].Attempts = append(s[i].Attempts, a)
		}
		s[i].Open, s[i].GivenUp = []domain.OpenDelivery{{Seq: 1, MessageID: newID(t)}}, []domain.GivenUp{givenUp(t, 2)}
	}
	conn := d.connect(t)
	_, err := conn.Exec(t.Context(), `
		INSERT INTO replays (id, tenant_id, endpoint_id, from_seq, to_seq, only_failed, last_letter, types, rate, state, cursor_seq, total)
		SELECT endpoint_id, tenant_id, endpoint_id, 1, 100, false, 0, '{}', 100, 'running', 0, 100 FROM endpoint_cursors`)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `INSERT INTO upgraded_endpoints SELECT tenant_id, min(endpoint_id::text)::uuid, 5 FROM endpoint_cursors GROUP BY tenant_id`)
	require.NoError(t, err)
	_, err = d.store.Settle(t.Context(), deliverer, s)
	require.NoError(t, err)
	erased, kept := s[0].TenantID, s[2].TenantID
	_, err = conn.Exec(t.Context(), `
		INSERT INTO attempts (id, tenant_id, endpoint_id, message_id, seq, number, probe, at, duration_ms, status, error)
		SELECT gen_random_uuid(), $1, $1, $1, n, 1, false, now() - (n % 4) * interval '1 day', 1, 200, '' FROM generate_series(1, 4 * $2::int + 3) AS n`, erased, eraseChunk)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `UPDATE tenants SET status = 'deleting' WHERE id = $1`, erased)
	require.NoError(t, err)

	require.NoError(t, d.store.ErasePartition(t.Context(), erased))
	late, err := d.store.Settle(t.Context(), deliverer, s[:2])
	require.NoError(t, err)
	require.Equal(t, []domain.SettleOutcome{domain.SettleGone, domain.SettleGone}, late)
	check := func() {
		for _, table := range []string{
			"endpoints", "endpoint_cursors", "deliveries", "delivery_claims", "attempts", "replays", "upgraded_endpoints", "dead_letters", "dead_letter_counts",
		} {
			require.Zero(t, ask[int](t, d, `SELECT count(*) FROM `+table+` WHERE tenant_id = $1`, erased), table)
			require.NotZero(t, ask[int](t, d, `SELECT count(*) FROM `+table+` WHERE tenant_id = $1`, kept), table)
		}
	}
	check()
	require.Empty(t, d.claim(t, deliverer, erased))
	check()
}
