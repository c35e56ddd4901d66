package tail

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func seqs(messages []domain.Message) (all []int64) {
	for _, m := range messages {
		all = append(all, m.Seq)
	}
	return all
}

// Rows enter by their seq, whenever they come, and what follows without a gap is
// served.
func TestAfter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{}, testTenant)
	asked := make(chan struct{})
	w.setFault(func(ctx context.Context) error {
		select {
		case <-asked:
		case <-ctx.Done():
		}
		return ctx.Err()
	})
	f := w.follow(t, testTenant, 0)
	messages, appended := w.store(testTenant, 12, 10)
	hand := func(from, to int) {
		t.Helper()
		w.Committed(messages[from-1:to], appended[from-1:to])
		require.Eventually(t, func() bool { return w.entrance.bytes.Load() == 0 }, patience, time.Millisecond)
	}
	hand(5, 6)
	hand(9, 10)
	hand(3, 3) // late
	hand(5, 5) // again
	hand(8, 8)
	two := 2 * (len(`{"n": 5, "x": "0123456789"}`) + domain.RowOverhead)
	for name, tt := range map[string]struct {
		cursor          int64
		limit, maxBytes int
		want            []int64
		behind, waits   bool
	}{
		"before all":            {0, 100, 1 << 20, nil, true, false},
		"a single one":          {2, 100, 1 << 20, []int64{3}, false, false},
		"a gap":                 {3, 100, 1 << 20, nil, true, false},
		"in front of two":       {4, 100, 1 << 20, []int64{5, 6}, false, false},
		"in the middle":         {5, 100, 1 << 20, []int64{6}, false, false},
		"the next gap":          {6, 100, 1 << 20, nil, true, false},
		"pieces":                {7, 100, 1 << 20, []int64{8}, false, false},
		"one at a time":         {4, 1, 1 << 20, []int64{5}, false, false},
		"at least one":          {4, 0, 1 << 20, []int64{5}, false, false},
		"few bytes":             {4, 100, 10, []int64{5}, false, false},
		"bytes for one":         {4, 100, two - 1, []int64{5}, false, false},
		"bytes for two":         {4, 100, two, []int64{5, 6}, false, false},
		"at the end":            {10, 100, 1 << 20, nil, false, true},
		"beyond what is known":  {11, 100, 1 << 20, nil, false, true},
		"a cursor of long ago":  {-1, 100, 1 << 20, nil, true, false},
		"far beyond everything": {1 << 40, 100, 1 << 20, nil, false, true},
	} {
		v := f.tail.After(tt.cursor, tt.limit, tt.maxBytes)
		require.Equal(t, tt.want, seqs(v.Messages), name)
		require.Equal(t, tt.behind, v.Behind, name)
		require.Equal(t, tt.waits, v.Changed != nil, name)
		require.EqualValues(t, 10, v.Last, name)
		require.Equal(t, len(v.Messages), cap(v.Messages), "appending must not reach what others read")
	}
	require.Greater(t, w.Misses(), uint64(3))
	close(asked)
	w.settled(t) // some asked beyond
	w.requireCounted(t)
	for f.cursor < 12 {
		_, err := f.step(1, 1)
		require.NoError(t, err)
	}
	require.Equal(t, 6, f.reads)
	require.Equal(t, 6, f.rows, "3, 5, 6, 8, 9, 10")
}

// What a reader has been given stays as it is, whatever happens to the window.
func TestViewsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Memory: 64 << 10}, testTenant)
	f := w.follow(t, testTenant, 0)
	w.settled(t)
	w.commit(testTenant, 3, 100)
	w.settled(t)
	v := f.tail.After(0, 100, 1<<20)
	require.Equal(t, []int64{1, 2, 3}, seqs(v.Messages))
	for range 50 {
		w.commit(testTenant, 10, 100)
	}
	w.settled(t)
	require.Equal(t, []int64{1, 2, 3}, seqs(v.Messages))

	w = newWorld(t, Options{}, testTenant)
	f = w.follow(t, testTenant, 0)
	w.settled(t)
	w.commit(testTenant, 3, 100)
	w.settled(t)
	third := f.tail.After(2, 100, 1<<20)
	require.Equal(t, []int64{3}, seqs(third.Messages))
	id := third.Messages[0].ID
	w.restore(testTenant, 2)
	w.commit(testTenant, 1, 100) // another one
	w.settled(t)
	w.requireCounted(t)
	require.Equal(t, id, third.Messages[0].ID)
	require.NotEqual(t, id, f.tail.After(2, 100, 1<<20).Messages[0].ID)
	require.JSONEq(t, `{"n": 3, "x": "`+string(make100())+`"}`, string(v.Messages[2].Payload))
}

