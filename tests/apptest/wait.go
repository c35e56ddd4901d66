package apptest

import (
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pollInterval is the time between two checks of a condition.
const pollInterval = 10 * time.Millisecond

// Long is the limit for what should take much less, on a machine that is busy
// with other tests.
const Long = 30 * time.Second

// Await returns once condition returns nil, and ends the test with its last
// error when that takes too long.
func Await(t testing.TB, within time.Duration, condition func() error) {
	t.Helper()
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-timeout.C:
			require.NoError(t, err, "still not so after %v", within)
		}
	}
}

// ErrNotYet: what is waited for has not come.
var ErrNotYet = errors.New("not yet")

// NotYet says what is waited for.
func NotYet(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrNotYet, fmt.Sprintf(format, args...))
}

// Throughout ends the test when condition returns an error within this time:
// for what should not happen.
func Throughout(t testing.TB, span time.Duration, condition func() error) {
	t.Helper()
	timeout := time.NewTimer(span)
	defer timeout.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		require.NoError(t, condition())
		select {
		case <-tick.C:
		case <-timeout.C:
			return
		}
	}
}

// AwaitClosed returns once the channel is closed, and ends the test when that
// takes too long.
func AwaitClosed(t testing.TB, c <-chan struct{}) {
	t.Helper()
	Await(t, Long, func() error {
		select {
		case <-c:
			return nil
		default:
			return NotYet("closed")
		}
	})
}

// Matches returns nil when text matches the regular expression, else why it is not yet
// as it should be.
func Matches(expression, text string) error {
	if regexp.MustCompile(expression).MatchString(text) {
		return nil
	}
	return NotYet("%s: %s", expression, text)
}
