package repository

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/domain"
)

const ttl = 10 * time.Second

func replica(name string) domain.Replica {
	return domain.Replica{Name: name, Address: name + ":8080"}
}

// beat fails the test unless the replicas named are alive after it.
func beat(t testing.TB, s *Store, r domain.Replica, alive ...string) {
	t.Helper()
	names, err := s.Heartbeat(t.Context(), r, ttl)
	require.NoError(t, err)
	require.Equal(t, alive, names)
}

// ageReplica makes the row of a replica older, or younger.
func (d *database) ageReplica(t testing.TB, name string, by time.Duration) {
	t.Helper()
	tag, err := d.owner.Exec(t.Context(), `UPDATE replicas SET seen_at = seen_at - $2::interval WHERE name = $1`, name, by)
	require.NoError(t, err)
	require.EqualValues(t, 1, tag.RowsAffected())
}

func (d *database) count(t testing.TB, query string) int {
	t.Helper()
	var n int
	require.NoError(t, d.owner.QueryRow(t.Context(), query).Scan(&n))
	return n
}

func TestBeat(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other := d.open(t, Options{})
	beat(t, d.store, replica("b"), "b")
	beat(t, other, replica("a"), "a", "b")
	beat(t, d.store, replica("b"), "a", "b")
	require.Equal(t, 2, d.count(t, `SELECT count(*) FROM replicas`))

	d.ageReplica(t, "a", ttl-time.Second)
	beat(t, d.store, replica("b"), "a", "b")
	d.ageReplica(t, "a", time.Second)
	beat(t, d.store, replica("b"), "b")
	names, err := other.LiveReplicas(t.Context(), ttl)
	require.NoError(t, err)
	require.Equal(t, []string{"b"}, names)
	names, err = other.LiveReplicas(t.Context(), 10*365*24*time.Hour)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, names)
	beat(t, other, replica("a"), "a", "b")
	require.Equal(t, 2, d.count(t, `SELECT count(*) FROM replicas WHERE seen_at >= started_at`))
}

func TestBeatTakesTheSameAddress(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	beat(t, d.store, replica("a"), "a")
	beat(t, d.store, domain.Replica{Name: "before", Address: "host:1"}, "a", "before")
	beat(t, d.store, domain.Replica{Name: "after", Address: "host:1"}, "a", "after")
	names, err := d.store.LiveReplicas(t.Context(), ttl)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "after"}, names)

	beat(t, d.store, domain.Replica{Name: "x"}, "a", "after", "x")
	beat(t, d.store, domain.Replica{Name: "y"}, "a", "after", "x", "y")
	beat(t, d.store, domain.Replica{Name: "a", Address: "moved"}, "a", "after", "x", "y")
}

// The clock was set back: what is from the future counts as old, and does not
// come alive when that time has come.
func TestBeatDoubtsTheFuture(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	beat(t, d.store, replica("a"), "a")
	beat(t, d.store, replica("b"), "a", "b")
	for _, jump := range []time.Duration{time.Hour, ttl / 2} {
		d.ageReplica(t, "a", -jump)
		d.ageReplica(t, "b", -jump)
		_, err := d.store.Heartbeat(t.Context(), replica("b"), ttl)
		require.NoError(t, err)
		names, err := d.store.LiveReplicas(t.Context(), ttl)
		require.NoError(t, err)
		require.Equal(t, []string{"b"}, names)
		beat(t, d.store, replica("a"), "a", "b")
	}
}

func TestRemoveReplica(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	beat(t, d.store, replica("a"), "a")
	beat(t, d.store, replica("b"), "a", "b")
	for _, name := range []string{"a", "b"} {
		require.NoError(t, d.store.ReportConsumers(t.Context(), name, []domain.ConsumerStatus{{TenantID: newID(t)}}, nil))
	}
	for range 2 {
		require.NoError(t, d.store.RemoveReplica(t.Context(), "a"))
		require.Equal(t, 1, d.count(t, `SELECT count(*) FROM replicas`))
		require.Equal(t, 1, d.count(t, `SELECT count(*) FROM consumer_reports WHERE replica = 'b'`))
		require.Equal(t, 1, d.count(t, `SELECT count(*) FROM consumer_reports`))
	}
}