func make100() []byte {
	spaces := make([]byte, 100)
	for i := range spaces {
		spaces[i] = ' '
	}
	return spaces
}

// A reader whose tenant is deleted, or whose history was restored from a copy that
// ends before its cursor, is behind: the database tells it so.
func TestTheDatabaseKnowsBetter(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(w *world)
		want   error
	}{
		"deleted":                     {func(w *world) { w.erase(testTenant) }, errGone},
		"restored":                    {func(w *world) { w.restore(testTenant, 2) }, errConflict},
		"restored without a message":  {func(w *world) { w.restore(testTenant, 0) }, errConflict},
		"restored, and goes on":       {func(w *world) { w.restore(testTenant, 2); w.commit(testTenant, 1, 1) }, errConflict},
		"restored, elsewhere goes on": {func(w *world) { w.restore(testTenant, 2); w.store(testTenant, 1, 1) }, errConflict},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{Interval: time.Second}, testTenant)
				var readers []*follower
				for range 3 {
					readers = append(readers, w.follow(t, testTenant, 0))
				}
				synctest.Wait()
				w.commit(testTenant, 5, 10)
				var work sync.WaitGroup
				for _, f := range readers {
					f.requireUntil(t, 5)
					work.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
						defer cancel()
						if err := f.until(ctx, 6); !errors.Is(err, tt.want) {
							t.Error(err)
						}
					})
				}
				synctest.Wait()
				tt.change(w)
				work.Wait() // found out without a hint
				w.requireCounted(t)
			})
		})
	}
}

// A tenant that is not there any more, and one that was never there.
func TestUnknownTenants(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, testTenant)
		f := w.follow(t, uuid.New(), 0)
		require.ErrorIs(t, f.until(t.Context(), 1), errGone)
		require.ErrorIs(t, f.until(t.Context(), 1), errGone)
		synctest.Wait()
		queried := w.queried()
		pass(time.Hour)
		require.Equal(t, queried, w.queried(), "nobody asks on")
	})
}

// A history that appears while it is looked for is there, and so is one that was
// said to be gone.
func TestHistoriesThatAppear(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Interval: time.Second})
		w.during(func() { w.commit(testTenant, 1, 1); pass(time.Millisecond) })
		f := w.follow(t, testTenant, 0)
		f.requireUntil(t, 1)
		pass(10 * time.Millisecond)
		require.NotNil(t, f.tail.After(1, 1, 1).Changed)
		require.Zero(t, f.reads)

		w.erase(testTenant)
		require.ErrorIs(t, f.until(t.Context(), 2), errGone)
		synctest.Wait()
		w.store(testTenant, 3, 1)
		f.requireUntil(t, 3)
		told := make(chan error)
		go func() { told <- f.until(t.Context(), 4) }()
		pass(time.Minute)
		w.commit(testTenant, 1, 1)
		require.NoError(t, <-told)
		require.LessOrEqual(t, f.reads, 5, "it waits")
	})
}

// Tenants in doubt are asked for together, and at once: as many queries as were
// under way, and one.
func TestDoubtsAreCoalesced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tenants := make([]uuid.UUID, 50)
		for i := range tenants {
			tenants[i] = uuid.New()
		}
		w := newWorld(t, Options{}, tenants...)
		var readers []*follower
		for _, id := range tenants {
			readers = append(readers, w.follow(t, id, 0))
		}
		synctest.Wait()
		release := make(chan struct{})
		w.setFault(func(context.Context) error { <-release; return nil })
		queried := w.queried()
		w.Doubt(tenants[:1])
		synctest.Wait()
		for range 100 {
			for _, id := range tenants {
				w.store(id, 1, 1)
				w.Doubt([]uuid.UUID{id, uuid.New()})
			}
		}
		close(release)
		for _, f := range readers {
			f.requireUntil(t, 100)
		}
		require.Equal(t, queried+2, w.queried())
		require.Len(t, w.queries[queried+1], len(tenants))
	})
}

