package tenant_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// fleet returns two processes that run in one world. Tenants are the first
// one's until they are given to the other one; those are the keys of the map,
// which is guarded by world.mu.
func fleet(t *testing.T) (one, other *process, moved map[uuid.UUID]bool) {
	t.Helper()
	w := newWorld()
	one, other = newProcess(w), newProcess(w)
	moved = map[uuid.UUID]bool{}
	w.owner = func(id uuid.UUID) *process {
		if moved[id] {
			return other
		}
		return one
	}
	t.Cleanup(one.run(t))
	t.Cleanup(other.run(t))
	return one, other, moved
}

// survey makes processes look at their tenants, as they do when the fleet
// changes.
func survey(processes ...*process) {
	for _, p := range processes {
		p.reconciler.ResyncAll()
	}
}

func TestConsumersRunWhereTheyAreOwned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, other, moved := fleet(t)
		var ids []uuid.UUID
		for n := range 40 {
			ids = append(ids, create(t, []*process{one, other}[n%2], admin(), domain.NewTenant{}).ID)
		}
		pass(time.Second)
		require.Len(t, one.Running(), 40, "also those that were created through the other one")
		require.Empty(t, other.Running())

		var starts int
		one.set(func() {
			starts = one.starts + other.starts
			for _, id := range ids[:15] {
				moved[id] = true
			}
		})
		survey(one, other)
		pass(time.Second)
		require.Len(t, one.Running(), 25)
		require.Len(t, other.Running(), 15)
		one.set(func() {
			for _, id := range ids {
				require.Equal(t, 1, one.consumed(id))
			}
			require.Equal(t, starts+15, one.starts+other.starts, "the others stayed as they were")
		})

		one.set(func() { clear(moved) })
		pass(convergence) // nobody says so
		require.Len(t, one.Running(), 40)
		require.Empty(t, other.Running())
		require.Empty(t, one.violations)
	})
}

// Five hundred tenants change places, and two hundred of them take long to drain.
// Those delay nobody else, neither where they leave nor where they go.
func TestMovingManyTenants(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, other, moved := fleet(t)
		one.set(func() { one.starting = 10 * time.Millisecond })
		var ids []uuid.UUID
		for n := range 500 {
			id := create(t, one, admin(), domain.NewTenant{}).ID
			ids = append(ids, id)
			one.set(func() { moved[id] = n%2 == 0 })
		}
		survey(one, other)
		pass(convergence)
		require.Len(t, one.Running(), 250)

		one.set(func() {
			for n, id := range ids {
				moved[id] = !moved[id]
				if n < 200 {
					one.draining[id] = 10 * time.Second
				}
			}
		})
		survey(one, other)
		pass(time.Second)
		one.set(func() {
			for n, id := range ids {
				owner := one.owner(id)
				require.Contains(t, owner.consumers, id, "the new owner has subscribed")
				require.Equal(t, n < 200, one.consumed(id) == 2, "the old one drains")
			}
		})
		pass(10 * time.Second)
		require.Len(t, one.Running(), 250)
		require.Len(t, other.Running(), 250)
	})
}

// A broker that is slow to take subscriptions does not keep consumers from
// leaving.
func TestSlowStartsDelayNoStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, other, moved := fleet(t)
		var ids []uuid.UUID
		for n := range 200 {
			id := create(t, one, admin(), domain.NewTenant{}).ID
			ids = append(ids, id)
			one.set(func() { moved[id] = n%2 == 0 })
		}
		survey(one, other)
		pass(convergence)
		one.set(func() {
			one.starting = time.Minute
			for _, id := range ids {
				moved[id] = !moved[id]
			}
		})
		survey(one, other)
		pass(time.Second)
		one.set(func() {
			for _, id := range ids {
				require.NotContains(t, map[bool]*process{true: one, false: other}[moved[id]].consumers, id)
			}
			one.starting = 0
		})
		pass(convergence)
		require.Len(t, one.Running(), 100)
		require.Len(t, other.Running(), 100)
	})
}

