package workerpool_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/pkg/workerpool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOneWorkerKeepsOrder(t *testing.T) {
	t.Parallel()
	var got []int
	pool := workerpool.New(8, func(chunk []int) {
		require.LessOrEqual(t, len(chunk), 8)
		got = append(got, chunk...)
	})
	pool.Resize(1)
	for i := range 1000 {
		pool.Put(i)
	}
	settle(t, pool)
	require.Len(t, got, 1000)
	require.IsIncreasing(t, got)
}

func TestConcurrencyIsTheNumberOfWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		pool := workerpool.New(1, func([]int) { <-release })
		for range 100 {
			pool.Put(1)
		}
		require.Zero(t, pool.Busy(), "there are no workers yet")
		for _, n := range []int{5, 20, 1} {
			pool.Resize(n)
			synctest.Wait()
			require.Equal(t, max(n, pool.Busy()), pool.Busy(), "all workers that shall live are busy")
		}
		// The surplus 19 end with the chunk they have in hand, and take no more.
		for range 20 {
			release <- struct{}{}
		}
		synctest.Wait()
		require.Equal(t, 1, pool.Workers())
		require.Equal(t, 1, pool.Busy())
		pool.Stop()
		close(release)
		pool.Wait()
		require.Zero(t, pool.Workers())
	})
}

// Every item is handled exactly once, whatever the pool is resized to while
// it runs.
func TestResizeLosesNothing(t *testing.T) {
	t.Parallel()
	const items = 20_000
	var seen [items]atomic.Int32
	pool := workerpool.New(16, func(chunk []int) {
		for _, i := range chunk {
			seen[i].Add(1)
		}
	})
	pool.Resize(1)
	sent := make(chan struct{})
	var resizers sync.WaitGroup
	for range 4 {
		resizers.Go(func() {
			for {
				select {
				case <-sent:
					return
				default:
					pool.Resize(1 + rand.IntN(20))
				}
			}
		})
	}
	for i := range items {
		pool.Put(i)
	}
	close(sent)
	resizers.Wait()
	settle(t, pool)
	for i := range seen {
		require.EqualValues(t, 1, seen[i].Load(), "item %d", i)
	}
}

// What waits when it is stopped is not handled, nor what is put afterwards.
func TestStopDropsTheRest(t *testing.T) {
	t.Parallel()
	started, release := make(chan struct{}), make(chan struct{})
	var handled atomic.Int32
	pool := workerpool.New(1, func([]int) { handled.Add(1); started <- struct{}{}; <-release })
	for i := range 10 {
		pool.Put(i)
	}
	pool.Resize(1)
	<-started
	pool.Stop()
	pool.Resize(5) // too late, does nothing
	pool.Put(10)
	close(release)
	pool.Wait()
	require.EqualValues(t, 1, handled.Load())
	require.Zero(t, pool.Workers())
}

// A pool that has nothing to do has no goroutines, and keeps the memory of a small
// chunk only.
func TestIdlePoolCostsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release, handled := make(chan struct{}), 0
		pool := workerpool.New(256, func(chunk []int) { <-release; handled += len(chunk) })
		pool.Resize(1)
		for range 3 {
			for i := range 600 {
				pool.Put(i)
			}
			synctest.Wait()
			require.Equal(t, 1, pool.Busy())
			for pool.Busy() > 0 {
				release <- struct{}{}
				synctest.Wait()
			}
			require.Equal(t, 1, pool.Workers())
			require.LessOrEqual(t, workerpool.Kept(pool), 64)
		}
		require.Equal(t, 1800, handled)
	})
}

// Nothing is left behind by a worker that ends while something is put.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	handled := make(chan int, 1)
	pool := workerpool.New(4, func(chunk []int) {
		for _, i := range chunk {
			handled <- i
		}
	})
	pool.Resize(3)
	for i := range 50_000 {
		pool.Put(i)
		require.Equal(t, i, <-handled)
	}
	settle(t, pool)
}

// settle waits until everything was handled and stops the pool.
func settle(t *testing.T, pool *workerpool.Pool[int]) {
	t.Helper()
	require.Eventually(t, func() bool { return pool.Busy() == 0 }, 10*time.Second, time.Millisecond)
	pool.Stop()
	pool.Wait()
	require.Zero(t, pool.Workers())
}
