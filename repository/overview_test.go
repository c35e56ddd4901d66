package repository

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

func sightQuery() domain.SightQuery {
	return domain.SightQuery{EndpointsPerTenant: 2, LettersPerTenant: 3, Moves: 2, FreshFor: time.Hour}
}

func (d *database) sight(t testing.TB) domain.FleetSight {
	t.Helper()
	sight, err := d.store.ReadFleet(t.Context(), sightQuery())
	require.NoError(t, err)
	return sight
}

// tenantSight returns what is seen of one tenant.
func (d *database) tenantSight(t testing.TB, id uuid.UUID) domain.TenantSight {
	t.Helper()
	sight := d.sight(t)
	for i := range sight.Tenants {
		if sight.Tenants[i].ID == id {
			return sight.Tenants[i]
		}
	}
	require.Fail(t, "the tenant is not seen")
	return domain.TenantSight{}
}

// What is seen of a tenant is what those say who look at it alone.
func TestTenantSight(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	settlements := d.newEndpoints(t, 2, 3)
	id, other := settlements[0].TenantID, settlements[3].TenantID
	owner := newID(t)
	d.exec(t, `UPDATE tenants SET name = 'Acme', external_id = 'acme', user_id = $2, workers = 7, paused = true WHERE id = $1`, id, owner)
	before := time.Now()
	_, err := d.store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{id}, 20))
	require.NoError(t, err)

	// One endpoint is held with 12 messages to go, of which one is a delivery that its
	// cursor has passed; one is disabled, and one has an open breaker.
	d.exec(t, `UPDATE endpoint_cursors SET settled_seq = 9 WHERE endpoint_id = $1`, settlements[0].EndpointID)
	for _, seq := range []int64{4, 15} { // the other is beyond the cursor, and so counted already
		d.exec(t, `INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id) VALUES ($1, $2, $3, $4)`, id, settlements[0].EndpointID, seq, newID(t))
	}
	d.exec(t, `UPDATE endpoints SET status = 'held', description = 'for the warehouse' WHERE id = $1`, settlements[0].EndpointID)
	d.exec(t, `UPDATE endpoints SET status = 'disabled', status_reason = 'It answered 410.', url = 'https://u:p@example.com/hook?token=x' WHERE id = $1`, settlements[1].EndpointID)
	d.exec(t, `UPDATE endpoint_cursors SET settled_seq = 20 WHERE endpoint_id = $1`, settlements[1].EndpointID)
	d.exec(t, `UPDATE endpoint_cursors SET settled_seq = 19, breaker_opened_at = now() - interval '12 minutes' WHERE endpoint_id = $1`, settlements[2].EndpointID)
	for i := range 5 {
		d.insertRow(t, "dead_letters", "tenant_id", id)
		d.exec(t, `UPDATE dead_letters SET created_at = now() - $1 * interval '25 minutes', replayed_at = CASE $1 WHEN 0 THEN now() END
			WHERE id = (SELECT max(id) FROM dead_letters)`, i)
	}

	beat(t, d.store, replica("a"), "a")
	oldest := time.Now().Add(-time.Minute).Truncate(time.Millisecond).UTC()
	report := domain.ConsumerStatus{TenantID: id, State: domain.ConsumerRunning, Workers: 7, Busy: 2, Depth: 31, OldestAt: oldest, Since: oldest, LastError: "broke"}
	require.NoError(t, d.store.ReportConsumers(t.Context(), "a", []domain.ConsumerStatus{report}, nil))

	sight := d.sight(t)
	require.WithinDuration(t, time.Now(), sight.At, time.Minute)
	require.Len(t, sight.Tenants, 2)
	seen := d.tenantSight(t, id)
	require.Equal(t, []any{"Acme", "acme", domain.TenantActive, true, 7, owner}, []any{seen.Name, seen.ExternalID, seen.Status, seen.Stopped, seen.Workers, seen.OwnerID})
	require.EqualValues(t, 20, seen.LastSeq)
	require.WithinRange(t, seen.LastStoredAt, before.Add(-time.Second), time.Now().Add(time.Second))
	require.Equal(t, ask[int64](t, d, `SELECT count(*) FROM dead_letters WHERE tenant_id = $1 AND replayed_at IS NULL`, id), seen.DeadLetters)
	require.EqualValues(t, 4, seen.DeadLetters)
	require.Equal(t, []any{domain.ConsumerRunning, "a", 2, int64(31), oldest, oldest, "broke"},
		[]any{seen.Consumer, seen.Replica, seen.Busy, seen.Backlog, seen.OldestAt, seen.Since, seen.LastError})
	require.Equal(t, domain.EndpointCounts{Total: 3, Active: 1, Held: 1, Disabled: 1, BreakerOpen: 1, Lag: 12 + 0 + 1, HeldLag: 12}, seen.Endpoints)
	lag := int64(0)
	for i := range 3 {
		p := d.progress(t, &domain.Endpoint{TenantID: id, ID: settlements[i].EndpointID})
		lag += p.Lag()
	}
	require.Equal(t, lag, seen.Endpoints.Lag)

	require.Equal(t, "for the warehouse", sight.Endpoints[0].Name)
	require.Len(t, sight.Endpoints, 2, "as many as were asked for, those with the largest lag")
	require.EqualValues(t, 12, sight.Endpoints[0].Lag)
	require.EqualValues(t, 1, sight.Endpoints[1].Lag)
	require.WithinDuration(t, sight.At.Add(-12*time.Minute), sight.Endpoints[1].BreakerOpenedAt, time.Minute)
	d.exec(t, `DELETE FROM endpoints WHERE id = $1`, settlements[0].EndpointID)
	disabled := d.sight(t).Endpoints[1]
	require.Equal(t, "https://example.com/hook?...", disabled.Name, "without secrets")
	require.Equal(t, "It answered 410.", disabled.Reason)

	// Of the three latest letters of the last hour one was replayed.
	require.Len(t, sight.Letters, 1)
	require.Equal(t, []any{id, int64(2)}, []any{sight.Letters[0].TenantID, sight.Letters[0].Count})
	require.WithinDuration(t, sight.At.Add(-25*time.Minute), sight.Letters[0].LastAt, time.Minute)
	require.WithinDuration(t, sight.At.Add(-50*time.Minute), sight.Letters[0].FirstAt, time.Minute)

	bare := d.tenantSight(t, other)
	require.Equal(t, []any{domain.ConsumerState(""), int64(-1), int64(0)}, []any{bare.Consumer, bare.Backlog, bare.LastSeq})
	require.Zero(t, bare.LastStoredAt)
	require.Zero(t, bare.OldestAt)
	d.ageReplica(t, "a", ttl)
	require.Equal(t, domain.ConsumerState(""), d.tenantSight(t, id).Consumer, "the dead tell nothing")
	d.exec(t, `UPDATE tenants SET status = 'deleted' WHERE id = $1`, other)
	require.Len(t, d.sight(t).Tenants, 1)
}