func TestDeleteDeadReplicas(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for _, name := range []string{"alive", "dead", "deader", "replaced"} {
		_, err := d.store.Heartbeat(t.Context(), replica(name), ttl)
		require.NoError(t, err)
		require.NoError(t, d.store.ReportConsumers(t.Context(), name, []domain.ConsumerStatus{{TenantID: newID(t)}}, nil))
	}
	beat(t, d.store, domain.Replica{Name: "heir", Address: "replaced:8080"}, "alive", "dead", "deader", "heir")
	d.ageReplica(t, "alive", 59*time.Minute)
	d.ageReplica(t, "dead", time.Hour)
	d.ageReplica(t, "deader", 100*time.Hour)

	n, err := d.store.DeleteDeadReplicas(t.Context(), time.Hour)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Equal(t, 2, d.count(t, `SELECT count(*) FROM consumer_reports WHERE replica IN ('alive', 'replaced')`))
	require.Equal(t, 2, d.count(t, `SELECT count(*) FROM consumer_reports`))
	require.Equal(t, 2, d.count(t, `SELECT count(*) FROM replicas`))

	require.Equal(t, 2, d.count(t, `WITH aged AS (UPDATE consumer_reports SET reported_at = reported_at - interval '1 h' RETURNING 1) SELECT count(*) FROM aged`))
	n, err = d.store.DeleteDeadReplicas(t.Context(), time.Hour)
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, 1, d.count(t, `SELECT count(*) FROM consumer_reports`), "of one that was replaced")
}

