package writer

import (
	"context"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"lanekeeper/domain"
	"lanekeeper/pkg/tracing"
)

// recordCommit makes a span of a transaction in the trace of each message that it has
// stored and that is recorded: the same time and the same number of rows in all of them.
// One span for all would have to be in a trace of its own, for which nobody looks.
func recordCommit(ctx context.Context, t *tracing.Tracer, messages []domain.Message, appended []domain.AppendResult, begun, ended time.Time) {
	for i := range messages {
		if appended[i].Outcome != domain.AppendStored {
			continue
		}
		known := messages[i].TraceContext()
		if known == "" || !t.MayRecord(known.Sampled()) {
			continue
		}
		_, span := t.Start(tracing.Below(ctx, known.Parent(), known.State()), "INSERT messages",
			trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(begun))
		if span.IsRecording() {
			span.SetAttributes(
				semconv.DBSystemNamePostgreSQL, semconv.DBOperationName("INSERT"), semconv.DBCollectionName("messages"), semconv.DBOperationBatchSize(len(messages)),
				tracing.TenantID.String(messages[i].TenantID.String()),
			)
		}
		span.End(trace.WithTimestamp(ended))
	}
}
