package backoff_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/backoff"
)

func TestPausesDoubleUpToTheLongest(t *testing.T) {
	t.Parallel()
	b := backoff.New(100*time.Millisecond, time.Second)
	for range 100 {
		b.Reset()
		for _, interval := range []time.Duration{100, 200, 400, 800, 1000, 1000, 1000} {
			interval *= time.Millisecond
			pause := b.Next()
			require.GreaterOrEqual(t, pause, interval/2-time.Microsecond)
			require.LessOrEqual(t, pause, interval+time.Microsecond)
		}
	}
}

// Many that failed in the same moment do not come back in the same moment.
func TestPausesAreSpread(t *testing.T) {
	t.Parallel()
	seen := make(map[time.Duration]bool)
	shortest, longest := time.Hour, time.Duration(0)
	for range 1000 {
		pause := backoff.New(time.Second, time.Second).Next()
		seen[pause] = true
		shortest, longest = min(shortest, pause), max(longest, pause)
	}
	require.Greater(t, len(seen), 900)
	require.Less(t, shortest, 550*time.Millisecond)
	require.Greater(t, longest, 950*time.Millisecond)
}

func TestSleepEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		require.NoError(t, backoff.Sleep(t.Context(), time.Minute))
		require.Equal(t, time.Minute, time.Since(begun))
		require.NoError(t, backoff.Sleep(t.Context(), 0))
		require.NoError(t, backoff.Sleep(t.Context(), -time.Second))

		begun = time.Now()
		limited, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, backoff.Sleep(limited, time.Minute), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(begun))
		require.ErrorIs(t, backoff.Sleep(limited, 0), context.DeadlineExceeded)

		lost := errors.New("lost")
		caused, end := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { end(lost) })
		err := backoff.Sleep(caused, time.Minute)
		require.ErrorIs(t, err, lost)
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestRetry(t *testing.T) {
	t.Parallel()
	errBusy, errBroken := errors.New("busy"), errors.New("broken")
	again := func(err error) bool { return errors.Is(err, errBusy) }
	attempts := func(results ...error) (attempt func(context.Context) error, left func() int) {
		return func(context.Context) error {
			err := results[0]
			results = results[1:]
			return err
		}, func() int { return len(results) }
	}
	synctest.Test(t, func(t *testing.T) {
		b := backoff.New(time.Second, 2*time.Second)
		begun := time.Now()
		attempt, left := attempts(errBusy, errBusy, errBusy, nil, errBusy)
		require.NoError(t, backoff.Retry(t.Context(), b, attempt, again))
		require.Equal(t, 1, left(), "it ends with a success")
		require.InDelta(t, 3.75, time.Since(begun).Seconds(), 1.26, "half to all of 1, 2 and 2 s")

		attempt, left = attempts(errBusy, errBroken, nil)
		require.ErrorIs(t, backoff.Retry(t.Context(), b, attempt, again), errBroken)
		require.Equal(t, 1, left(), "it ends with an error that is not to be tried again")

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := backoff.Retry(ctx, b, func(context.Context) error { return errBusy }, again)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, errBusy)
	})
}

func TestJitterIsNeverLate(t *testing.T) {
	t.Parallel()
	shortest, longest := time.Hour, time.Duration(0)
	for range 1000 {
		d := backoff.Jitter(time.Minute, 0.25)
		shortest, longest = min(shortest, d), max(longest, d)
	}
	require.GreaterOrEqual(t, shortest, 45*time.Second)
	require.Less(t, shortest, 46*time.Second)
	require.LessOrEqual(t, longest, time.Minute)
	require.Greater(t, longest, 59*time.Second)
	require.Equal(t, time.Minute, backoff.Jitter(time.Minute, 0))
}
