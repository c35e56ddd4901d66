package verify

import (
	"fmt"
	"os"
	"strings"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/report"
)

// NoConnectionLost fails the result when a replica logged that it lost a
// connection to the broker, for scenarios in which nothing cuts one.
func NoConnectionLost(e *env.Env, r *report.Result) error {
	for _, s := range e.Replicas() {
		text, err := os.ReadFile(s.LogFile)
		if err != nil {
			return fmt.Errorf("read the service's log: %w", err)
		}
		n := strings.Count(string(text), "broker connection lost")
		r.Show("connections lost", "%d", n)
		if n > 0 {
			r.Fail("the service lost %d connections to the broker", n)
		}
	}
	return nil
}

// LostConnections counts the connections to the broker that the service lost
// according to its log.
type LostConnections struct {
	Service *env.Service
	from    int64 // what of the log is through
	N       int
}

// Count counts what was logged since the last call.
func (l *LostConnections) Count() error {
	text, err := l.rest()
	l.N += strings.Count(text, "broker connection lost")
	return err
}

// Skip leaves out what was logged since then.
func (l *LostConnections) Skip() error {
	_, err := l.rest()
	return err
}

func (l *LostConnections) rest() (string, error) {
	text, err := os.ReadFile(l.Service.LogFile)
	if err != nil {
		return "", fmt.Errorf("read the service's log: %w", err)
	}
	text, l.from = text[l.from:], int64(len(text))
	return string(text), nil
}
