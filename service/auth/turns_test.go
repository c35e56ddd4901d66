package auth

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// queue starts to wait, and writes its name to order when its turn has come and it
// has computed for a second.
func queue(t *testing.T, turns *turns, order chan<- string, name string, a asker) {
	t.Helper()
	go func() {
		done, err := turns.take(context.Background(), a)
		if err != nil {
			order <- name + ": " + domain.CodeOf(err)
			return
		}
		time.Sleep(time.Millisecond) //nolint:forbidigo // the clock is the test's own
		order <- name
		done()
	}()
	synctest.Wait()
}

// requireIdle requires that nobody computes, rests or waits.
func requireIdle(t *testing.T, turns *turns) {
	t.Helper()
	time.Sleep(time.Minute) //nolint:forbidigo // the clock is the test's own
	synctest.Wait()
	turns.mu.Lock()
	defer turns.mu.Unlock()
	require.Empty(t, turns.taken)
	require.Empty(t, turns.waiting)
}

func testTurns() *turns { return &turns{places: 1, mostWaiting: 4, patience: time.Minute} }

// Who guesses waits longest, and who has many logins does not hold up who has one.
func TestOrderOfTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := testTurns()
		order := make(chan string, 10)
		queue(t, turns, order, "first", asker{by: "a"})
		queue(t, turns, order, "a guesses", asker{by: "a", failures: 3})
		queue(t, turns, order, "a", asker{by: "a"})
		queue(t, turns, order, "a again", asker{by: "a"})
		queue(t, turns, order, "b", asker{by: "b"})
		var got []string
		for range 5 {
			got = append(got, <-order)
		}
		require.Equal(t, []string{"first", "b", "a", "a guesses", "a again"}, got, "in the end who has waited longest")
	})
}

// Those who come one after the other from somewhere else each time, and never wait, do
// not keep others waiting for ever.
func TestNobodyWaitsForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := testTurns()
		order := make(chan string, 100)
		queue(t, turns, order, "first", asker{by: "a"})
		for range 3 {
			queue(t, turns, order, "a", asker{by: "a", failures: 5})
		}
		require.Equal(t, "first", <-order)
		var got []string
		for i := range 9 {
			queue(t, turns, order, "b", asker{by: fmt.Sprint(i)})
			got = append(got, <-order)
		}
		require.Equal(t, []string{"b", "b", "a", "b", "b", "a", "b", "b", "a"}, got)
		requireIdle(t, turns)
	})
}

// When too many wait, those go away that would have to wait longest.
func TestTurnsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := testTurns()
		order := make(chan string, 20)
		queue(t, turns, order, "first", asker{by: "x"})
		for i := range 4 {
			queue(t, turns, order, fmt.Sprint("guess ", i), asker{by: "a", failures: 1})
		}
		queue(t, turns, order, "guess 4", asker{by: "a", failures: 1})
		require.Equal(t, "guess 4: logins_busy", <-order, "who would be last is refused")
		queue(t, turns, order, "honest", asker{by: "b"})
		require.Equal(t, "guess 3: logins_busy", <-order, "for another one, who was last is")
		var got []string
		for range 5 {
			got = append(got, <-order)
		}
		require.Equal(t, []string{"first", "honest", "guess 0", "guess 1", "guess 2"}, got)
		requireIdle(t, turns)
	})
}

// After each computation the place rests for half as long as it took, unless somebody comes
// who has no part in that.
func TestTurnsRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := testTurns()
		compute := func(a asker, d time.Duration) (waited time.Duration) {
			begun := time.Now()
			done, err := turns.take(t.Context(), a)
			require.NoError(t, err)
			waited = time.Since(begun)
			time.Sleep(d) //nolint:forbidigo // the clock is the test's own
			done()
			return waited
		}
		const ms = time.Millisecond
		require.Zero(t, compute(asker{by: "a"}, 30*ms))
		require.Equal(t, 30*ms/restShare, compute(asker{by: "a"}, time.Second))
		require.Equal(t, mostRest, compute(asker{by: "a"}, 50*ms))
		require.Equal(t, 50*ms/restShare, compute(asker{by: "b", failures: 1}, 40*ms))
		require.Zero(t, compute(asker{by: "a"}, 30*ms))
		require.Zero(t, compute(asker{by: "b"}, 20*ms), "and the rest before that is over")
		require.Equal(t, 20*ms/restShare, compute(asker{by: "b"}, 0))
		requireIdle(t, turns)

		// Who waits while something is computed does not wait for its rest, either.
		done, err := turns.take(t.Context(), asker{by: "a"})
		require.NoError(t, err)
		order := make(chan string, 2)
		queue(t, turns, order, "a", asker{by: "a"})
		queue(t, turns, order, "b", asker{by: "b"})
		time.Sleep(50 * ms) //nolint:forbidigo // the clock is the test's own
		ended := time.Now()
		done()
		require.Equal(t, "b", <-order)
		require.Equal(t, ms, time.Since(ended))
		require.Equal(t, "a", <-order)
		require.Equal(t, 2*ms+ms/restShare, time.Since(ended))
	})
}

func TestTurnsEndWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := testTurns()
		done, err := turns.take(t.Context(), asker{})
		require.NoError(t, err)
		begun := time.Now()
		_, err = turns.take(t.Context(), asker{})
		require.Equal(t, "logins_busy", domain.CodeOf(err))
		require.Equal(t, time.Minute, time.Since(begun))
		var busy *domain.Error
		require.ErrorAs(t, err, &busy)
		require.ErrorIs(t, err, domain.ErrUnavailable)
		require.Positive(t, busy.RetryAfter)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = turns.take(ctx, asker{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		done()
		requireIdle(t, turns)
	})
}

// Turns come and go at once, and no place gets lost.
func TestTurnsUnderStress(t *testing.T) {
	t.Parallel()
	turns := &turns{places: 2, mostWaiting: 8, patience: time.Second}
	var running, most, refused int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%5)*time.Millisecond)
			defer cancel()
			done, err := turns.take(ctx, asker{by: fmt.Sprint(i % 7), failures: i % 3})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				refused++
				return
			}
			running++
			most = max(most, running)
			mu.Unlock()
			for range 100 {
				_ = fmt.Sprint(i)
			}
			mu.Lock()
			running--
			done()
		})
	}
	wg.Wait()
	require.LessOrEqual(t, most, 2)
	require.Positive(t, refused)
	require.Eventually(t, func() bool {
		turns.mu.Lock()
		defer turns.mu.Unlock()
		return len(turns.taken) == 0 && len(turns.waiting) == 0
	}, 5*time.Second, time.Millisecond)
}
