package repository

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

func TestBeatDeliverer(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	beat := func(name string, leaving bool) []string {
		names, err := d.store.BeatDeliverer(t.Context(), name, leaving, deliveryTTL)
		require.NoError(t, err)
		return names
	}
	conn := d.connect(t)
	run := func(sql string) {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	require.Equal(t, []string{"b"}, beat("b", false))
	require.Equal(t, []string{"a", "b"}, beat("a", false))
	require.Equal(t, []string{"b"}, beat("a", true), "who is leaving is not named")
	require.Equal(t, []string{"b"}, beat("b", false))
	require.Equal(t, []string{"a", "b"}, beat("a", false))

	run(`UPDATE deliverers SET seen_at = now() - interval '11 s' WHERE name = 'b'`)
	require.Equal(t, []string{"a"}, beat("a", false))
	require.Equal(t, []string{"a", "b"}, beat("b", false), "one that was gone comes back")

	// The clock was set back: who beat before that may live.
	run(`UPDATE deliverers SET seen_at = now() + interval '1 h' WHERE name = 'b'`)
	require.Equal(t, []string{"a", "b"}, beat("a", false))
	require.False(t, ask[bool](t, d, `SELECT seen_at > now() + interval '1 s' FROM deliverers WHERE name = 'b'`), "and not for an hour")

	run(`UPDATE deliverers SET seen_at = now() - interval '2 h' WHERE name = 'b'`)
	beat("a", false)
	require.Equal(t, 1, ask[int](t, d, `SELECT count(*) FROM deliverers`), "nobody keeps those who are gone")
	require.NoError(t, d.store.RemoveDeliverer(t.Context(), "a"))
	require.NoError(t, d.store.RemoveDeliverer(t.Context(), "a"))
	require.Zero(t, ask[int](t, d, `SELECT count(*) FROM deliverers`))
}

// claim has a replica claim tenants, and returns the epochs of those it got.
func (d *database) claim(t testing.TB, name string, ids ...uuid.UUID) map[uuid.UUID]int64 {
	t.Helper()
	claims, err := d.store.ClaimDeliveries(t.Context(), name, ids, deliveryTTL)
	require.NoError(t, err)
	epochs := make(map[uuid.UUID]int64)
	for _, c := range claims {
		epochs[c.TenantID] = c.Epoch
	}
	return epochs
}

func (d *database) beat(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		_, err := d.store.BeatDeliverer(t.Context(), name, false, deliveryTTL)
		require.NoError(t, err)
	}
}

func TestClaimDeliveries(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	endpoints := d.newEndpoints(t, 3, 1)
	one, two, three := endpoints[0].TenantID, endpoints[1].TenantID, endpoints[2].TenantID
	d.beat(t, "a", "b")
	require.Equal(t, map[uuid.UUID]int64{one: 1, two: 1}, d.claim(t, "a", two, one))
	require.Equal(t, map[uuid.UUID]int64{three: 1}, d.claim(t, "b", one, two, three), "what somebody has is his")
	require.Equal(t, map[uuid.UUID]int64{one: 2}, d.claim(t, "a", one, three), "one's own is claimed anew")
	own, err := d.store.DeliveryClaims(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, []domain.DeliveryClaim{{TenantID: one, Epoch: 2}, {TenantID: two, Epoch: 1}}, own)
	require.Empty(t, d.claim(t, "a"))
	require.Empty(t, d.claim(t, "a", uuid.New()), "a tenant that is not there")

	// Released claims are anybody's; those of an earlier epoch, or of others, are not released.
	release := func(name string, claims ...domain.DeliveryClaim) {
		require.NoError(t, d.store.ReleaseDeliveries(t.Context(), name, claims))
	}
	release("a", domain.DeliveryClaim{TenantID: one, Epoch: 1})
	release("b", domain.DeliveryClaim{TenantID: one, Epoch: 2})
	require.Empty(t, d.claim(t, "b", one))
	release("a")
	release("a", domain.DeliveryClaim{TenantID: two, Epoch: 1}, domain.DeliveryClaim{TenantID: one, Epoch: 2})
	require.Equal(t, map[uuid.UUID]int64{one: 3, two: 2}, d.claim(t, "b", one, two))

	// Leaving does not take the claims away; being silent does.
	_, err = d.store.BeatDeliverer(t.Context(), "b", true, deliveryTTL)
	require.NoError(t, err)
	require.Empty(t, d.claim(t, "a", one, two, three))
	_, err = d.connect(t).Exec(t.Context(), `UPDATE deliverers SET seen_at = now() - interval '9 s' WHERE name = 'b'`)
	require.NoError(t, err)
	require.Empty(t, d.claim(t, "a", one, two, three))
	_, err = d.connect(t).Exec(t.Context(), `UPDATE deliverers SET seen_at = now() - interval '10 s' WHERE name = 'b'`)
	require.NoError(t, err)
	require.Equal(t, map[uuid.UUID]int64{one: 4}, d.claim(t, "a", one))
	require.NoError(t, d.store.RemoveDeliverer(t.Context(), "b"))
	require.Equal(t, map[uuid.UUID]int64{two: 3, three: 2}, d.claim(t, "a", two, three))
}

