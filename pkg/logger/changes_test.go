package logger_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/logger"
)

func TestChangesAreLoggedAndAttemptsAreNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c logger.Changes
		require.False(t, c.Recovered(), "it has never failed")
		require.True(t, c.Failed("away"))
		require.False(t, c.Failed("away"))
		require.True(t, c.Failed("refused"), "another reason")
		<-time.After(24 * time.Hour)
		require.False(t, c.Failed("away"))
		require.True(t, c.Recovered())
		require.False(t, c.Recovered())
		require.True(t, c.Failed("away"), "it worked in between")
		require.True(t, c.Recovered())
		require.True(t, c.Failed(""), "a reason may be empty")
		require.False(t, c.Failed(""))
		require.True(t, c.Recovered())
	})
}

func TestEachReasonIsLoggedOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := logger.Changes{Remind: time.Minute}
		require.True(t, c.Failed("limit of 4"))
		<-time.After(30 * time.Second)
		require.True(t, c.Failed("limit of 5"), "it changed")
		<-time.After(time.Second)
		require.False(t, c.Failed("limit of 4"), "two that take turns are one a minute, too")
		<-time.After(28 * time.Second)
		require.False(t, c.Failed("limit of 4"))
		<-time.After(time.Second)
		require.True(t, c.Failed("limit of 4"))
	})
}

func TestReasonsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := logger.Changes{Remind: time.Minute}
		said := 0
		for i := range 1000 {
			if c.Failed(strconv.Itoa(i)) {
				said++
			}
		}
		require.LessOrEqual(t, said, 8)
		<-time.After(time.Minute)
		require.True(t, c.Failed("later"))
	})
}