// Who halted a tenant is who did it last.
func TestHalts(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	user := newID(t)
	d.exec(t, `INSERT INTO users (user_id, name, email, role) VALUES ($1, 'Ada', 'ada@example.com', 'member')`, user)
	ids := d.newTenants(t, 4)
	d.exec(t, `INSERT INTO tenants (id, name, status, workers, user_id) SELECT id, 't', 'active', 3, $2 FROM unnest($1::uuid[]) AS t (id)`, postgres.UUIDs(ids), user)
	by := func(kind domain.ActorKind) context.Context {
		return domain.WithActor(t.Context(), domain.Actor{Kind: kind, UserID: user})
	}
	change := func(ctx context.Context, id uuid.UUID, change func(*domain.Tenant) error) {
		t.Helper()
		_, err := d.store.ChangeTenant(ctx, id, change)
		require.NoError(t, err)
	}
	stop := func(t *domain.Tenant) error { t.StopConsumer(); return nil }
	change(by(domain.ActorUser), ids[0], stop)
	change(by(domain.ActorKey), ids[1], func(t *domain.Tenant) error { return t.Transition(domain.TenantInactive) })
	change(by(domain.ActorKey), ids[1], func(t *domain.Tenant) error { t.Name = "renamed"; return nil })
	d.exec(t, `UPDATE tenants SET paused = true WHERE id = $1`, ids[2]) // by hand
	halts := func() map[uuid.UUID]domain.Halt {
		all := make(map[uuid.UUID]domain.Halt)
		for _, h := range d.sight(t).Halts {
			all[h.TenantID] = h
		}
		return all
	}
	got := halts()
	require.Len(t, got, 2)
	require.Equal(t, []any{domain.AuditConsumerStop, domain.ActorUser, user, "ada@example.com"}, []any{got[ids[0]].Action, got[ids[0]].Actor.Kind, got[ids[0]].Actor.UserID, got[ids[0]].Name})
	require.WithinDuration(t, time.Now(), got[ids[0]].At, time.Minute)
	require.Equal(t, []any{domain.AuditTenantChange, domain.ActorKey}, []any{got[ids[1]].Action, got[ids[1]].Actor.Kind})

	_, err := d.store.SetAllStopped(by(domain.ActorOpen), true)
	require.NoError(t, err)
	got = halts()
	require.Equal(t, domain.AuditAllStop, got[ids[3]].Action)
	require.Equal(t, domain.AuditTenantChange, got[ids[1]].Action, "it is inactive in the first place")
	change(by(domain.ActorUser), ids[3], func(t *domain.Tenant) error { return t.StartConsumer() })
	change(by(domain.ActorUser), ids[3], stop)
	require.Equal(t, domain.AuditConsumerStop, halts()[ids[3]].Action)

	owners := d.sight(t).Owners
	require.Len(t, owners, 1)
	require.Equal(t, domain.OwnerSight{ID: user, Email: "ada@example.com", Use: domain.OwnerUse{Role: domain.RoleMember, Tenants: 4, Workers: 12}}, owners[0])
}