func TestDeliveryTenants(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	endpoints := d.newEndpoints(t, 4, 2)
	conn := d.connect(t)
	for _, sql := range []string{
		`UPDATE tenants SET status = 'deleting' WHERE id = $1`,
		`UPDATE endpoints SET status = 'held' WHERE tenant_id = $1`,
		`UPDATE endpoints SET status = 'disabled' WHERE tenant_id = $1 AND id = (SELECT min(id::text)::uuid FROM endpoints WHERE tenant_id = $1)`,
	} {
		_, err := conn.Exec(t.Context(), sql, endpoints[0].TenantID)
		require.NoError(t, err)
		endpoints = endpoints[2:]
	}
	tenants, err := d.store.DeliveryTenants(t.Context())
	require.NoError(t, err)
	held := ask[uuid.UUID](t, d, `SELECT DISTINCT tenant_id FROM endpoints WHERE status = 'held'`)
	disabledOne := ask[uuid.UUID](t, d, `SELECT tenant_id FROM endpoints WHERE status = 'disabled'`)
	require.Equal(t, map[uuid.UUID]map[domain.EndpointStatus]int{
		held:                  {domain.EndpointHeld: 2},
		disabledOne:           {domain.EndpointActive: 1, domain.EndpointDisabled: 1},
		endpoints[0].TenantID: {domain.EndpointActive: 2},
	}, tenants)
}

// A tenant that is being deleted cannot be claimed, also when it was not yet when
// the claim began.
func TestDeletingTenantsAreNotClaimed(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	endpoints := d.newEndpoints(t, 2, 1)
	one, two := endpoints[0].TenantID, endpoints[1].TenantID
	d.beat(t, "a")
	conn := d.connect(t)
	_, err := conn.Exec(t.Context(), `UPDATE tenants SET status = 'deleting' WHERE id = $1`, one)
	require.NoError(t, err)
	require.Equal(t, map[uuid.UUID]int64{two: 1}, d.claim(t, "a", one, two))

	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `UPDATE tenants SET status = 'deleting' WHERE id = $1`, two)
	require.NoError(t, err)
	claimed := make(chan []domain.DeliveryClaim, 1)
	go func() {
		claims, _ := d.store.ClaimDeliveries(context.WithoutCancel(t.Context()), "a", []uuid.UUID{two}, deliveryTTL)
		claimed <- claims
	}()
	d.awaitWaiting(t, "lanekeeper-delivery")
	require.NoError(t, tx.Commit(t.Context()))
	require.Empty(t, <-claimed)
	require.Zero(t, ask[int](t, d, `SELECT count(*) FROM delivery_claims`))
}

// awaitWaiting waits until a connection of that name waits for a lock.
func (d *database) awaitWaiting(t testing.TB, application string) {
	t.Helper()
	conn := d.connect(t)
	require.Eventually(t, func() bool {
		var waits bool
		err := conn.QueryRow(t.Context(), `
			SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1 AND wait_event_type = 'Lock')`, application).Scan(&waits)
		return err == nil && waits
	}, patience, 5*time.Millisecond)
}

