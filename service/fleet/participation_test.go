package fleet

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// notice is how long the others may take to see what a replica has decided.
const notice = 3 * readEvery

// A replica with a wrong address of the broker takes nobody's tenants.
func TestWhoNeverReachedTheBrokerTakesNoPart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		a := joinFleet(t, b, "a")
		wrong := newReplica(b, "wrong", "wrong:1")
		wrong.cut.Store(true)
		wrong.start(t)
		pass(time.Hour)
		requireMembers(t, a, "a")
		require.Equal(t, 1, a.told())
		require.False(t, wrong.Owns(newIDs(t, 1)[0]))
		require.Equal(t, 1, wrong.Size())

		wrong.cut.Store(false)
		pass(notice)
		requireMembers(t, a, "a", "wrong")
		requireMembers(t, wrong, "a", "wrong")
	})
}

// A replica that alone has lost the broker leaves its tenants to the others,
// and has them again when the broker has been back for as long.
func TestWhoAloneIsCutOffLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		replicas := joinAll(t, b, "a", "b", "c")
		ids := newIDs(t, 50)
		a := replicas[0]
		a.run(domain.ConsumerStatus{TenantID: ids[0], State: "running"})
		pass(time.Minute)
		told := tolds(replicas)
		a.cut.Store(true)
		pass(changeAfter - notice)
		require.Equal(t, told, tolds(replicas), "not before its time")
		pass(2 * notice)
		for _, r := range replicas {
			requireMembers(t, r, "b", "c")
			require.Equal(t, map[bool]int{true: 3, false: 2}[r == a], r.Size())
		}
		for _, id := range ids {
			requireOneOwner(t, id, replicas...)
			require.False(t, a.Owns(id))
		}
		pass(time.Hour)
		b.set(func() {
			require.Len(t, b.rows, 2)
			require.Empty(t, b.reports)
		})
		told = tolds(replicas)

		a.cut.Store(false)
		pass(changeAfter - notice)
		require.Equal(t, told, tolds(replicas), "not before its time")
		pass(2 * notice)
		for _, r := range replicas {
			requireMembers(t, r, "a", "b", "c")
		}
		pass(reportScans * scanEvery)
		b.set(func() { require.Len(t, b.reports, 1, "reported again") })
	})
}

// When all lose the broker nothing moves, however far apart they notice.
func TestABrokerThatIsAwayForAllMovesNothing(t *testing.T) {
	t.Parallel()
	for _, length := range []time.Duration{time.Second, 12 * time.Second, 20 * time.Second, time.Minute, 3 * time.Hour} {
		t.Run(length.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newTable()
				replicas := joinAll(t, b, "a", "b", "c")
				told := tolds(replicas)
				for i, r := range replicas {
					lost := time.Duration(i) * 5 * time.Second
					found := max(lost+time.Second, length+time.Duration(len(replicas)-1-i)*3*time.Second)
					time.AfterFunc(lost, func() { r.cut.Store(true) })
					time.AfterFunc(found, func() { r.cut.Store(false) })
				}
				pass(length + time.Minute)
				for _, r := range replicas {
					requireMembers(t, r, "a", "b", "c")
				}
				require.Equal(t, told, tolds(replicas), "not for a moment")
			})
		})
	}
}

// Who has nobody to leave its tenants to keeps them, and who is left alone
// without having left takes them back at once.
func TestTheLastOneStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		replicas := joinAll(t, b, "a", "b")
		a, other := replicas[0], replicas[1]
		a.cut.Store(true)
		pass(changeAfter + notice)
		requireMembers(t, other, "b")
		other.cut.Store(true)
		pass(time.Hour)
		requireMembers(t, a, "b")
		requireMembers(t, other, "b")
		a.cut.Store(false)
		pass(notice)
		requireMembers(t, a, "a", "b")
		pass(changeAfter)
		requireMembers(t, a, "a")
		requireMembers(t, other, "a")
		a.kill()
		pass(moveLimit)
		requireMembers(t, other)
		other.cut.Store(false)
		pass(notice)
		requireMembers(t, other, "b")
	})
}

// A connection that comes for a moment now and then is as good as none.
func TestAFlappingConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		replicas := joinAll(t, b, "a", "b")
		told := replicas[1].told()
		for range 100 {
			replicas[0].cut.Store(true)
			pass(changeAfter + notice)
			replicas[0].cut.Store(false)
			pass(changeAfter / 2)
		}
		require.Equal(t, told+1, replicas[1].told(), "left once")
	})
}

// Whatever connections and clocks do, somebody is left, and at last everybody
// takes part.
func TestNeverDoAllLeave(t *testing.T) {
	t.Parallel()
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			b := newTable()
			replicas := joinAll(t, b, "a", "b", "c")
			for range 200 {
				r := replicas[rand.N(len(replicas))]
				r.cut.Store(rand.N(3) > 0)
				if rand.N(10) == 0 {
					b.set(func() { b.jump += rand.N(2*time.Minute) - time.Minute })
				}
				pass(rand.N(20 * time.Second))
				b.set(func() { require.NotEmpty(t, b.rows) })
			}
			for _, r := range replicas {
				r.cut.Store(false)
			}
			pass(time.Minute)
			for _, r := range replicas {
				requireMembers(t, r, "a", "b", "c")
			}
		})
	}
}
