package writer

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/service/writer/writertest"
)

// refusal is the error of a store whose server answers and takes nothing.
func refusal() error {
	return domain.New(domain.ErrUnavailable, "append_refused", "no room").Because(domain.ErrStoreRefuses)
}

// refuse makes the store refuse the tenants, as one does that has no room for
// them, and returns the counter of how often it did.
func refuse(s *writertest.Store, tenants ...uuid.UUID) *atomic.Int64 {
	var times atomic.Int64
	s.SetFault(func(batch []domain.Message) error {
		for _, id := range tenants {
			if writertest.Has(batch, id) {
				times.Add(1)
				return refusal()
			}
		}
		return nil
	})
	return &times
}

// storing stores messages and fails the test unless all of them are stored.
func storing(t *testing.T, wg *sync.WaitGroup, w *Writer, messages []domain.Message) {
	t.Helper()
	wg.Go(func() {
		results, err := w.Store(t.Context(), messages)
		if err != nil {
			t.Errorf("store: %v", err)
		}
		for _, r := range results {
			if r.Outcome != domain.AppendStored {
				t.Errorf("outcome %d, error %v", r.Outcome, r.Err)
			}
		}
	})
}

func requireOrder(t *testing.T, store *writertest.Store, sent []domain.Message) {
	t.Helper()
	var want, got []uuid.UUID
	for _, m := range sent {
		want = append(want, m.ID)
	}
	for _, m := range store.Stored(sent[0].TenantID) {
		got = append(got, m.ID)
	}
	require.Equal(t, want, got)
}

// What the store refuses of one tenant waits, and nothing else does, whether
// the tenant is alone at first or in a batch with others.
func TestWriterGoesOnAroundARefusedTenant(t *testing.T) {
	t.Parallel()
	for name, together := range map[string]bool{"alone": false, "together": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := writertest.NewStore()
			w := startWriter(t, Options{Repository: store})
			refused, free := uuid.New(), uuid.New()
			times := refuse(store, refused)
			kept, first := messagesOf(refused, 200), messagesOf(free, 100)
			var wg sync.WaitGroup
			if together {
				w.jobs <- newJob(t.Context(), kept[:100])
				storing(t, &wg, w, first)
				storing(t, &wg, w, kept[100:])
			} else {
				storing(t, &wg, w, kept)
				require.Eventually(t, func() bool { return times.Load() > 0 }, 10*time.Second, time.Millisecond)
				storing(t, &wg, w, first)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for range 20 {
				results, err := w.Store(ctx, messagesOf(free, 10))
				require.NoError(t, err)
				require.Equal(t, domain.AppendStored, results[0].Outcome)
			}
			_, away := w.UnavailableSince()
			require.False(t, away)
			require.Empty(t, store.Stored(refused))
			store.SetFault(nil)
			wg.Wait()
			require.Eventually(t, func() bool { return len(store.Stored(refused)) == 200 }, 10*time.Second, time.Millisecond)
			requireOrder(t, store, kept)
		})
	}
}

// The row that was tried on its own is stored once, and has one result.
func TestWriterStoresWhatItTriedOnce(t *testing.T) {
	t.Parallel()
	store := writertest.NewStore()
	w := New(Options{Repository: store, Log: slog.New(slog.DiscardHandler)})
	refused := newJob(t.Context(), messagesOf(uuid.New(), 3))
	refuse(store, refused.messages[0].TenantID)
	var jobs []*job
	for i := range 3 {
		j := newJob(t.Context(), messagesOf(uuid.New(), 3))
		jobs = append(jobs, j)
		w.backlog.add(j)
		if i == 0 {
			w.backlog.add(refused)
		}
	}
	require.NoError(t, w.store(t.Context(), w.backlog.next()))
	for _, j := range jobs {
		<-j.done
		for _, r := range j.results {
			require.Equal(t, domain.StoreResult{Outcome: domain.AppendStored}, r)
		}
		requireOrder(t, store, j.messages)
	}
	require.Len(t, w.parking.fresh, 1)
	require.Len(t, w.parking.fresh[0].held, 3)
	require.Equal(t, 3, refused.left)
}

// A store that takes nothing from anybody is away: few tenants are tried at a
// time, however many wait, and all are stored soon after it is back.
func TestWriterTakesARefusalOfAllForAnOutage(t *testing.T) {
	t.Parallel()
	store := writertest.NewStore()
	w := startWriter(t, Options{Repository: store})
	var mu sync.Mutex
	var single, whole int
	store.SetFault(func(batch []domain.Message) error {
		mu.Lock()
		defer mu.Unlock()
		if len(batch) == 1 {
			single++
		} else {
			whole++
		}
		return refusal()
	})
	var wg sync.WaitGroup
	var sent [][]domain.Message
	first := messagesOf(uuid.New(), 2)
	for range 300 {
		sent = append(sent, messagesOf(uuid.New(), 2))
	}
	sent = append(sent, first)
	for _, m := range sent {
		storing(t, &wg, w, m)
	}
	counts := func() (int, int) {
		mu.Lock()
		defer mu.Unlock()
		return single, whole
	}
	require.Eventually(t, func() bool { _, n := counts(); return n >= 6 }, 30*time.Second, time.Millisecond)
	_, away := w.UnavailableSince()
	require.True(t, away)
	tries, batches := counts()
	require.LessOrEqual(t, tries, 20*(batches+1))
	require.Positive(t, tries)
	store.SetFault(nil)
	back := time.Now()
	wg.Wait()
	require.Less(t, time.Since(back), 5*time.Second)
	for _, m := range sent {
		requireOrder(t, store, m)
	}
}

