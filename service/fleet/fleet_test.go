package fleet

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// moveLimit is how long it may take until the others have taken the tenants
// of a replica that died: one has to leave some of the promised 15 s for
// starting consumers.
const moveLimit = 12 * time.Second

func TestAloneOwnsEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		b.down = true
		r := joinFleet(t, b, "a")
		id := uuid.New()
		pass(time.Minute)
		require.False(t, r.Owns(id), "nothing before the first heartbeat")
		require.Empty(t, r.Owner(id))
		require.Zero(t, r.told())

		b.set(func() { b.down = false })
		pass(2 * readEvery)
		require.True(t, r.Owns(id))
		require.Equal(t, "a", r.Owner(id))
		require.Equal(t, 1, r.told())
		pass(time.Hour)
		require.Equal(t, 1, r.told(), "told only of changes")
	})
}

func TestEveryTenantHasOneOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		replicas := joinAll(t, b, "a", "b", "c")
		pass(time.Hour)
		for _, id := range newIDs(t, 200) {
			requireOneOwner(t, id, replicas...)
		}
	})
}

func requireOneOwner(t testing.TB, id uuid.UUID, replicas ...*replica) {
	t.Helper()
	owners := 0
	for _, r := range replicas {
		require.Equal(t, replicas[0].Owner(id), r.Owner(id))
		if r.Owns(id) {
			owners++
		}
	}
	require.Equal(t, 1, owners)
}

// A newcomer is seen at once by who is told to look.
func TestRefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		a := joinFleet(t, b, "a")
		pass(readEvery + readEvery/2)
		joinFleet(t, b, "b")
		synctest.Wait()
		requireMembers(t, a, "a")
		for range 100 {
			a.Refresh()
		}
		synctest.Wait()
		requireMembers(t, a, "a", "b")
		require.Equal(t, 2, a.told())
	})
}

func TestADeadReplicaLosesItsTenants(t *testing.T) {
	t.Parallel()
	// It may die at any moment between two heartbeats.
	for phase := range 7 {
		synctest.Test(t, func(t *testing.T) {
			b := newTable()
			replicas := joinAll(t, b, "a", "b", "c")
			pass(time.Minute + time.Duration(phase)*heartbeatEvery/7)
			replicas[0].kill()
			pass(suspectAfter)
			requireMembers(t, replicas[1], "a", "b", "c")
			pass(moveLimit - suspectAfter)
			for _, r := range replicas[1:] {
				requireMembers(t, r, "b", "c")
			}
			pass(forgetAfter - time.Minute)
			for _, r := range replicas[1:] {
				requireMembers(t, r, "b", "c")
				require.LessOrEqual(t, r.told(), 4)
			}
			b.set(func() { require.Len(t, b.rows, 3) })
			pass(2 * forgetEvery)
			b.set(func() { require.Len(t, b.rows, 2, "forgotten after an hour") })
		})
	}
}

// A replica that is slow, but not for 10 s, keeps its tenants.
func TestASlowReplicaStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		a := joinFleet(t, b, "a")
		beat := func() { b.set(func() { b.rows["slow"] = row{address: "slow", seen: b.now()} }) }
		beat()
		pass(2 * readEvery)
		told := a.told()
		for range 20 {
			beat()
			pass(deadAfter - readEvery)
			requireMembers(t, a, "a", "slow")
		}
		require.Equal(t, told, a.told())
	})
}

func TestLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		replicas := joinAll(t, b, "a", "b")
		a, other := replicas[0], replicas[1]
		pass(time.Minute)
		require.NoError(t, a.Deregister(t.Context()))
		for _, id := range newIDs(t, 20) {
			require.False(t, a.Owns(id))
		}
		pass(readEvery)
		requireMembers(t, other, "b")
		require.NoError(t, a.Deregister(t.Context()), "again")
		pass(time.Hour)
		b.set(func() { require.Len(t, b.rows, 1, "it does not come back") })
	})
}

