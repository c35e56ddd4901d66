package broker

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// Calls at the same time share one barrier, which begins after all of them: one
// that is under way does not count.
func TestBarriersAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newDurabilityBarrier(nil, nil)
		runs, pass := 0, make(chan struct{})
		work := func(context.Context) error {
			runs++
			<-pass
			return errors.New("away")
		}
		var calls sync.WaitGroup
		call := func() {
			calls.Go(func() {
				if b.share(t.Context(), work) == nil {
					t.Error("everybody gets the error")
				}
			})
			synctest.Wait()
		}
		call()
		for range 5 {
			call()
		}
		require.Equal(t, 1, runs, "the next one waits for its turn")
		pass <- struct{}{}
		synctest.Wait()
		require.Equal(t, 2, runs)
		pass <- struct{}{}
		calls.Wait()
		require.Equal(t, 2, runs)

		gone, cancel := context.WithCancel(t.Context())
		cancel()
		pass = make(chan struct{}, 1)
		pass <- struct{}{}
		require.Error(t, b.share(gone, work))
		require.Equal(t, 3, runs, "others may count on the one that a call has begun")
	})
}
