package overview

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// However many ask, and whoever they are, the database is looked at once in a second, and
// less often when that takes long.
func TestOneLookForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(func(*domain.TenantSight) {})
		s := New(w.options)
		ask := func(n int) {
			var all sync.WaitGroup
			for range n {
				all.Go(func() {
					o, err := s.Overview(t.Context(), admin())
					if err != nil || o.Tenants.Total != 1 {
						t.Error(o.Tenants, err)
					}
				})
			}
			all.Wait()
		}
		w.slow = 10 * time.Millisecond
		ask(100)
		require.Equal(t, 1, w.reads)
		for range 10 {
			pass(90 * time.Millisecond)
			ask(3)
		}
		require.Equal(t, 1, w.reads)
		pass(120 * time.Millisecond)
		ask(3)
		require.Equal(t, 2, w.reads)

		w.set(func() { w.slow = time.Second })
		pass(time.Minute)
		ask(10)
		require.Equal(t, 3, w.reads)
		pass(19 * time.Second)
		ask(10)
		require.Equal(t, 3, w.reads, "it took a second, so it lasts for twenty")
		pass(2 * time.Second)
		ask(10)
		require.Equal(t, 4, w.reads)
	})
}

// A caller that goes away does not take the look with it for which others wait.
func TestTheFirstCallerGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(func(*domain.TenantSight) {})
		w.slow = time.Second
		s := New(w.options)
		first, leave := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		calls.Go(func() { _, _ = s.Overview(first, admin()) })
		synctest.Wait()
		calls.Go(func() {
			if o, err := s.Overview(t.Context(), admin()); err != nil || o.Tenants.Total != 1 {
				t.Error(o, err)
			}
		})
		impatient, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := s.Overview(impatient, admin())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		leave()
		calls.Wait()
		require.Equal(t, 1, w.reads)
	})
}

// While the database is away the last look is shown with its age, for a while.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id := w.add(func(*domain.TenantSight) {})
		w.down = away()
		s := New(w.options)
		_, err := s.Overview(t.Context(), admin())
		require.ErrorIs(t, err, domain.ErrUnavailable)
		_, err = s.Tenants(t.Context(), admin(), domain.OverviewQuery{Limit: 10})
		require.ErrorIs(t, err, domain.ErrUnavailable)
		require.Equal(t, 1, w.reads, "it is not asked again at once")

		w.set(func() { w.down = nil })
		pass(time.Minute)
		at := overviewOf(t, s, admin()).At
		w.set(func() { w.down, w.slow = away(), time.Hour }) // frozen
		pass(time.Minute)
		begun := time.Now()
		o := overviewOf(t, s, admin())
		require.Equal(t, takeTimeout, time.Since(begun))
		require.Equal(t, at, o.At)
		require.Equal(t, time.Minute+takeTimeout, o.Age)
		_, err = s.Tenant(t.Context(), admin(), id)
		require.NoError(t, err)
		pass(showFor)
		_, err = s.Overview(t.Context(), admin())
		require.ErrorIs(t, err, domain.ErrUnavailable, "that is too long ago")
		w.set(func() { w.down, w.slow = nil, 0 })
		pass(2 * time.Minute)
		require.Less(t, overviewOf(t, s, admin()).Age, time.Second)
	})
}

// Callers see what they may access, and of the service itself only admins anything.
func TestWhoSeesWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada, bob := uuid.New(), uuid.New()
	var ofAda []uuid.UUID
	for range 2 {
		ofAda = append(ofAda, w.add(func(s *domain.TenantSight) { s.OwnerID, s.LastSeq, s.DeadLetters, s.Backlog = ada, 10, 2, 3 }))
	}
	ofBob := w.add(func(s *domain.TenantSight) { s.OwnerID, s.LastSeq, s.DeadLetters, s.Backlog = bob, 100, 20, -1 })
	ownerless := w.add(func(s *domain.TenantSight) { s.LastSeq = 1000 })
	s := New(w.options)
	for name, c := range map[string]struct {
		caller domain.Principal
		sees   []uuid.UUID
		stored int64
	}{
		"an admin":                {admin(), []uuid.UUID{ofAda[0], ofAda[1], ofBob, ownerless}, 1120},
		"open mode":               {domain.Principal{Role: domain.RoleAdmin}, []uuid.UUID{ofAda[0], ofAda[1], ofBob, ownerless}, 1120},
		"the owner":               {domain.Principal{UserID: ada, Role: domain.RoleMember}, ofAda, 20},
		"her key":                 {domain.Principal{UserID: ada, Role: domain.RoleMember, KeyID: uuid.New(), Scopes: domain.ScopeRead}, ofAda, 20},
		"a key of a tenant":       {domain.Principal{UserID: ada, Role: domain.RoleMember, KeyID: uuid.New(), KeyTenant: ofAda[1]}, ofAda[1:], 10},
		"an admin's tenant's key": {domain.Principal{UserID: bob, Role: domain.RoleAdmin, KeyID: uuid.New(), KeyTenant: ofBob}, []uuid.UUID{ofBob}, 100},
		"who belongs to one":      {domain.Principal{UserID: uuid.New(), Role: domain.RoleViewer, TenantID: ofBob}, []uuid.UUID{ofBob}, 100},
		"a stranger":              {domain.Principal{UserID: uuid.New(), Role: domain.RoleMember}, nil, 0},
	} {
		o := overviewOf(t, s, c.caller)
		require.Equal(t, len(c.sees), o.Tenants.Total, name)
		require.Equal(t, c.stored, o.Stored, name)
		page, err := s.Tenants(t.Context(), c.caller, domain.OverviewQuery{Limit: 10})
		require.NoError(t, err)
		require.Equal(t, c.sees, idsOf(page), name)
		require.Equal(t, len(c.sees), page.Total, name)
		for _, id := range []uuid.UUID{ofAda[0], ofAda[1], ofBob, ownerless, uuid.New()} {
			_, err := s.Tenant(t.Context(), c.caller, id)
			if slices.Contains(c.sees, id) {
				require.NoError(t, err, name)
			} else {
				require.ErrorIs(t, err, domain.ErrNotFound, name)
			}
		}
		_, err = s.Fleet(t.Context(), c.caller)
		_, ofReplica := s.ReplicaTenants(t.Context(), c.caller, "a", domain.OverviewQuery{Limit: 1})
		if c.caller.IsAdmin() {
			require.NotNil(t, o.Service, name)
			require.NoError(t, err, name)
			require.ErrorIs(t, ofReplica, domain.ErrNotFound, "no replica has shown itself")
		} else {
			require.Nil(t, o.Service, name)
			require.ErrorIs(t, err, domain.ErrForbidden, name)
			require.ErrorIs(t, ofReplica, domain.ErrForbidden, name)
		}
	}
	require.Equal(t, 1, w.ready, "the servers are asked once for all")
	o := overviewOf(t, s, domain.Principal{UserID: ada, Role: domain.RoleMember})
	require.Equal(t, []int64{6, 4}, []int64{o.Backlog, o.DeadLetters})
	require.EqualValues(t, 6, overviewOf(t, s, admin()).Backlog, "what is not known adds nothing")
}