// A tenant has moved when another replica runs its consumer; coming back to the same one
// is no move, and the last one outlives its replica, reports and a crash.
func TestMoves(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ids := d.newTenants(t, 3)
	d.exec(t, `INSERT INTO tenants (id, name, status, workers) SELECT id, 't', 'active', 3 FROM unnest($1::uuid[]) AS t (id)`, postgres.UUIDs(ids))
	runs := func(name string, state domain.ConsumerState, ids ...uuid.UUID) {
		t.Helper()
		var all []domain.ConsumerStatus
		for _, id := range ids {
			all = append(all, domain.ConsumerStatus{TenantID: id, State: state})
		}
		require.NoError(t, d.store.ReportConsumers(t.Context(), name, all, nil))
	}
	runs("a", domain.ConsumerRunning, ids...)
	runs("a", domain.ConsumerRunning, ids...)
	require.Empty(t, d.sight(t).Moves, "a tenant that runs for the first time has not moved")
	runs("b", domain.ConsumerStarting, ids[0])
	require.Empty(t, d.sight(t).Moves, "it does not run yet")
	runs("b", domain.ConsumerRunning, ids[0])
	runs("b", domain.ConsumerReconnecting, ids[0])
	runs("b", domain.ConsumerRunning, ids[0])
	require.NoError(t, d.store.RemoveReplica(t.Context(), "b"))
	d.exec(t, `TRUNCATE consumer_reports`)
	moves := d.sight(t).Moves
	require.Len(t, moves, 1)
	require.Equal(t, []any{ids[0], "a", "b"}, []any{moves[0].TenantID, moves[0].From, moves[0].To})
	require.WithinDuration(t, time.Now(), moves[0].At, time.Minute)
	at := moves[0].At
	runs("b", domain.ConsumerRunning, ids[0])
	require.Equal(t, at, d.sight(t).Moves[0].At)

	runs("c", domain.ConsumerRunning, ids...)
	require.Len(t, d.sight(t).Moves, 2, "no more than were asked for")
	require.Equal(t, 3, ask[int](t, d, `SELECT count(*) FROM tenant_moves`), "one for each tenant")
	require.Equal(t, "b", ask[string](t, d, `SELECT previous FROM tenant_moves WHERE tenant_id = $1`, ids[0]))
	d.exec(t, `UPDATE tenants SET status = 'deleting' WHERE id = $1`, ids[0])
	require.NoError(t, d.store.ErasePartition(t.Context(), ids[0]))
	runs("d", domain.ConsumerRunning, ids[0])
	require.Equal(t, 2, ask[int](t, d, `SELECT count(*) FROM tenant_moves`), "those of the deleted are gone, and nothing brings them back")
}

func TestReplicaSights(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	a, b := replica("a"), replica("b")
	a.Version, a.ReachesBroker = "1.2.3", true
	beat(t, d.store, a, "a")
	beat(t, d.store, b, "a", "b")
	states := func() string {
		sight := d.sight(t)
		text := ""
		for i := range sight.Replicas {
			r := &sight.Replicas[i]
			text += fmt.Sprint(r.Name, " ", r.Version, " ", r.State(sight.At), " ")
		}
		return text
	}
	require.Equal(t, "a 1.2.3 live b  no_broker ", states())
	d.ageReplica(t, "a", 7*time.Second)
	require.Equal(t, "a 1.2.3 suspect b  no_broker ", states())
	d.ageReplica(t, "a", 4*time.Second)
	require.Equal(t, "a 1.2.3 gone b  no_broker ", states())
}

func TestCountStored(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ids := d.newTenants(t, 2)
	_, err := d.store.AppendMessages(t.Context(), messagesFor(t, ids[:1], 7))
	require.NoError(t, err)
	counts, err := d.store.CountStored(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[uuid.UUID]int64{ids[0]: 7, ids[1]: 0}, counts.LastSeq)
	require.WithinDuration(t, time.Now(), counts.At, time.Minute)
}
