package logger_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/logger"
)

func TestRecurringSaysEachTextOnceAMinute(t *testing.T) {
	t.Parallel()
	var r logger.Recurring
	begin := time.Now()
	require.True(t, r.Due("limit of 4", begin))
	require.False(t, r.Due("limit of 4", begin.Add(59*time.Second)))
	require.True(t, r.Due("limit of 5", begin.Add(30*time.Second)), "it changed")
	require.False(t, r.Due("limit of 4", begin.Add(31*time.Second)), "two that take turns are one a minute, too")
	require.True(t, r.Due("limit of 4", begin.Add(time.Minute)))
}

func TestRecurringIsBounded(t *testing.T) {
	t.Parallel()
	var r logger.Recurring
	said, now := 0, time.Now()
	for i := range 1000 {
		if r.Due(strconv.Itoa(i), now) {
			said++
		}
	}
	require.LessOrEqual(t, said, 8)
	require.True(t, r.Due("later", now.Add(time.Minute)))
}