func idsOf(p domain.OverviewPage) (ids []uuid.UUID) {
	for i := range p.Tenants {
		ids = append(ids, p.Tenants[i].ID)
	}
	return ids
}

// A tenant is shown as it was just changed, although the others' look is a moment old.
func TestWhatWasJustChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id := w.add(func(*domain.TenantSight) {})
		s := New(w.options)
		overviewOf(t, s, admin())
		w.set(func() { w.sight.Tenants[0].Stopped = true })
		fresh := w.add(func(s *domain.TenantSight) { s.Name, s.UpdatedAt = "fresh", time.Now() })
		got, err := s.Tenant(t.Context(), admin(), id)
		require.NoError(t, err)
		require.Equal(t, domain.StateStopped, got.State)
		require.Equal(t, "a", got.Replica)
		got, err = s.Tenant(t.Context(), admin(), fresh)
		require.NoError(t, err)
		require.Equal(t, []any{"fresh", domain.StateWaits, int64(-1)}, []any{got.Name, got.State, got.Backlog})
		w.set(func() { w.sight.Tenants[1].Status = domain.TenantDeleted })
		_, err = s.Tenant(t.Context(), admin(), fresh)
		require.ErrorIs(t, err, domain.ErrNotFound)
		require.Equal(t, 1, w.reads)
	})
}

// The rate of a tenant is by how many messages are stored now and were some seconds ago,
// wherever they were stored.
func TestRateOfATenant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id := w.add(func(s *domain.TenantSight) { s.LastSeq = 1000 })
		s := New(w.options)
		ctx, stop := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { s.Run(ctx) })
		defer run.Wait()
		defer stop()
		rate := func() *float64 {
			t.Helper()
			got, err := s.Tenant(t.Context(), admin(), id)
			require.NoError(t, err)
			return got.Rate
		}
		synctest.Wait()
		require.Nil(t, rate(), "nothing to compare with")
		pass(7 * time.Second)
		w.set(func() { w.sight.Tenants[0].LastSeq = 1700 })
		require.InDelta(t, 100, *rate(), 1)
		pass(30 * time.Second)
		require.InDelta(t, 0, *rate(), 0, "nothing came since")
		w.set(func() { w.down = away() })
		pass(30 * time.Second)
		w.set(func() { w.down = nil; w.sight.Tenants[0].LastSeq = 2700 })
		pass(2 * time.Second)
		require.InDelta(t, 1000.0/32, *rate(), 10, "also since before an outage")
		fresh := w.add(func(*domain.TenantSight) {})
		pass(2 * time.Second)
		got, err := s.Tenant(t.Context(), admin(), fresh)
		require.NoError(t, err)
		require.Nil(t, got.Rate)
	})
}

// Nobody reports how much waits in queues without a consumer: some are asked at a time,
// in turn, and a broker that does not answer takes nothing away that was known.
func TestDepthsOfQueuesThatRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const n = 3*depthsAsked + 1
		for i := range n {
			id := w.add(func(s *domain.TenantSight) { s.Stopped, s.Consumer, s.Replica, s.Backlog = true, "", "", -1 })
			w.depths[id] = int64(1000 + i)
		}
		running := w.add(func(s *domain.TenantSight) { s.Backlog = 5 })
		s := New(w.options)
		known := func() int {
			t.Helper()
			page, err := s.Tenants(t.Context(), admin(), domain.OverviewQuery{Limit: 1000})
			require.NoError(t, err)
			k := 0
			for i := range page.Tenants {
				switch got := &page.Tenants[i]; {
				case got.ID == running:
					require.EqualValues(t, 5, got.Backlog)
				case got.Backlog >= 0:
					require.EqualValues(t, 1000+i, got.Backlog)
					k++
				}
			}
			return k
		}
		for look := 1; look <= 4; look++ {
			require.Equal(t, min(n, look*depthsAsked), known())
			require.Len(t, w.asked, look*depthsAsked)
			pass(2 * time.Second)
		}
		w.set(func() { clear(w.depths) })
		require.Equal(t, n, known())
		pass(depthFor)
		require.Zero(t, known(), "that was too long ago")
		require.NotContains(t, w.asked, running)
	})
}
