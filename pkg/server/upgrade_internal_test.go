package server

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// tiersLeft is a domain.LegacyRetries that answers with these numbers, one after the
// other; a negative one is an error.
type tiersLeft struct {
	answers []int
	at      []time.Time
}

func (l *tiersLeft) EmptyRetryTiers(context.Context) (int, int64, error) {
	n := l.answers[len(l.at)]
	l.at = append(l.at, time.Now())
	if n < 0 {
		return 0, 0, errors.New("away")
	}
	return n, int64(n), nil
}

// What an earlier version left is looked at every minute until nothing is left,
// whatever happens in between.
func TestRetryTiersAreEmptiedEveryMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		left := &tiersLeft{answers: []int{5, -1, 2, -1, 0}}
		begun := time.Now()
		emptyRetryTiers(t.Context(), left, slog.New(slog.DiscardHandler))
		require.Len(t, left.at, 5)
		for i, at := range left.at {
			require.Equal(t, begun.Add(time.Duration(i)*time.Minute), at)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		left := &tiersLeft{answers: []int{1, 1, 1}}
		emptyRetryTiers(ctx, left, slog.New(slog.DiscardHandler))
		require.Len(t, left.at, 2)
	})
}