// A tenant that moves away while its consumer starts is not left with it.
func TestMovedWhileStarting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, other, moved := fleet(t)
		synctest.Wait() // for the first rounds
		one.set(func() {
			one.deaf = true
			one.once("start", func() {
				one.set(func() {
					for id := range one.rows {
						moved[id] = true
					}
				})
			})
		})
		id := create(t, one, admin(), domain.NewTenant{}).ID
		synctest.Wait()
		require.Empty(t, one.Running())
		survey(one, other)
		synctest.Wait()
		require.Contains(t, other.Running(), id)
	})
}

// What is changed through one process takes effect in the other one within a
// second; and within a round when the announcement is lost.
func TestChangesTakeEffectElsewhere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		deaf   bool
		within time.Duration
	}{
		"announced": {false, time.Second},
		"lost":      {true, convergence},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				owner, other, _ := fleet(t)
				id := create(t, owner, admin(), domain.NewTenant{}).ID
				_, err := owner.directory.Lookup(t.Context(), id)
				require.NoError(t, err)
				owner.set(func() { owner.deaf = c.deaf })
				follows := func(err error, what string) {
					t.Helper()
					require.NoError(t, err)
					pass(c.within)
					synctest.Wait()
					require.Empty(t, owner.there(id), what)
					require.Empty(t, other.Running(), what)
				}
				_, err = other.SetWorkers(t.Context(), admin(), id, 42)
				follows(err, "resized")
				_, err = other.StopConsumer(t.Context(), admin(), id)
				follows(err, "stopped")
				_, err = other.StartConsumer(t.Context(), admin(), id)
				follows(err, "started")
				_, err = other.StopConsumers(t.Context(), admin())
				follows(err, "all stopped")
				_, err = other.StartConsumers(t.Context(), admin())
				follows(err, "all started")
				_, err = other.Change(t.Context(), admin(), id, domain.TenantChange{Status: new("inactive")})
				follows(err, "inactive")
				known, err := owner.directory.Lookup(t.Context(), id)
				require.NoError(t, err)
				require.Error(t, known.AcceptsMessages(), "the directory has heard of it, too")
				_, err = other.Change(t.Context(), admin(), id, domain.TenantChange{Status: new("active")})
				follows(err, "active")
				_, err = other.Delete(t.Context(), admin(), id)
				require.NoError(t, err)
				pass(c.within)
				require.Empty(t, owner.gone(id))
				require.Empty(t, other.gone(id))
				_, err = owner.directory.Lookup(t.Context(), id)
				require.ErrorIs(t, err, domain.ErrNotFound)
				owner.set(func() { require.Contains(t, other.deleted, id) })
				if !c.deaf {
					owner.set(func() { require.Contains(t, owner.deleted, id, "everybody forgets it") })
				}
				require.Empty(t, owner.violations)
			})
		})
	}
}

// More changes at once than can wait are made up for by looking at everything.
func TestEnqueuedConsumersBeyondNumber(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProcess(newWorld())
		id := create(t, p, admin(), domain.NewTenant{}).ID
		defer p.run(t)()
		synctest.Wait()
		lists := func() (n int) {
			p.set(func() { n = p.lists })
			return n
		}
		before := lists()
		others := make([]uuid.UUID, 5000)
		for i := range others {
			others[i] = uuid.New()
		}
		flood := func() {
			for _, id := range others {
				p.follower.Follow(domain.Change{Kind: domain.TenantChanged, ID: id})
			}
		}
		for n := 0; lists() == before; n++ {
			require.Less(t, n, 100, "the notices were never too many")
			flood()
			synctest.Wait()
		}
		p.set(func() {
			changed := p.rows[id]
			changed.Stopped = true
			p.rows[id] = changed
		})
		flood()
		p.follower.Follow(domain.Change{Kind: domain.TenantChanged, ID: id})
		synctest.Wait()
		require.Empty(t, p.there(id))
		require.Empty(t, p.Running())
	})
}

// Hearing of one's own change again costs a read.
func TestOwnChangesAreCheap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProcess(newWorld())
		id := create(t, p, admin(), domain.NewTenant{}).ID
		defer p.run(t)()
		synctest.Wait()
		var before int
		p.set(func() { before = p.steps - p.starts })
		for range 10 {
			p.follower.Follow(domain.Change{Kind: domain.TenantChanged, ID: id})
			synctest.Wait()
		}
		p.set(func() { require.LessOrEqual(t, p.steps-p.starts-before, 10) })
		require.Empty(t, p.there(id))
	})
}