// A claim waits for a settlement that is under way, which takes effect before it;
// after the claim nothing of the earlier epoch does.
func TestClaimWaitsForSettlements(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.makeDays(t)
	s := d.newEndpoints(t, 1, 2)
	d.claimAll(t, s)
	d.beat(t, "b")
	require.NoError(t, d.store.RemoveDeliverer(t.Context(), deliverer))
	store := d.open(t, Options{URL: d.withParams(t, "lock_timeout", "15s")})

	// The settlement cannot go on behind its cursors.
	open := s[0]
	open.Settled, open.Open = 2, []domain.OpenDelivery{{Seq: 2, MessageID: newID(t)}}
	require.Equal(t, domain.SettleDone, d.settle(t, open))
	conn := d.connect(t)
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT FROM deliveries FOR UPDATE`)
	require.NoError(t, err)
	open.Settled, open.Done, open.Open = 5, []int64{2}, []domain.OpenDelivery{{Seq: 3, MessageID: newID(t)}}
	settled := make(chan domain.SettleOutcome, 1)
	go func() {
		outcomes, err := store.Settle(context.WithoutCancel(t.Context()), deliverer, []domain.Settlement{open})
		if err != nil {
			settled <- 0
			return
		}
		settled <- outcomes[0]
	}()
	d.awaitWaiting(t, "lanekeeper-settle")
	claimed := make(chan int64, 1)
	go func() {
		claims, err := store.ClaimDeliveries(context.WithoutCancel(t.Context()), "b", []uuid.UUID{open.TenantID}, deliveryTTL)
		if err != nil || len(claims) == 0 {
			claimed <- 0
			return
		}
		claimed <- claims[0].Epoch
	}()
	d.awaitWaiting(t, "lanekeeper-delivery")
	require.Empty(t, claimed)
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, domain.SettleDone, <-settled)
	require.Equal(t, s[0].Epoch+1, <-claimed)
	require.EqualValues(t, 3, ask[int64](t, d, `SELECT min(seq) FROM deliveries`))

	// One that comes while somebody claims waits, and does nothing.
	tx, err = conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT FROM tenants WHERE id = $1 FOR UPDATE`, open.TenantID)
	require.NoError(t, err)
	go func() {
		claims, err := store.ClaimDeliveries(context.WithoutCancel(t.Context()), "b", []uuid.UUID{open.TenantID}, deliveryTTL)
		if err != nil || len(claims) == 0 {
			claimed <- 0
			return
		}
		claimed <- claims[0].Epoch
	}()
	d.awaitWaiting(t, "lanekeeper-delivery")
	late := s[1]
	late.Epoch, late.Settled, late.Open, late.Attempts = s[0].Epoch+1, 9, []domain.OpenDelivery{{Seq: 3, MessageID: newID(t)}}, []domain.Attempt{attempt(t, 3)}
	go func() {
		outcomes, err := store.Settle(context.WithoutCancel(t.Context()), "b", []domain.Settlement{late})
		if err != nil {
			settled <- 0
			return
		}
		settled <- outcomes[0]
	}()
	d.awaitWaiting(t, "lanekeeper-settle")
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, s[0].Epoch+2, <-claimed)
	require.Equal(t, domain.SettleLost, <-settled)
	require.Equal(t, 1, ask[int](t, d, `SELECT count(*) FROM deliveries`))
	require.Equal(t, 1, ask[int](t, d, `SELECT count(*) FROM attempts`))
	require.Zero(t, ask[int64](t, d, `SELECT settled_seq FROM endpoint_cursors WHERE endpoint_id = $1`, late.EndpointID))
}

// Who has just come and claimed a tenant keeps it, also when another replica's claim
// began before and had to wait.
func TestClaimSeesWhoHasJustCome(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	endpoints := d.newEndpoints(t, 2, 1)
	first, second := endpoints[0].TenantID, endpoints[1].TenantID // ids are in the order in which they were made
	d.beat(t, "old", "waiting")
	require.Len(t, d.claim(t, "old", first, second), 2)
	require.NoError(t, d.store.RemoveDeliverer(t.Context(), "old"))
	store := d.open(t, Options{URL: d.withParams(t, "lock_timeout", "15s")})
	tx, err := d.connect(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT FROM delivery_claims WHERE tenant_id = $1 FOR UPDATE`, first)
	require.NoError(t, err)
	claimed := make(chan []domain.DeliveryClaim, 1)
	go func() {
		claims, err := store.ClaimDeliveries(context.WithoutCancel(t.Context()), "waiting", []uuid.UUID{first, second}, deliveryTTL)
		if err != nil {
			claims = nil
		}
		claimed <- claims
	}()
	d.awaitWaiting(t, "lanekeeper-delivery")
	d.beat(t, "new")
	require.Equal(t, map[uuid.UUID]int64{second: 2}, d.claim(t, "new", second))
	require.NoError(t, tx.Rollback(t.Context()))
	require.Equal(t, []domain.DeliveryClaim{{TenantID: first, Epoch: 2}}, <-claimed)
}

// One tenant whose rows somebody keeps locked does not keep others from being
// claimed.
func TestLockedTenantsAreNotClaimed(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	endpoints := d.newEndpoints(t, 5, 1)
	store := d.open(t, Options{URL: d.withParams(t, "lock_timeout", "20")})
	d.beat(t, "a")
	conn := d.connect(t)
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT FROM endpoint_cursors WHERE tenant_id = $1 FOR UPDATE`, endpoints[2].TenantID)
	require.NoError(t, err)
	var ids []uuid.UUID
	for _, e := range endpoints {
		ids = append(ids, e.TenantID)
	}
	claims, err := store.ClaimDeliveries(t.Context(), "a", ids, deliveryTTL)
	require.NoError(t, err)
	require.Len(t, claims, 4)
	require.NoError(t, tx.Rollback(t.Context()))
	claims, err = store.ClaimDeliveries(t.Context(), "a", ids, deliveryTTL)
	require.NoError(t, err)
	require.Len(t, claims, 5)
}

