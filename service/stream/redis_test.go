package stream

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
)

// Wake-ups cross from one replica to another; nobody looks by himself.
func TestReplicasWakeEachOther(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := newMemory(tenant)
	url := devtest.Redis(t)
	here := startWith(t, Options{Streams: store, Redis: redisOptions(t, url)})
	there := startWith(t, Options{Streams: store, Redis: redisOptions(t, url)})
	for _, s := range []*served{here, there} {
		require.Eventually(t, s.bus.healthy.Load, patience, time.Millisecond)
	}
	r, own := open(t, there, tenant, nil, 0), open(t, here, tenant, nil, 0)
	for range 200 {
		last := store.add(tenant, 1, 10)
		here.Committed([]uuid.UUID{uuid.New(), tenant})
		require.NoError(t, r.until(t.Context(), last))
		require.NoError(t, own.until(t.Context(), last))
	}
}

// What was committed just before the end still wakes the others.
func TestTheLastWakeUpIsPublished(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := newMemory(tenant)
	url := devtest.Redis(t)
	there := startWith(t, Options{Streams: store, Redis: redisOptions(t, url)})
	require.Eventually(t, there.bus.healthy.Load, patience, time.Millisecond)
	r := open(t, there, tenant, nil, 0)
	for range 20 {
		s := newServed(Options{Streams: store, Redis: redisOptions(t, url)}, time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		require.Eventually(t, s.bus.healthy.Load, patience, time.Millisecond)
		// That it is there wakes the others, so that is to be over.
		require.Eventually(t, func() bool { s.bus.mu.Lock(); defer s.bus.mu.Unlock(); return !s.bus.all }, patience, time.Millisecond)
		last := store.add(tenant, 1, 10)
		s.Committed([]uuid.UUID{tenant})
		cancel()
		require.NoError(t, r.until(t.Context(), last))
		<-done
	}
}

// breakable is a pair of replicas with a Redis that a test may break.
func breakable(t *testing.T, streams *memory) (server *devtest.Server, here, there *served) {
	t.Helper()
	server = devtest.PrivateRedis(t)
	start := func() *served {
		s := startLooking(t, 200*time.Millisecond, Options{Streams: streams, Redis: redisOptions(t, server.URL())})
		require.Eventually(t, s.bus.healthy.Load, patience, time.Millisecond)
		return s
	}
	return server, start(), start()
}

func TestRedisGoesAndComes(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ away, back func(*devtest.Server) }{
		"killed":  {(*devtest.Server).Kill, (*devtest.Server).Start},
		"stopped": {(*devtest.Server).Stop, (*devtest.Server).Start},
		"frozen":  {(*devtest.Server).Pause, (*devtest.Server).Resume},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tenant := uuid.New()
			store := newMemory(tenant)
			server, here, there := breakable(t, store)
			r := open(t, there, tenant, nil, 0)
			deliver := func() {
				t.Helper()
				last := store.add(tenant, 1, 10)
				here.Committed([]uuid.UUID{tenant})
				require.NoError(t, r.until(t.Context(), last))
			}
			for range 2 {
				deliver()
				tt.away(server)
				begin := time.Now()
				require.Eventually(t, func() bool { return !here.bus.healthy.Load() && !there.bus.healthy.Load() }, patience, time.Millisecond)
				require.Less(t, time.Since(begin), deadAnswer+2*time.Second+pingPause, "noticed")
				for range 5 {
					deliver() // by polling
				}
				// Storing must not notice.
				begin = time.Now()
				for range 10_000 {
					here.Committed([]uuid.UUID{tenant})
				}
				require.Less(t, time.Since(begin), time.Second)
				tt.back(server)
				require.Eventually(t, func() bool { return here.bus.healthy.Load() && there.bus.healthy.Load() }, patience, time.Millisecond)
			}
			// The feed may still have a short pause before it; after these
			// only wake-ups help.
			for range 50 {
				deliver()
			}
		})
	}
}

// A Redis that was never there costs nothing but the speed of streams.
func TestRedisThatIsNotThere(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := newMemory(tenant)
	s := startLooking(t, 50*time.Millisecond, Options{Streams: store, Redis: redisOptions(t, "redis://127.0.0.1:1/0")})
	r := open(t, s, tenant, nil, 0)
	for range 20 {
		last := store.add(tenant, 1, 10)
		s.Committed([]uuid.UUID{tenant}) // in the process
		require.NoError(t, r.until(t.Context(), last))
	}
	require.NoError(t, r.until(t.Context(), store.add(tenant, 1, 10))) // elsewhere
	require.False(t, s.bus.healthy.Load())
}

// What waits to be published is bounded, and what does not fit is made up for.
func TestPendingWakeUpsAreBounded(t *testing.T) {
	t.Parallel()
	var woken []uuid.UUID
	all := 0
	sender := newBus(redisOptions(t, "redis://127.0.0.1:1/0"), discard(), nil)
	receiver := newBus(redisOptions(t, "redis://127.0.0.1:1/0"), discard(), func(ids []uuid.UUID) {
		if woken = append(woken, ids...); len(ids) == 0 {
			all++
		}
	})
	drain := func() (messages int) {
		woken, all = nil, 0
		for p := sender.take(); p != nil; p = sender.take() {
			require.LessOrEqual(t, len(p), (1+payloadIDs)*idBytes)
			receiver.receive(string(p))
			sender.receive(string(p)) // its own: nothing may come of it
			messages++
		}
		return messages
	}
	ids := make([]uuid.UUID, maxPending+1)
	for i := range ids {
		ids[i] = uuid.New()
	}
	sender.add(ids)
	require.Zero(t, drain(), "nothing is noted while nobody could be told")
	sender.healthy.Store(true)
	sender.add(ids[:1])
	sender.add(ids[:3])
	require.Equal(t, 1, drain())
	require.ElementsMatch(t, ids[:3], woken)
	sender.add(ids[:maxPending])
	require.Equal(t, maxPending/payloadIDs, drain())
	require.Len(t, woken, maxPending)
	distinct := make(map[uuid.UUID]bool)
	for _, id := range woken {
		distinct[id] = true
	}
	for _, id := range ids[:maxPending] {
		require.True(t, distinct[id])
	}
	require.Zero(t, all)
	sender.add(ids)
	require.Equal(t, 1, drain())
	require.Equal(t, 1, all)
	require.Empty(t, woken)

	for _, junk := range []string{"", "x", string(make([]byte, idBytes)), string(make([]byte, 2*idBytes+1))} {
		receiver.receive(junk)
	}
	require.Equal(t, 1, all)
	require.Empty(t, woken)
	require.NoError(t, sender.client.Close())
	require.NoError(t, receiver.client.Close())
}
