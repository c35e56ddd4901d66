package workerpool_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/pkg/workerpool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOneWorkerKeepsOrder(t *testing.T) {
	t.Parallel()
	in := make(chan int, 64)
	var got []int
	pool := workerpool.New(in, 8, func(chunk []int) {
		require.LessOrEqual(t, len(chunk), 8)
		got = append(got, chunk...)
	})
	pool.Resize(1)
	for i := range 1000 {
		in <- i
	}
	close(in)
	pool.Wait()
	require.Len(t, got, 1000)
	require.IsIncreasing(t, got)
}

func TestConcurrencyIsTheNumberOfWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := make(chan int, 100)
		release := make(chan struct{})
		pool := workerpool.New(in, 1, func([]int) { <-release })
		for range 100 {
			in <- 1
		}
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
	in := make(chan int, 256)
	var seen [items]atomic.Int32
	pool := workerpool.New(in, 16, func(chunk []int) {
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
		in <- i
	}
	close(sent)
	resizers.Wait()
	close(in)
	pool.Wait()
	for i := range seen {
		require.EqualValues(t, 1, seen[i].Load(), "item %d", i)
	}
}

func TestStopLeavesTheRest(t *testing.T) {
	t.Parallel()
	in := make(chan int, 10)
	started, release := make(chan struct{}), make(chan struct{})
	pool := workerpool.New(in, 1, func([]int) { started <- struct{}{}; <-release })
	for i := range 10 {
		in <- i
	}
	pool.Resize(1)
	<-started
	pool.Stop()
	pool.Resize(5) // too late, does nothing
	close(release)
	pool.Wait()
	require.Len(t, in, 9)
}
