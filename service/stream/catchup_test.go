package stream

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
)

// gated is a memory whose reads the test has in its hands.
type gated struct {
	*memory

	read func(ctx context.Context, tenant uuid.UUID, cursor int64) error
}

func (g *gated) ReadStream(ctx context.Context, tenant uuid.UUID, cursor int64, limit, maxBytes int) ([]domain.Message, bool, error) {
	if err := g.read(ctx, tenant, cursor); err != nil {
		return nil, false, err
	}
	return g.memory.ReadStream(ctx, tenant, cursor, limit, maxBytes)
}

// Many clients come back at once, all behind, and wait for one heartbeat at a
// time, which is shorter than their queue. Each has its turn before any other
// has its next.
func TestLaggardsHaveTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const clients, heartbeat, took = 50, 500 * time.Millisecond, 50 * time.Millisecond
		tenant := uuid.New()
		store := &gated{memory: newMemory(tenant)}
		last := store.add(tenant, 5000, 1)
		store.read = func(ctx context.Context, _ uuid.UUID, _ int64) error {
			_ = backoff.Sleep(ctx, took)
			return nil
		}
		s := start(t, store)
		open(t, s, tenant, nil, last) // puts the window at the end
		begun := time.Now()
		first, second := make([]time.Duration, clients), make([]time.Duration, clients)
		var work sync.WaitGroup
		for i := range clients {
			r := open(t, s, tenant, new(int64(1)), 1)
			work.Go(func() {
				for r.last < last {
					waiting, stop := context.WithTimeout(t.Context(), heartbeat)
					err := r.step(waiting)
					stop()
					switch {
					case errors.Is(err, context.DeadlineExceeded):
					case err != nil:
						t.Error(err)
						return
					case first[i] == 0:
						first[i] = time.Since(begun)
					case second[i] == 0:
						second[i] = time.Since(begun)
					}
				}
			})
		}
		work.Wait()
		require.LessOrEqual(t, slices.Max(first), clients*took+took)
		require.LessOrEqual(t, slices.Max(first), slices.Min(second))
	})
}

// The reads of some tenants hang and then fail, as if their partitions were
// locked. Those of others have their turns meanwhile, and of the hanging there
// are few.
func TestLockedTenantsHoldNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const hang, clients = 250 * time.Millisecond, 8
		locked, other := []uuid.UUID{uuid.New(), uuid.New()}, uuid.New()
		store := &gated{memory: newMemory(locked[0], locked[1], other)}
		var isLocked atomic.Bool
		var reading, tried [2]atomic.Int32
		store.read = func(ctx context.Context, tenant uuid.UUID, cursor int64) error {
			at := slices.Index(locked, tenant)
			if at < 0 || cursor == 5000 || !isLocked.Load() {
				_ = backoff.Sleep(ctx, time.Millisecond)
				return nil
			}
			tried[at].Add(1)
			if reading[at].Add(1) > 1 {
				t.Error("two clients of a tenant read")
			}
			defer reading[at].Add(-1)
			_ = backoff.Sleep(ctx, hang)
			return errAway()
		}
		for _, id := range append(locked, other) {
			store.add(id, 5000, 1)
		}
		s := start(t, store)
		isLocked.Store(true)
		var work sync.WaitGroup
		for _, id := range locked {
			open(t, s, id, nil, 5000)
			for range clients {
				r := open(t, s, id, new(int64(1)), 1)
				work.Go(func() {
					if err := r.until(context.WithoutCancel(t.Context()), 5000); err != nil {
						t.Error(err)
					}
				})
			}
		}
		open(t, s, other, nil, 5000)
		synctest.Wait()
		begun := time.Now()
		require.NoError(t, open(t, s, other, new(int64(1)), 1).until(t.Context(), 5000))
		require.Less(t, time.Since(begun), 2*time.Second, "it waits for others now and then, not at every turn")
		_ = backoff.Sleep(t.Context(), 20*time.Second)
		for at := range locked {
			require.LessOrEqual(t, tried[at].Load(), int32(20), "they hold little of what there is")
			require.Greater(t, tried[at].Load(), int32(8), "they try on")
		}
		isLocked.Store(false)
		begun = time.Now()
		work.Wait()
		require.Less(t, time.Since(begun), 2*retryMax)
	})
}

