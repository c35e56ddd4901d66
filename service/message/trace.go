package message

import (
	"context"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"lanekeeper/domain"
	"lanekeeper/pkg/tracing"
)

// maxLinks bounds the traces of messages that the span of their publication names.
const maxLinks = 128

// publishTraced publishes in a span. There is one for a call, however many messages
// that has: it is what all of them have as their context. Those that say in their headers
// which trace they belong to stay in that, and the span has a link to it.
func publishTraced(ctx context.Context, traces *tracing.Tracer, t domain.Tenant, subs []domain.Submission,
	publish func(context.Context, domain.Tenant, []domain.Submission) []domain.Receipt,
) []domain.Receipt {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return publish(ctx, t, subs)
	}
	ctx, span := traces.Start(ctx, tracing.QueueSpanName(tracing.Publish), trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(tracing.QueueAttributes(tracing.Publish, t.ID.String())...), trace.WithLinks(linksTo(subs)...))
	defer span.End()
	receipts := publish(ctx, t, subs)
	if len(receipts) == 1 {
		span.SetAttributes(semconv.MessagingMessageID(receipts[0].ID.String()))
	} else {
		span.SetAttributes(semconv.MessagingBatchMessageCount(len(receipts)))
	}
	worst := outcomeAccepted
	for i := range receipts {
		if o := outcomeOf(&receipts[i]); o > worst {
			worst = o
		}
	}
	span.SetAttributes(tracing.Outcome.String(worst.String()))
	if worst >= outcomeUnavailable {
		tracing.Fail(span, worst.String(), "")
	}
	return receipts
}

// linksTo returns links to the traces that messages belong to by their own headers.
func linksTo(subs []domain.Submission) []trace.Link {
	var links []trace.Link
	for i := range subs {
		if own := domain.OwnTrace(subs[i].Headers); own != "" && len(links) < maxLinks {
			links = append(links, trace.Link{SpanContext: tracing.Parse(own.Parent(), own.State())})
		}
	}
	return links
}

// carryTrace has messages go on in the trace that ctx is part of, but for those that say
// in their headers which they belong to.
func carryTrace(ctx context.Context, batch []domain.Outgoing) {
	carried := domain.NewTraceContext(tracing.Carried(ctx))
	if carried == "" {
		return
	}
	for i := range batch {
		if domain.OwnTrace(batch[i].Headers) == "" {
			batch[i].Trace = carried
		}
	}
}
