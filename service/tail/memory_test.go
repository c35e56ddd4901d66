package tail

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// Whoever stores how much of what size: all windows together stay within the
// memory, what is counted is what there is, and each that grew has its share.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	for _, memory := range []int64{10_000, 200_000, 3_000_000} {
		tenants := make([]uuid.UUID, 12)
		for i := range tenants {
			tenants[i] = uuid.New()
		}
		w := newWorld(t, Options{Memory: memory}, tenants...)
		for _, id := range tenants {
			w.follow(t, id, 0)
		}
		peak := int64(0)
		for n := range 400 {
			rows, size := 1+rand.IntN(40), rand.IntN(1000)
			if rand.IntN(20) == 0 {
				rows, size = 1, rand.IntN(int(memory))
			}
			w.commit(tenants[rand.IntN(1+n%len(tenants))], rows, size)
			for w.entrance.bytes.Load() > 1<<20 {
				peak = max(peak, w.Bytes())
			}
		}
		w.settled(t)
		require.LessOrEqual(t, max(peak, w.Bytes()), memory)
		if memory > 100_000 { // else most are larger than a share
			require.Greater(t, w.Bytes(), memory/3, "not less than needs be")
		}
		w.requireCounted(t)
	}
}

// Tenants that store without end do not push out what others have, up to their
// shares, and give when others come.
func TestTenantsKeepTheirShares(t *testing.T) {
	t.Parallel()
	const memory, all, busy, rows = 4 << 20, 32, 12, 60
	tenants := make([]uuid.UUID, all)
	for i := range tenants {
		tenants[i] = uuid.New()
	}
	w := newWorld(t, Options{Memory: memory}, tenants...)
	var readers []*follower
	for _, id := range tenants {
		readers = append(readers, w.follow(t, id, 0))
	}
	flood := func() {
		for range 20 {
			for _, id := range tenants[:busy] {
				w.commit(id, 50, 1000)
			}
			w.settled(t)
		}
	}
	flood()
	require.Greater(t, w.Bytes(), int64(memory)*3/4)
	for _, id := range tenants[busy:] {
		w.commit(id, rows, 1000)
		w.settled(t)
	}
	flood()
	for _, f := range readers[busy:] {
		f.requireUntil(t, rows)
		require.Zero(t, f.reads)
	}
	for _, id := range tenants[:busy] {
		require.Greater(t, w.windows.find(id).size(), int64(memory)/all*3/4, "they have shares, too")
	}
	require.LessOrEqual(t, w.Bytes(), int64(memory))
	w.requireCounted(t)
}

func TestAWindowIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Memory: 1 << 30}, testTenant)
	f := w.follow(t, testTenant, 0)
	for range windowRows / 1000 {
		w.commit(testTenant, 1001, 0)
		w.settled(t)
	}
	w.commit(testTenant, 1001, 0)
	w.settled(t)
	window := w.windows.find(testTenant)
	require.Equal(t, windowRows, window.count())
	w.requireCounted(t)
	for _, c := range window.chunks {
		require.LessOrEqual(t, len(c.messages), chunkRows)
		require.LessOrEqual(t, cap(c.messages), 2*chunkRows)
	}
	f.requireUntil(t, int64(1001*(windowRows/1000+1)))
	require.Greater(t, f.rows, windowRows-400)
	require.LessOrEqual(t, f.rows, windowRows)

	small := newWorld(t, Options{Memory: 80_000}, testTenant)
	small.follow(t, testTenant, 0)
	small.commit(testTenant, 100, 1000)
	small.settled(t)
	require.LessOrEqual(t, small.Bytes(), int64(80_000/windowShare))
	require.Positive(t, small.Bytes())
	small.requireCounted(t)
}

// A tenant that has become quiet holds no memory.
func TestOldRowsAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Interval: time.Second}, testTenant)
		f := w.follow(t, testTenant, 0)
		synctest.Wait()
		w.commit(testTenant, chunkRows, 10)
		pass(maxAge - 10*time.Second)
		w.commit(testTenant, 10, 10)
		pass(15 * time.Second)
		require.Equal(t, 10, w.windows.find(testTenant).count())
		require.True(t, f.tail.After(0, 1, 1).Behind)
		pass(maxAge)
		require.Zero(t, w.Bytes())
		f.requireUntil(t, chunkRows+10)
		w.requireCounted(t)
	})
}

// When more is stored than can enter, the rest is in the database.
func TestWhatWaitsIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{}, testTenant)
	f := w.follow(t, testTenant, 0)
	w.settled(t)
	window := w.windows.find(testTenant)
	window.mu.Lock() // nothing enters
	for range queuedCommits + 10 {
		w.commit(testTenant, 1, 10)
	}
	large, appended := w.store(testTenant, 1, 2*queuedBytes)
	w.Committed(large, appended)
	require.LessOrEqual(t, w.entrance.bytes.Load(), int64(queuedBytes))
	window.mu.Unlock()
	w.settled(t)
	f.requireUntil(t, queuedCommits+11)
	require.Positive(t, f.reads)
	require.Positive(t, f.rows)
	require.Zero(t, w.entrance.bytes.Load())

	// A single one may be larger.
	require.True(t, w.entrance.add([]domain.Message{{TenantID: uuid.New(), Payload: make([]byte, 2*queuedBytes)}}))
}

// The memory that a row is held in is little more than what it counts for.
func TestPayloadsAreHeldInSmallPieces(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{}, testTenant)
	messages, _ := w.store(testTenant, 1000, 500)
	e := newEntrance(nil)
	for rows := messages; len(rows) > 0; {
		n := e.write(rows)
		total := 0
		for i := range n {
			require.Len(t, rows[i].Payload, cap(rows[i].Payload))
			total += len(rows[i].Payload)
		}
		require.LessOrEqual(t, total, 2*arenaBytes)
		require.True(t, n > 20 || n == len(rows))
		rows = rows[n:]
	}
	large, _ := w.store(testTenant, 1, 20*arenaBytes)
	require.Equal(t, 1, e.write(large))
	require.Less(t, cap(e.scratch), 10*arenaBytes, "room for a large one is not kept")
}
