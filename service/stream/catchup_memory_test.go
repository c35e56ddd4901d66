package stream

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// A thousand clients come back at once, all behind, and take their time with
// what they get. What they hold together is bounded, over all tenants of their
// owner; the clients of others do not wait for them, and all have their turns.
func TestLaggardsHoldABoundedAmount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const clients, messages, parts = 500, 600, 2 // behind the window
		slow := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
		other := uuid.New()
		store := newMemory(append(slow, other)...)
		last := int64(0)
		for _, tenant := range append(slow, other) {
			last = store.add(tenant, messages, 2000)
		}
		s := start(t, store)
		owned := domain.WithOwner(t.Context(), "them")
		var held atomic.Int64 // by clients that are sending
		var peak int64
		var mu sync.Mutex
		release := make(chan struct{})
		var work sync.WaitGroup
		begun := new(int64(1))
		for i := range clients {
			events, err := s.Open(owned, slow[i%len(slow)], begun)
			require.NoError(t, err)
			work.Go(func() {
				defer events.Close()
				for range parts {
					data, err := events.Next(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					peak = max(peak, held.Add(int64(len(data))))
					mu.Unlock()
					<-release
					held.Add(-int64(len(data)))
				}
			})
		}
		synctest.Wait()
		require.Positive(t, held.Load())
		require.LessOrEqual(t, peak, int64(catchUpBytes/4))
		require.LessOrEqual(t, s.options.Memory.Used(), int64(catchUpBytes/4))

		events, err := s.Open(domain.WithOwner(t.Context(), "other"), other, begun)
		require.NoError(t, err)
		now := time.Now()
		for events.Position() < last {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := events.Next(ctx)
			cancel()
			require.NoError(t, err)
		}
		require.Zero(t, time.Since(now), "it does not wait for them")
		events.Close()
		close(release)
		work.Wait()
		require.Zero(t, s.options.Memory.Used(), "everything is given back")
	})
}
