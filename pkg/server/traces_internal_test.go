package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"lanekeeper/pkg/logger"
	"lanekeeper/pkg/tracing"
)

// Lines of the log say which trace they are about.
func TestLogHasTraces(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	log, err := logger.New(&text, logger.Options{FromContext: LogAttributes})
	require.NoError(t, err)
	log.InfoContext(t.Context(), "without")
	require.NotContains(t, text.String(), "trace_id")
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for _, flags := range []string{"00", "01"} {
		text.Reset()
		log.InfoContext(tracing.Below(t.Context(), "00-"+id+"-00f067aa0ba902b7-"+flags, ""), "with")
		require.Contains(t, text.String(), "trace_id="+id)
	}
}

// That spans are not exported is logged now and then, however often it happens.
func TestExportFailuresAreLoggedNowAndThen(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	f := &exportFailures{log: slog.New(slog.NewTextHandler(&text, nil)), changes: logger.Changes{Remind: exportRemind}}
	for range 100 {
		f.add(errors.New("the collector is away"))
	}
	require.Equal(t, 1, strings.Count(text.String(), "the collector is away"))
}

// A statement that is run for nobody whose trace is recorded costs nothing, and one for
// somebody whose trace is has a span.
func TestStatementsOfOthersCostNothing(t *testing.T) { //nolint:paralleltest // counts the allocations of the process
	spans := tracetest.NewSpanRecorder()
	traces := tracing.New(spans)
	statements := databaseTracer(traces)
	run := func(ctx context.Context) {
		ctx = statements.TraceQueryStart(ctx, nil, pgx.TraceQueryStartData{SQL: "SELECT 1"})
		statements.TraceQueryEnd(ctx, nil, pgx.TraceQueryEndData{})
	}
	require.Zero(t, testing.AllocsPerRun(100, func() { run(t.Context()) }))
	require.Empty(t, spans.Started())
	ctx, span := traces.StartRecorded(t.Context(), "GET", trace.SpanKindServer)
	run(ctx)
	require.Len(t, spans.Ended(), 1)
	require.Equal(t, span.SpanContext().SpanID(), spans.Ended()[0].Parent().SpanID())
}