// What enters while last_seq is read is not forgotten when that is older.
func TestRowsThatEnterDuringAQuery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, testTenant)
		f := w.follow(t, testTenant, 0)
		synctest.Wait()
		for n := range int64(20) {
			w.during(func() {
				w.commit(testTenant, 1, 1)
				pass(time.Millisecond) // until it has entered
			})
			w.Doubt(nil)
			f.requireUntil(t, n+1)
			pass(time.Second) // until the query has returned
			require.Equal(t, n+1, f.tail.After(n+1, 1, 1).Last)
			require.Zero(t, f.reads)
		}
		w.requireCounted(t)
	})
}

// While the database is away nobody runs hot, what is handed over is read, and
// afterwards everything is found.
func TestTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Interval: time.Second}, testTenant)
		f, ahead := w.follow(t, testTenant, 0), w.follow(t, testTenant, 0)
		synctest.Wait()
		w.setFault(func(context.Context) error { return errors.New("away") })
		queried := w.queried()
		w.commit(testTenant, 3, 1)
		f.requireUntil(t, 3)
		w.store(testTenant, 3, 1)
		ahead.cursor = 6 // it has read the database
		var work sync.WaitGroup
		for _, reader := range []*follower{f, ahead} {
			work.Go(func() {
				if err := reader.until(t.Context(), 7); err != nil {
					t.Error(err)
				}
			})
		}
		pass(time.Minute)
		require.Less(t, w.queried()-queried, 100)
		w.setFault(nil)
		begun := time.Now()
		pass(3 * time.Second)
		require.EqualValues(t, 6, f.tail.After(6, 1, 1).Last)
		w.commit(testTenant, 1, 1)
		work.Wait()
		require.LessOrEqual(t, time.Since(begun), 3*time.Second)
	})
}

func TestTenantsWithoutReadersCostNothing(t *testing.T) {
	w := newWorld(t, Options{}, testTenant)
	messages, appended := w.store(testTenant, 100, 10)
	require.Zero(t, testing.AllocsPerRun(10, func() { w.Committed(messages, appended) }))
	w.follow(t, uuid.New(), 0)
	require.Zero(t, testing.AllocsPerRun(10, func() { w.Committed(messages, appended) }))
}

// Who has come further than anybody knows, while the database is away, is told
// when it is back that the history ends before.
func TestAheadOfAHistoryThatCannotBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, testTenant)
		f := w.follow(t, testTenant, 0)
		synctest.Wait()
		w.commit(testTenant, 3, 1)
		f.requireUntil(t, 3)
		w.setFault(func(context.Context) error { return errors.New("away") })
		f.cursor = 5
		told := make(chan error)
		go func() { told <- f.until(t.Context(), 6) }()
		pass(time.Minute)
		w.setFault(nil)
		require.ErrorIs(t, <-told, errConflict)
	})
}

// Windows end with their last reader.
func TestOnlyWhatIsReadIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{}, testTenant)
	messages, appended := w.store(testTenant, 100, 10)
	first, second := w.Open(testTenant), w.Open(testTenant)
	w.Committed(messages, appended)
	require.Eventually(t, func() bool { return w.Bytes() > 0 }, patience, time.Millisecond)
	w.settled(t)
	first.Close()
	first.Close() // gives back one part, not two
	require.Len(t, second.After(0, 1000, 1<<20).Messages, 100)
	second.Close()
	require.Zero(t, w.Bytes())
	require.Nil(t, w.windows.find(testTenant))
	require.True(t, second.After(0, 1000, 1<<20).Behind)
}

// Readers come and go, rows enter and the service ends, all at the same time.
func TestStartStopStress(t *testing.T) {
	t.Parallel()
	tenants := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	for range 20 {
		w := newWorld(t, Options{Memory: 100_000, Interval: time.Millisecond}, tenants...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(20+rand.IntN(20))*time.Millisecond)
		var work sync.WaitGroup
		for i := range 8 {
			work.Go(func() {
				for f := (&follower{world: w, tenant: tenants[i%3]}); ctx.Err() == nil; {
					f.tail = w.Open(f.tenant)
					if err := f.until(ctx, f.cursor+int64(rand.IntN(30))); err != nil && ctx.Err() == nil {
						t.Error(err)
					}
					f.tail.Close()
				}
			})
			work.Go(func() {
				for ctx.Err() == nil {
					w.commit(tenants[rand.IntN(3)], 1+rand.IntN(20), rand.IntN(2000))
				}
			})
		}
		work.Wait()
		cancel()
		require.Zero(t, w.Bytes())
		require.Empty(t, w.windows.all())
	}
}
