package fleet

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// reported returns what the table has, and how many rows were written since
// the last time.
func (b *table) reported() (reports map[uuid.UUID]domain.ConsumerStatus, written int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.calls {
		written += len(c.changed) + len(c.ended)
	}
	b.calls = nil
	return maps.Clone(b.reports), written
}

// running returns the statuses of n consumers.
func running(t testing.TB, n int) []domain.ConsumerStatus {
	t.Helper()
	all := make([]domain.ConsumerStatus, n)
	for i, id := range newIDs(t, n) {
		all[i] = domain.ConsumerStatus{TenantID: id, State: "running", Workers: 3, Tag: "tag", Since: time.Now(), Replica: "a"}
	}
	return all
}

func TestReportsTellWhatChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		a := joinFleet(t, b, "a")
		all := running(t, 1_200)
		a.run(all...)
		pass(2 * scanEvery)
		b.set(func() {
			require.Len(t, b.calls, 3, "in chunks")
			for _, c := range b.calls {
				require.LessOrEqual(t, len(c.changed), chunkSize)
			}
		})
		reports, written := b.reported()
		require.Len(t, reports, len(all))
		require.Equal(t, len(all), written)
		pass(4 * reportScans * scanEvery)
		_, written = b.reported()
		require.Zero(t, written, "nothing has changed")

		// A new state is told soon, numbers when it is time.
		all[3].State = "draining"
		all[4].Depth = 12
		a.run(all...)
		pass(reportScans * scanEvery)
		reports, written = b.reported()
		require.Equal(t, 2, written)
		require.Equal(t, domain.ConsumerDraining, reports[all[3].TenantID].State)
		require.EqualValues(t, 12, reports[all[4].TenantID].Depth)
		all[5].State = domain.ConsumerWaitingForStore
		a.run(all...)
		pass(scanEvery)
		reports, _ = b.reported()
		require.Equal(t, domain.ConsumerWaitingForStore, reports[all[5].TenantID].State)

		a.run(all[1:]...)
		pass(scanEvery)
		reports, _ = b.reported()
		require.Len(t, reports, len(all)-1)
		require.NotContains(t, reports, all[0].TenantID)
	})
}

// Busy workers and depths change all the time, and are told every 3 s.
// A tenant whose report cannot be written keeps none back but those that would
// be written with it.
func TestReportsGoPastATenantInTrouble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		a := joinFleet(t, b, "a")
		all := running(t, 4*chunkSize)
		b.set(func() {
			b.locked = slices.MinFunc(all, func(x, y domain.ConsumerStatus) int { return slices.Compare(x.TenantID[:], y.TenantID[:]) }).TenantID
		})
		a.run(all...)
		pass(2 * scanEvery)
		reports, _ := b.reported()
		require.Len(t, reports, 3*chunkSize)
		b.set(func() { b.locked = uuid.Nil })
		pass(2 * reportScans * scanEvery)
		reports, _ = b.reported()
		require.Len(t, reports, 4*chunkSize)
	})
}

func TestNumbersAreReportedNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		a := joinFleet(t, b, "a")
		all := running(t, 1)
		a.run(all...)
		pass(2 * scanEvery)
		b.reported()
		for i := range 300 {
			all[0].Depth, all[0].Busy = int64(i), i%3
			a.run(all...)
			pass(100 * time.Millisecond)
		}
		_, written := b.reported()
		require.InDelta(t, 10, written, 1)
	})
}

// The table may forget everything at any time, seen or unseen.
func TestReportsAreRepeated(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		lose  func(b *table)
		limit time.Duration
	}{
		"in an outage": {func(b *table) {
			b.set(func() { b.down = true })
			pass(20 * time.Second)
			b.set(func() { b.down = false })
		}, 5 * time.Second},
		"unseen": {func(*table) {}, 80 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newTable()
				a := joinFleet(t, b, "a")
				all := running(t, 600)
				a.run(all...)
				pass(10 * time.Second)
				b.set(func() { clear(b.reports) })
				tt.lose(b)
				pass(tt.limit)
				reports, _ := b.reported()
				require.Len(t, reports, len(all))

				const minutes = 6
				pass(minutes * time.Minute)
				_, written := b.reported()
				perMinute := float64(written) / float64(len(all)) / minutes
				require.InDelta(t, 1.5, perMinute, 0.5, "no more than is needed")
			})
		})
	}
}

// What ended in an outage is removed after it, unless another replica has
// reported it since.
func TestConsumersThatMoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		replicas := joinAll(t, b, "a", "b")
		all := running(t, 10)
		replicas[0].run(all...)
		pass(4 * time.Second)
		b.set(func() { b.down = true })
		replicas[0].run(all[:4]...)
		pass(time.Minute)
		b.set(func() {
			b.down = false
			for _, s := range all[8:] {
				s.Replica = "b"
				b.reports[s.TenantID] = s
			}
		})
		replicas[1].run(all[8:]...)
		pass(5 * time.Second)
		reports, _ := b.reported()
		require.Len(t, reports, 6)
		require.Equal(t, "b", reports[all[9].TenantID].Replica)
	})
}

// It returns what others told, whatever runs here.
func TestReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		replicas := joinAll(t, b, "a", "b")
		a, other := replicas[0], replicas[1]
		all := running(t, 4)
		mine, theirs, leaving, nobodys := all[0], all[1], all[2], all[3]
		leaving.State = "draining"
		a.run(mine, leaving)
		pass(3 * time.Second)
		taken := leaving
		taken.State = "running"
		theirs.Replica, taken.Replica = "b", "b"
		other.run(theirs, taken)
		pass(3 * time.Second)
		ids := []uuid.UUID{mine.TenantID, theirs.TenantID, leaving.TenantID, nobodys.TenantID}
		got, err := a.Reported(t.Context(), ids)
		require.NoError(t, err)
		require.Equal(t, map[uuid.UUID]domain.ConsumerStatus{theirs.TenantID: theirs, taken.TenantID: taken}, got)
		got, err = other.Reported(t.Context(), slices.Concat(ids, ids))
		require.NoError(t, err)
		require.Equal(t, map[uuid.UUID]domain.ConsumerStatus{mine.TenantID: mine}, got)

		b.set(func() { b.down = true })
		_, err = a.Reported(t.Context(), ids)
		require.ErrorIs(t, err, domain.ErrUnavailable)
	})
}

func TestDepth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		replicas := joinAll(t, b, "a", "b")
		all := running(t, 2)
		all[0].Depth, all[1].Depth = 7, -1
		replicas[1].run(all...)
		pass(2 * depthsEvery)
		depth, known := replicas[0].Depth(all[0].TenantID)
		require.True(t, known)
		require.EqualValues(t, 7, depth)
		_, known = replicas[0].Depth(all[1].TenantID)
		require.False(t, known)

		b.set(func() { b.down = true })
		pass(time.Minute)
		_, known = replicas[0].Depth(all[0].TenantID)
		require.True(t, known, "the last one that was seen")
	})
}

func TestDepthsAreNotReadForNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTable()
		other := joinFleet(t, b, "b")
		all := running(t, 1)
		all[0].Depth = 7
		other.run(all...)
		o := other.o
		o.Replica.Name, o.Replica.Address, o.TrackDepths = "a", "a:1", false
		f := New(o)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			f.Run(t.Context())
		}()
		t.Cleanup(func() { <-ended })
		pass(time.Minute)
		_, known := f.Depth(all[0].TenantID)
		require.False(t, known)
	})
}
