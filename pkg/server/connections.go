package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"lanekeeper/pkg/httpconn"
	"lanekeeper/pkg/metrics"
)

// connectionReport is how often closed connections are logged at most: a client
// that opens too many does so many times a second.
const connectionReport = time.Minute

// connectionEvents counts the connections that were ended, and logs them. It
// is safe for concurrent use.
type connectionEvents struct {
	metrics *metrics.Metrics
	log     *slog.Logger

	mu     sync.Mutex
	logged time.Time               // guarded by mu
	since  map[httpconn.Reason]int // guarded by mu; what was not logged
}

func newConnectionEvents(m *metrics.Metrics, log *slog.Logger) *connectionEvents {
	for _, reason := range httpconn.Reasons() {
		m.AddConnectionsEnded(string(reason), 0) // what has not happened is shown, too
	}
	return &connectionEvents{metrics: m, log: log, since: make(map[httpconn.Reason]int)}
}

// ended takes note of one.
func (e *connectionEvents) ended(event httpconn.Event) {
	e.metrics.AddConnectionsEnded(string(event.Reason), 1)
	if event.Reason == httpconn.Unread {
		e.log.LogAttrs(context.Background(), slog.LevelWarn, "an answer was cut because its client did not read it",
			slog.String("request_id", event.Request), slog.String("peer", event.Remote.String()), slog.Int64("bytes", event.Written))
		return
	}
	if event.Reason == httpconn.Handshake { // whoever looks for open ports does that
		e.log.LogAttrs(context.Background(), slog.LevelDebug, "no agreement on TLS",
			slog.String("peer", event.Remote.String()), slog.Any("error", event.Err))
		return
	}
	if closed := e.count(event.Reason); closed != nil {
		attrs := []slog.Attr{slog.String("peer", event.Remote.String())}
		for _, reason := range httpconn.Reasons() {
			if n := closed[reason]; n > 0 {
				attrs = append(attrs, slog.Int(string(reason), n))
			}
		}
		e.log.LogAttrs(context.Background(), slog.LevelWarn, "connections were closed because there are too many", attrs...)
	}
}

// count returns what is to be logged now, or nil.
func (e *connectionEvents) count(reason httpconn.Reason) map[httpconn.Reason]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.since[reason]++
	if time.Since(e.logged) < connectionReport {
		return nil
	}
	closed := e.since
	e.logged, e.since = time.Now(), make(map[httpconn.Reason]int)
	return closed
}