// Many replicas beat at the same time, also with the same address, and none
// of them has to wait for another or fails.
func TestBeatConcurrently(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	var g errgroup.Group
	for i := range 6 {
		store := d.open(t, Options{})
		g.Go(func() error {
			r := domain.Replica{Name: fmt.Sprintf("r%d", i), Address: fmt.Sprintf("host:%d", i)}
			for range 50 {
				names, err := store.Heartbeat(t.Context(), r, ttl)
				if err != nil {
					return err
				}
				if len(names) == 0 {
					return fmt.Errorf("%s is not alive", r.Name)
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.Equal(t, 6, d.count(t, `SELECT count(*) FROM replicas`))
}

func TestReportConsumers(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	beat(t, d.store, replica("a"), "a")
	beat(t, d.store, replica("b"), "a", "b")
	ids := []uuid.UUID{newID(t), newID(t), newID(t)}
	var unheard time.Duration // of one of those that were read
	read := func() map[uuid.UUID]domain.ConsumerStatus {
		t.Helper()
		found, err := d.store.ConsumerReports(t.Context(), append(ids, uuid.New()), ttl)
		require.NoError(t, err)
		for id, status := range found {
			require.Positive(t, status.Unheard)
			unheard = status.Unheard
			status.Unheard = 0
			found[id] = status
		}
		return found
	}
	full := domain.ConsumerStatus{
		TenantID: ids[0], State: "running", Workers: 5, Busy: 2, Depth: 1 << 40, Tag: "tag", Replica: "a",
		Since: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), LastError: "broke",
		Held: 240, Trouble: domain.TroubleRefused, Store: domain.StoreTrouble{Kind: domain.StoreLocked, Since: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)},
	}
	bare := domain.ConsumerStatus{TenantID: ids[1], State: "starting", Depth: -1, Replica: "a"}
	require.NoError(t, d.store.ReportConsumers(t.Context(), "a", []domain.ConsumerStatus{full, bare}, nil))
	require.Equal(t, map[uuid.UUID]domain.ConsumerStatus{ids[0]: full, ids[1]: bare}, read())
	depths, err := d.store.ConsumerDepths(t.Context(), ttl)
	require.NoError(t, err)
	require.Equal(t, map[uuid.UUID]int64{ids[0]: 1 << 40}, depths)

	// The newest report wins, and removing what another has reported since
	// does nothing.
	moved := bare
	moved.Replica, moved.State, moved.Depth = "b", "running", 3
	require.NoError(t, d.store.ReportConsumers(t.Context(), "b", []domain.ConsumerStatus{moved}, nil))
	require.NoError(t, d.store.ReportConsumers(t.Context(), "a", nil, []uuid.UUID{ids[1], ids[2]}))
	require.Equal(t, map[uuid.UUID]domain.ConsumerStatus{ids[0]: full, ids[1]: moved}, read())
	require.NoError(t, d.store.ReportConsumers(t.Context(), "b", []domain.ConsumerStatus{{TenantID: ids[2], State: "x"}}, []uuid.UUID{ids[1]}))
	require.Len(t, read(), 2)
	require.NotContains(t, read(), ids[1])

	// A consumer that leaves one replica does not hide that of the next.
	taken, leaving := full, full
	taken.Replica, leaving.State = "b", "draining"
	require.NoError(t, d.store.ReportConsumers(t.Context(), "a", []domain.ConsumerStatus{leaving}, nil))
	require.Equal(t, leaving, read()[ids[0]])
	require.NoError(t, d.store.ReportConsumers(t.Context(), "b", []domain.ConsumerStatus{taken}, nil))
	leaving.Busy = 1
	require.NoError(t, d.store.ReportConsumers(t.Context(), "a", []domain.ConsumerStatus{leaving}, nil))
	require.NoError(t, d.store.ReportConsumers(t.Context(), "a", nil, ids[:1]))
	require.Equal(t, taken, read()[ids[0]])
	require.NoError(t, d.store.ReportConsumers(t.Context(), "a", []domain.ConsumerStatus{full}, nil))

	// It is known how long ago a replica was heard of; the dead tell nothing.
	d.ageReplica(t, "a", ttl/2)
	d.ageReplica(t, "b", ttl/2)
	require.Len(t, read(), 2)
	require.GreaterOrEqual(t, unheard, ttl/2)
	beat(t, d.store, replica("b"), "a", "b")
	d.ageReplica(t, "a", ttl/2)
	require.NotContains(t, read(), ids[0])
	depths, err = d.store.ConsumerDepths(t.Context(), ttl)
	require.NoError(t, err)
	require.Equal(t, map[uuid.UUID]int64{ids[2]: 0}, depths)

	// Errors contain anything.
	full.LastError = "\x00\xff" + string(make([]byte, 5000))
	require.NoError(t, d.store.ReportConsumers(t.Context(), "b", []domain.ConsumerStatus{full}, nil))
	require.NotEmpty(t, read()[ids[0]].LastError)
	require.NoError(t, d.store.ReportConsumers(t.Context(), "b", nil, nil))
	none, err := d.store.ConsumerReports(t.Context(), nil, ttl)
	require.NoError(t, err)
	require.Empty(t, none)
}

// Replicas report the same tenants, in any order, and take them from each
// other without a deadlock.
func TestReportConcurrently(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ids := make([]uuid.UUID, 200)
	for i := range ids {
		ids[i] = uuid.New() // in no order
	}
	var g errgroup.Group
	for i := range 4 {
		name, store := fmt.Sprintf("r%d", i), d.open(t, Options{})
		g.Go(func() error {
			for round := range 20 {
				all := make([]domain.ConsumerStatus, len(ids))
				for k := range ids {
					all[k] = domain.ConsumerStatus{TenantID: ids[(k*[]int{1, 3, 7, 9}[i]+round)%len(ids)], State: "running"}
				}
				if err := store.ReportConsumers(t.Context(), name, all, nil); err != nil {
					return err
				}
				if err := store.ReportConsumers(t.Context(), name, nil, ids[:100]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
}

func TestFleetIsUnavailable(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Options{URL: "postgres://app:hunter2@127.0.0.1:1/none"})
	require.NoError(t, err)
	defer s.Close()
	for name, call := range map[string]func() error{
		"heartbeat":   func() error { _, err := s.Heartbeat(t.Context(), replica("a"), ttl); return err },
		"live":        func() error { _, err := s.LiveReplicas(t.Context(), ttl); return err },
		"broker":      func() error { _, err := s.OthersReachBroker(t.Context(), "a", ttl); return err },
		"remove":      func() error { return s.RemoveReplica(t.Context(), "a") },
		"delete dead": func() error { _, err := s.DeleteDeadReplicas(t.Context(), ttl); return err },
		"report":      func() error { return s.ReportConsumers(t.Context(), "a", nil, []uuid.UUID{uuid.New()}) },
		"reports":     func() error { _, err := s.ConsumerReports(t.Context(), []uuid.UUID{uuid.New()}, ttl); return err },
		"depths":      func() error { _, err := s.ConsumerDepths(t.Context(), ttl); return err },
	} {
		err := call()
		require.ErrorIs(t, err, domain.ErrUnavailable, name)
		require.NotContains(t, err.Error(), "hunter2", name)
	}
}

func TestOthersReachBroker(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	others := func(name string) bool {
		t.Helper()
		reached, err := d.store.OthersReachBroker(t.Context(), name, ttl)
		require.NoError(t, err)
		return reached
	}
	require.False(t, others("a"))
	b := replica("b")
	beat(t, d.store, replica("a"), "a")
	beat(t, d.store, b, "a", "b")
	require.False(t, others("a"))
	b.ReachesBroker = true
	beat(t, d.store, b, "a", "b")
	require.True(t, others("a"))
	require.False(t, others("b"), "not itself")
	d.ageReplica(t, "b", ttl)
	require.False(t, others("a"), "seen too long ago")
	b.ReachesBroker = false
	beat(t, d.store, b, "a", "b")
	require.False(t, others("a"))
}
