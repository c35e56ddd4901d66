package cli

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	check "github.com/stretchr/testify/require"

	"lanekeeper/pkg/client"
)

// That the service has the publisher slow down is said once, and an outage every 5 s.
func TestAttemptsThatFailedAreToldOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []string
		conn := &connection{}
		conn.tellAttempts(func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) })
		limited := client.Attempted{Err: &client.Error{Status: 429, Code: client.CodeRateExceeded, Detail: "Slow down."}}
		away := client.Attempted{Err: errors.New("connection refused")}
		for range 20 {
			conn.onAttempt(limited)
			<-time.After(time.Second)
		}
		check.Len(t, told, 1)
		check.Contains(t, told[0], "Slow down.")
		for range 20 {
			conn.onAttempt(away)
			<-time.After(time.Second)
		}
		check.Len(t, told, 5)
	})
}
