package consumer

import (
	"context"

	"github.com/google/uuid"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"lanekeeper/domain"
	"lanekeeper/pkg/tracing"
)

// spans are those of the messages of a chunk, from when a worker takes them until they
// are stored: in the order of the messages, nil where none is recorded, and up to the last
// that is. Without traces there are none at all.
type spans []trace.Span

// with returns the spans with that of the message i, which comes behind all others; nil is
// none.
func (s spans) with(i int, span trace.Span) spans {
	if span == nil {
		return s
	}
	return append(append(s, make(spans, i-len(s))...), span)
}

// beginSpan begins the span of a message, below what published it, and has the message keep
// the context that its delivery goes on with. A message of which nobody knows a trace
// begins one, if that is recorded; one that this service published was not to have any.
func beginSpan(ctx context.Context, t *tracing.Tracer, d *domain.Delivery, m *domain.Message) trace.Span {
	m.Trace = domain.CarriedTrace(d.Headers)
	known := m.TraceContext()
	var span trace.Span
	switch {
	case known != "":
		if m.Trace != known {
			m.Trace = "" // its headers say it
		}
		if !t.MayRecord(known.Sampled()) {
			return nil
		}
		_, span = t.Start(tracing.Below(ctx, known.Parent(), known.State()), tracing.QueueSpanName(tracing.Process), trace.WithSpanKind(trace.SpanKindConsumer))
		if !span.IsRecording() {
			return nil
		}
	case !d.PublishedHere.IsZero():
		return nil
	default:
		ctx, span = t.StartRecorded(ctx, tracing.QueueSpanName(tracing.Process), trace.SpanKindConsumer)
		if span == nil {
			return nil
		}
		m.Trace = domain.NewTraceContext(tracing.Carried(ctx))
	}
	span.SetAttributes(tracing.QueueAttributes(tracing.Process, m.TenantID.String())...)
	span.SetAttributes(semconv.MessagingMessageID(m.ID.String()))
	return span
}

// recordRefused makes a span of a delivery that becomes a dead letter unread.
func recordRefused(ctx context.Context, t *tracing.Tracer, tenant uuid.UUID, d *domain.Delivery, reason domain.DeadLetterReason) {
	known := domain.TraceOf(d.Headers)
	if known == "" || !t.MayRecord(known.Sampled()) {
		return
	}
	_, span := t.Start(tracing.Below(ctx, known.Parent(), known.State()), tracing.QueueSpanName(tracing.Process),
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(tracing.QueueAttributes(tracing.Process, tenant.String())...))
	tracing.Fail(span, string(reason), "the message becomes a dead letter")
	span.End()
}

// inTrace returns a context for what is logged of a message.
func inTrace(ctx context.Context, t *tracing.Tracer, headers map[string]any) context.Context {
	if t == nil {
		return ctx
	}
	known := domain.TraceOf(headers)
	return tracing.Below(ctx, known.Parent(), known.State())
}

// end ends the span of a message with what became of it.
func (s spans) end(i int, r *domain.StoreResult) {
	if i >= len(s) || s[i] == nil {
		return
	}
	span := s[i]
	defer span.End()
	switch {
	case r.Err != nil:
		tracing.Fail(span, string(domain.ReasonNotStorable), "the message cannot be stored and becomes a dead letter")
	case r.Outcome == domain.AppendConflict:
		tracing.Fail(span, string(domain.ReasonIDConflict), "another message is stored under this id")
	default:
		span.SetAttributes(tracing.Outcome.String(outcomeName(r.Outcome)))
	}
}

// abandon ends all spans: their messages go back to the queue.
func (s spans) abandon() {
	for _, span := range s {
		if span != nil {
			tracing.Fail(span, "returned", "the message goes back to the queue")
			span.End()
		}
	}
}