func TestLeaveAtAnyTime(t *testing.T) {
	t.Parallel()
	t.Run("before run", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newTable()
			o := joinFleet(t, b, "other").o
			o.Replica.Name, o.Replica.Address = "a", "a:1"
			for range 200 { // it is a matter of luck who comes first
				f := New(o)
				require.NoError(t, f.Deregister(t.Context()))
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				f.Run(ctx)
				require.Error(t, ctx.Err(), "it returns when its context has ended")
				cancel()
				b.set(func() { require.NotContains(t, b.rows, "a") })
			}
		})
	})
	t.Run("after run", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newTable()
			a := joinFleet(t, b, "a")
			pass(readEvery)
			a.kill()
			require.True(t, a.Owns(uuid.New()), "until it leaves")
			require.NoError(t, a.Deregister(t.Context()))
			require.False(t, a.Owns(uuid.New()))
			b.set(func() { require.Empty(t, b.rows) })
		})
	})
	t.Run("while it writes its row", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newTable()
			a := joinFleet(t, b, "a")
			pass(readEvery)
			b.set(func() { b.frozen, b.late = true, true })
			pass(2 * heartbeatEvery) // by now it is writing, and will be for a second or two
			go b.set(func() { b.frozen = false })
			require.NoError(t, a.Deregister(t.Context()))
			pass(time.Minute)
			b.set(func() { require.Empty(t, b.rows) })
		})
	})
	t.Run("while the database is frozen", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newTable()
			a := joinFleet(t, b, "a")
			pass(readEvery)
			b.set(func() { b.frozen = true })
			pass(heartbeatEvery)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			require.ErrorIs(t, a.Deregister(ctx), context.DeadlineExceeded)
			b.set(func() { b.frozen = false })
			require.NoError(t, a.Deregister(t.Context()))
			pass(time.Minute)
			b.set(func() { require.Empty(t, b.rows) })
		})
	})
}

// tolds returns how often each replica was told of changes.
func tolds(replicas []*replica) []int {
	var all []int
	for _, r := range replicas {
		all = append(all, r.told())
	}
	return all
}

// In no outage, however long, and of whatever kind, does a tenant move.
func TestAnOutageMovesNothing(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]func(b *table, broken bool){
		"down":      func(b *table, broken bool) { b.down = broken },
		"frozen":    func(b *table, broken bool) { b.frozen = broken },
		"read-only": func(b *table, broken bool) { b.readOnly = broken },
	} {
		for _, length := range []time.Duration{100 * time.Millisecond, time.Second, 5 * time.Second, 9 * time.Second, time.Minute, 3 * time.Hour} {
			t.Run(name+" for "+length.String(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := newTable()
					replicas := joinAll(t, b, "a", "b", "c")
					pass(time.Minute)
					told := tolds(replicas)
					b.set(func() { outage(b, true) })
					pass(length)
					b.set(func() { outage(b, false) })
					pass(time.Minute)
					for _, r := range replicas {
						requireMembers(t, r, "a", "b", "c")
					}
					require.Equal(t, told, tolds(replicas), "not for a moment")

					replicas[0].kill()
					pass(moveLimit)
					requireMembers(t, replicas[1], "b", "c")
					requireMembers(t, replicas[2], "b", "c")
				})
			})
		}
	}
}

// Who dies in an outage loses its tenants after it.
func TestADeathInAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		replicas := joinAll(t, b, "a", "b", "c")
		b.set(func() { b.down = true })
		pass(time.Second)
		replicas[0].kill()
		pass(time.Minute)
		b.set(func() { b.down = false })
		pass(freezeFor - time.Second)
		requireMembers(t, replicas[1], "a", "b", "c")
		pass(3 * time.Second)
		requireMembers(t, replicas[1], "b", "c")
		requireMembers(t, replicas[2], "b", "c")
	})
}

// An outage may lose the rows, too.
func TestALostTableMovesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		replicas := joinAll(t, b, "a", "b", "c")
		told := tolds(replicas)
		b.set(func() { b.down = true })
		pass(2 * heartbeatEvery)
		b.set(func() {
			b.down = false
			clear(b.rows)
		})
		pass(time.Minute)
		for _, r := range replicas {
			requireMembers(t, r, "a", "b", "c")
		}
		require.Equal(t, told, tolds(replicas))
	})
}

// While nobody may leave, who comes is taken: everybody knows the same, with
// the newcomer, as soon as all have seen it.
func TestANewcomerInTheFreeze(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		replicas := joinAll(t, b, "a", "b")
		b.set(func() { b.down = true })
		pass(time.Minute)
		b.set(func() { b.down = false })
		replicas = append(replicas, joinFleet(t, b, "c"))
		pass(2 * readEvery)
		for _, r := range replicas {
			requireMembers(t, r, "a", "b", "c")
		}
	})
}

// Who starts again with the same address has taken its own place: nobody
// waits for the dead one.
func TestARestartedReplica(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		other := joinFleet(t, b, "other")
		before := joinAt(t, b, "before", "host:1")
		pass(2 * readEvery)
		requireMembers(t, other, "other", "before")
		before.kill()
		after := joinAt(t, b, "after", "host:1")
		pass(readEvery)
		requireMembers(t, other, "other", "after")
		requireMembers(t, after, "other", "after")
	})
}

// Whatever others do to its row, a replica counts itself in.
func TestItsRowIsDeleted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		a := joinFleet(t, b, "a")
		pass(readEvery)
		b.set(func() { clear(b.rows) })
		pass(readEvery)
		requireMembers(t, a, "a")
		pass(heartbeatEvery)
		b.set(func() { require.Len(t, b.rows, 1) })
	})
}