// One tenant among many that are refused is found, too.
func TestWriterFindsTheOneThatIsNotRefused(t *testing.T) {
	t.Parallel()
	store := writertest.NewStore()
	w := startWriter(t, Options{Repository: store})
	var refused []uuid.UUID
	for range 60 {
		refused = append(refused, uuid.New())
	}
	times := refuse(store, refused...)
	var wg sync.WaitGroup
	for _, id := range refused {
		storing(t, &wg, w, messagesOf(id, 3))
	}
	require.Eventually(t, func() bool { return times.Load() > 3 }, 10*time.Second, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := w.Store(ctx, messagesOf(uuid.New(), 3))
	require.NoError(t, err)
	store.SetFault(nil)
	wg.Wait()
	for _, id := range refused {
		require.Len(t, store.Stored(id), 3)
	}
}

// A store that cannot be reached is away; no tenant is tried on its own.
func TestWriterDividesNothingWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	store := writertest.NewStore()
	w := startWriter(t, Options{Repository: store})
	var batches, single atomic.Int64
	store.SetFault(func(batch []domain.Message) error {
		if batches.Add(1); len(batch) == 1 {
			single.Add(1)
		}
		return domain.New(domain.ErrUnavailable, "append_unavailable", "down")
	})
	var wg sync.WaitGroup
	storing(t, &wg, w, messagesOf(uuid.New(), 2))
	storing(t, &wg, w, messagesOf(uuid.New(), 2))
	require.Eventually(t, func() bool { return batches.Load() >= 6 }, 30*time.Second, time.Millisecond)
	require.Zero(t, single.Load())
	_, away := w.UnavailableSince()
	require.True(t, away)
	store.SetFault(nil)
	wg.Wait()
}

// Rows whose caller waits no longer are forgotten, however often they come
// again while their tenant is parked.
func TestWriterForgetsAbandonedRows(t *testing.T) {
	t.Parallel()
	store := writertest.NewStore()
	w := New(Options{Repository: store})
	parked, free := uuid.New(), uuid.New()
	w.backlog.queues[parked] = &tenantQueue{tenant: parked, parked: true}
	m := messagesOf(parked, 50)
	for range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		j := newJob(t.Context(), m)
		j.ctx = ctx
		w.backlog.add(j)
		require.Len(t, w.backlog.queues[parked].rows, 50)
		cancel()
	}
	last := newJob(t.Context(), m)
	w.backlog.add(last)
	require.Len(t, w.backlog.queues[parked].rows, 50)
	require.Zero(t, w.backlog.waiting)

	// Those of a tenant in line are left out of its batch.
	ctx, cancel := context.WithCancel(t.Context())
	lost, kept := newJob(t.Context(), messagesOf(free, 50)), newJob(t.Context(), messagesOf(free, 50))
	lost.ctx = ctx
	w.backlog.add(lost)
	w.backlog.add(kept)
	cancel()
	batch := w.backlog.next()
	require.Len(t, batch, 50)
	require.Zero(t, w.backlog.waiting)
	for _, r := range batch {
		require.Same(t, kept, r.job)
	}
	require.Equal(t, 50, lost.left, "nothing of it is finished")
}

// A job that its caller has left before the writer sees it is not taken.
func TestWriterTakesNoJobThatWasLeft(t *testing.T) {
	t.Parallel()
	w := New(Options{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _, _ = w.Store(ctx, messagesOf(uuid.New(), 5)) }()
	require.Eventually(t, func() bool { return len(w.jobs) == 1 }, 10*time.Second, time.Millisecond)
	cancel()
	<-done
	j := <-w.jobs
	require.Nil(t, j.messages, "the bodies are free")
	w.backlog.add(j)
	require.Empty(t, w.backlog.queues)
}

// The rows of a parked tenant are dropped when their caller waits no longer, and
// what is delivered again is stored once.
func TestWriterDropsRowsOfAParkedTenant(t *testing.T) {
	t.Parallel()
	store := writertest.NewStore()
	w := startWriter(t, Options{Repository: store})
	refused := uuid.New()
	times := refuse(store, refused)
	_, err := w.Store(t.Context(), messagesOf(uuid.New(), 1))
	require.NoError(t, err)
	m := messagesOf(refused, 10)
	for range 5 {
		before := times.Load()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _, _ = w.Store(ctx, m) }()
		require.Eventually(t, func() bool { return times.Load() > before }, 30*time.Second, time.Millisecond)
		cancel()
		<-done
	}
	store.SetFault(nil)
	results, err := w.Store(t.Context(), m)
	require.NoError(t, err)
	require.Len(t, results, 10)
	requireOrder(t, store, m)
}

// A tenant that is refused while nobody else has anything to store is no
// outage: the others' consumers would wait for its end.
func TestWriterTakesALoneRefusalForThatTenants(t *testing.T) {
	t.Parallel()
	store := writertest.NewStore()
	w := startWriter(t, Options{Repository: store})
	var wg sync.WaitGroup
	var refused []uuid.UUID
	for range maxSuspects {
		refused = append(refused, uuid.New())
		times := refuse(store, refused...)
		storing(t, &wg, w, messagesOf(refused[len(refused)-1], 2))
		require.Eventually(t, func() bool {
			_, away := w.UnavailableSince()
			return times.Load() > 2 && !away
		}, 10*time.Second, time.Millisecond)
	}
	// One more, and it looks like one.
	refused = append(refused, uuid.New())
	refuse(store, refused...)
	storing(t, &wg, w, messagesOf(refused[maxSuspects], 2))
	begun := time.Now()
	require.Eventually(t, func() bool {
		since, away := w.UnavailableSince()
		return away && since.Before(time.Now().Add(-time.Second)) && time.Since(begun) > time.Second
	}, 10*time.Second, time.Millisecond)
	store.SetFault(nil)
	wg.Wait()
}
