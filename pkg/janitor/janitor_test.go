package janitor_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/janitor"
)

func TestRoundsComeAtIntervals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		begun := time.Now()
		var rounds []time.Duration
		janitor.Run(ctx, time.Minute, func(context.Context) {
			rounds = append(rounds, time.Since(begun))
			if len(rounds) == 3 {
				cancel()
			}
		})
		require.Equal(t, []time.Duration{time.Minute, 2 * time.Minute, 3 * time.Minute}, rounds)
	})
}

func TestSweepGoesOnWhileThereIsMuch(t *testing.T) {
	t.Parallel()
	old := 25
	chunks := 0
	remove := func(_ context.Context, limit int) (int, error) {
		chunks++
		n := min(limit, old)
		old -= n
		return n, nil
	}
	require.NoError(t, janitor.Sweep(t.Context(), 10, remove))
	require.Zero(t, old)
	require.Equal(t, 3, chunks)

	errAway := errors.New("away")
	require.ErrorIs(t, janitor.Sweep(t.Context(), 10, func(context.Context, int) (int, error) { return 10, errAway }), errAway)

	ended, cancel := context.WithCancel(t.Context())
	chunks = 0
	require.NoError(t, janitor.Sweep(ended, 10, func(_ context.Context, limit int) (int, error) {
		chunks++
		cancel()
		return limit, nil
	}))
	require.Equal(t, 1, chunks, "it ends with the context")
}

func TestSweepGoesPastWhatIsBlocked(t *testing.T) {
	t.Parallel()
	old := map[string]int{"a": 15, "b": 15, "locked": 15}
	remove := func(_ context.Context, limit int, skip []string) (int, []string, error) {
		for _, owner := range []string{"a", "locked", "b"} {
			switch {
			case old[owner] == 0 || len(skip) > 0 && skip[0] == owner:
			case owner == "locked":
				return 0, []string{owner}, nil
			default:
				n := min(limit, old[owner])
				old[owner] -= n
				return n, nil, nil
			}
		}
		return 0, nil, nil
	}
	require.NoError(t, janitor.SweepPast(t.Context(), 5, remove))
	require.Equal(t, map[string]int{"a": 0, "b": 0, "locked": 15}, old)
}