// Clients that leave while they wait, or while they read, leave nothing behind.
func TestLaggardsLeave(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := &gated{memory: newMemory(tenant)}
	last := store.add(tenant, 5000, 1)
	var reading atomic.Int32
	store.read = func(ctx context.Context, _ uuid.UUID, cursor int64) error {
		if cursor == 1 {
			reading.Add(1)
			<-ctx.Done()
			return errAway()
		}
		return nil
	}
	s := start(t, store)
	open(t, s, tenant, nil, last)
	first, second := open(t, s, tenant, new(int64(1)), 1), open(t, s, tenant, new(int64(1)), 1)
	third := open(t, s, tenant, new(int64(2)), 2)
	ended := make(chan error, 3)
	next := func(r *reader) {
		ctx, cancel := context.WithCancel(t.Context())
		cancelled := r.client()
		go func() {
			_, err := r.stream.Next(ctx)
			ended <- err
		}()
		require.Eventually(t, func() bool {
			s.catchUp.mu.Lock()
			defer s.catchUp.mu.Unlock()
			n := s.catchUp.queues[tenant]
			return n != nil && (len(n.waiting) > 0 && n.waiting[len(n.waiting)-1] == cancelled || r == first && reading.Load() == 1)
		}, patience, time.Millisecond)
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	}
	next(first)
	next(second)
	next(third)
	require.EqualValues(t, 1, reading.Load())
	second.stream.Close()
	first.stream.Close()
	require.NoError(t, third.until(t.Context(), last), "its turn comes")
	require.EqualValues(t, 1, reading.Load(), "who has left does not read")
	require.Eventually(t, func() bool {
		s.catchUp.mu.Lock()
		defer s.catchUp.mu.Unlock()
		return len(s.catchUp.queues) == 0 && len(s.catchUp.ready) == 0 && s.catchUp.free == catchUpReads
	}, patience, time.Millisecond)
}

// All tenants of an owner have a share together, and what another owner has does not
// count.
func TestOwnersHaveShares(t *testing.T) {
	t.Parallel()
	tenants := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	asked := make(chan uuid.UUID, 10)
	s := startWith(t, Options{Streams: newMemory(tenants...), OwnerLimit: func(_ context.Context, tenant uuid.UUID) int {
		asked <- tenant
		return 2
	}})
	owned := domain.WithOwner(t.Context(), "user a")
	first, err := s.Open(owned, tenants[0], nil)
	require.NoError(t, err)
	require.Equal(t, tenants[0], <-asked)
	second, err := s.Open(owned, tenants[1], nil)
	require.NoError(t, err)
	defer second.Close()
	_, err = s.Open(owned, tenants[2], nil)
	require.ErrorIs(t, err, domain.ErrLimited)
	require.Equal(t, "quota_exceeded", domain.CodeOf(err))
	other, err := s.Open(domain.WithOwner(t.Context(), "user b"), tenants[2], nil)
	require.NoError(t, err)
	other.Close()
	first.Close()
	third, err := s.Open(owned, tenants[2], nil)
	require.NoError(t, err, "one has ended")
	third.Close()
}

// One tenant cannot take all streams.
func TestTenantsHaveShares(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ all, want int }{
		"by default": {0, 5000}, "many": {100_000, 50_000}, "few": {1500, 1000}, "fewer than one tenant's": {10, 1000},
	} {
		s := NewService(Options{MaxClients: tt.all})
		require.Equal(t, tt.want, s.options.MaxTenantClients, name)
	}
	tenant, other := uuid.New(), uuid.New()
	s := startWith(t, Options{Streams: newMemory(tenant, other), MaxClients: 3, MaxTenantClients: 2})
	first := open(t, s, tenant, nil, 0)
	open(t, s, tenant, nil, 0)
	refused := func(tenant uuid.UUID) string {
		_, err := s.Open(t.Context(), tenant, nil)
		require.ErrorIs(t, err, domain.ErrUnavailable)
		return domain.CodeOf(err)
	}
	require.Equal(t, "tenant_streams_full", refused(tenant))
	open(t, s, other, nil, 0)
	require.Equal(t, "streams_full", refused(other))
	first.stream.Close()
	open(t, s, tenant, nil, 0)
}
