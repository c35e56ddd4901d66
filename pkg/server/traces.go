package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"

	"lanekeeper/pkg/logger"
	"lanekeeper/pkg/tracing"
	"lanekeeper/pkg/version"
)

const (
	// serviceName is what spans say they are from, unless OTEL_SERVICE_NAME does.
	serviceName = "lanekeeper"
	// flushTimeout is how long the end waits for spans that are to be exported.
	flushTimeout = 2 * time.Second
	// exportRemind is how often the log says that spans are not exported.
	exportRemind = time.Minute
)

// newTracer returns what makes spans, nil for nothing: d.Spans where a test has one, else
// what the environment says.
func newTracer(ctx context.Context, d *Decorators, replica string, log *slog.Logger) (*tracing.Tracer, error) {
	if d.Spans != nil {
		return tracing.New(d.Spans), nil
	}
	failures := &exportFailures{log: log, changes: logger.Changes{Remind: exportRemind}}
	return tracing.FromEnvironment(ctx, tracing.EnvironmentOptions{ //nolint:wrapcheck // names the variable
		Service: serviceName, Version: version.Read().Version, Instance: replica, Failed: failures.add,
	})
}

// exportFailures logs that spans are not exported, now and then.
type exportFailures struct {
	log     *slog.Logger
	mu      sync.Mutex
	changes logger.Changes // guarded by mu
}

// add takes a failure. The reason is none to tell failures apart by: it has the time in
// it that was left, or the number of spans.
func (f *exportFailures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changes.Failed("") {
		f.log.Warn("spans are not exported", slog.Any("error", err))
	}
}

// databaseTracer returns what makes spans of statements that are run for a request whose
// trace is recorded, or nil. They have the text of the statement, and none of its
// parameters.
func databaseTracer(t *tracing.Tracer) pgx.QueryTracer {
	if t == nil {
		return nil
	}
	return &statements{otelpgx.NewTracer(otelpgx.WithTracerProvider(t.Provider()), otelpgx.WithDisableAcquireTracer(), otelpgx.WithDisableConnectionDetailsInAttributes())}
}

// flushSpans has the last spans exported. That it fails is no disorder.
func flushSpans(ctx context.Context, t *tracing.Tracer, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	if err := t.Shutdown(ctx); err != nil {
		log.WarnContext(ctx, "the last spans are lost", slog.Any("error", err))
	}
}