// Whoever claims at the same time as others gets each tenant alone.
func TestClaimsAreExclusive(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	endpoints := d.newEndpoints(t, 20, 1)
	store := d.open(t, Options{URL: d.withParams(t, "lock_timeout", "15s", "deadlock_timeout", "50ms"), DeliveryConns: 8})
	var ids []uuid.UUID
	for _, e := range endpoints {
		ids = append(ids, e.TenantID)
	}
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	d.beat(t, names...)
	for round := range 10 {
		type result struct {
			name   string
			claims []domain.DeliveryClaim
			err    error
		}
		results := make(chan result, len(names))
		for i, name := range names {
			mine := append(append([]uuid.UUID(nil), ids[i:]...), ids[:i]...)
			go func() {
				claims, err := store.ClaimDeliveries(context.WithoutCancel(t.Context()), name, mine, deliveryTTL)
				results <- result{name, claims, err}
			}()
		}
		got := make(map[uuid.UUID]int64)
		for range names {
			r := <-results
			require.NoError(t, r.err)
			for _, c := range r.claims {
				require.NotContains(t, got, c.TenantID)
				got[c.TenantID] = c.Epoch
				require.EqualValues(t, round+1, c.Epoch)
			}
		}
		require.Len(t, got, len(ids))
		_, err := d.connect(t).Exec(t.Context(), `UPDATE delivery_claims SET owner = '' WHERE tenant_id = ANY($1::uuid[])`, postgres.UUIDs(ids))
		require.NoError(t, err)
	}
}

// As many as there are in a large fleet are claimed and released in moments.
func TestClaimsOfManyTenants(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(t, `INSERT INTO tenants (id, name, status, workers) SELECT gen_random_uuid(), 't', 'active', 3 FROM generate_series(1, 3000)`)
	d.exec(t, `INSERT INTO endpoints (tenant_id, url, timeout_ms, secret, version) SELECT id, '', 5000, 's', 1 FROM tenants, generate_series(1, 3)`)
	d.exec(t, `INSERT INTO endpoint_cursors (tenant_id, endpoint_id, settled_seq, version) SELECT tenant_id, id, 0, 1 FROM endpoints`)
	d.beat(t, "a", "b")
	tenants, err := d.store.DeliveryTenants(t.Context())
	require.NoError(t, err)
	require.Len(t, tenants, 3000)
	ids := slices.Collect(maps.Keys(tenants))
	claims, err := d.store.ClaimDeliveries(t.Context(), "a", ids, deliveryTTL)
	require.NoError(t, err)
	require.Len(t, claims, 3000)
	targets, err := d.store.DeliveryTargets(t.Context(), ids)
	require.NoError(t, err)
	require.Len(t, targets, 9000)
	slices.Reverse(claims)
	released := slices.Clone(claims)
	require.NoError(t, d.store.ReleaseDeliveries(t.Context(), "a", claims))
	require.Equal(t, released, claims, "what the caller has is left alone")
	require.Len(t, d.claim(t, "b", ids...), 3000)
	plan := d.explain(t, releaseClaimsSQL, "a", postgres.UUIDs(ids), make([]int64, len(ids)))
	require.Contains(t, plan, "Index Cond: (tenant_id = r.tenant_id)", plan)
}

// Who waits for a tenant hears that it was released.
func TestReleaseIsAnnounced(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	endpoints := d.newEndpoints(t, 1, 1)
	d.claimAll(t, endpoints)
	conn := d.connect(t)
	_, err := conn.Exec(t.Context(), listenSQL)
	require.NoError(t, err)
	require.NoError(t, d.store.ReleaseDeliveries(t.Context(), deliverer, []domain.DeliveryClaim{{TenantID: endpoints[0].TenantID, Epoch: endpoints[0].Epoch}}))
	n, err := conn.WaitForNotification(t.Context())
	require.NoError(t, err)
	require.Equal(t, "deliveries:"+endpoints[0].TenantID.String(), n.Payload)
}
