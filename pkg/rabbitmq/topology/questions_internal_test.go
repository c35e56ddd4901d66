package topology

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A queue that does not answer takes one channel, however often it is asked. When
// it answers after all, it is asked again.
func TestAQueueThatDoesNotAnswerIsAskedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQuestions()
		asked := 0
		var answer func()
		ask := func(queue string) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return q.ask(ctx, queue, func(begin func() func()) error {
				asked++
				answer = begin()
				<-ctx.Done()
				return ctx.Err()
			})
		}
		require.ErrorIs(t, ask("silent"), context.DeadlineExceeded)
		answered := answer
		for range 3 {
			begun := time.Now()
			require.ErrorIs(t, ask("silent"), context.DeadlineExceeded)
			require.Equal(t, time.Second, time.Since(begun), "it waits for the answer to the first")
		}
		require.Equal(t, 1, asked)
		require.ErrorIs(t, ask("other"), context.DeadlineExceeded)
		require.Equal(t, 2, asked, "others are asked meanwhile")

		answered()
		require.NoError(t, q.ask(t.Context(), "silent", func(begin func() func()) error {
			asked++
			begin()()
			return nil
		}))
		require.Equal(t, 3, asked)
		require.NotContains(t, q.open, "silent")
	})
}

// Several questions at a time are all asked, as long as none of them was given up.
func TestQuestionsAtTheSameTime(t *testing.T) {
	t.Parallel()
	q := newQuestions()
	require.NoError(t, q.ask(t.Context(), "queue", func(begin func() func()) error {
		answered := begin()
		defer answered()
		return q.ask(t.Context(), "queue", func(begin func() func()) error {
			begin()()
			return nil
		})
	}))
	require.Empty(t, q.open)
}
