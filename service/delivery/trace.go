package delivery

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"lanekeeper/domain"
	"lanekeeper/pkg/tracing"
	"lanekeeper/pkg/webhook"
)

// urlTemplate stands for the path of an endpoint, which is its owner's secret as often
// as not.
const urlTemplate = "{endpoint}"

// Attributes that no semantic convention has.
const (
	endpointID = attribute.Key("lanekeeper.endpoint_id")
	seqNumber  = attribute.Key("lanekeeper.seq")
	attempt    = attribute.Key("lanekeeper.attempt")
)

// traced is what the span of an attempt shows. It belongs to who sends it, as the job
// does.
type traced struct {
	context            domain.TraceContext
	tenant, message    string
	endpoint, receiver string
	seq                int64
	attempt            int
}

// tracedOf returns what the span of an attempt shows, nil where none is recorded.
func tracedOf(t *tracing.Tracer, to *recipient, e *entry) *traced {
	if t == nil {
		return nil
	}
	known := e.message.TraceContext()
	if known == "" || !t.MayRecord(known.Sampled()) {
		return nil
	}
	return &traced{
		context: known, tenant: e.message.TenantID.String(), message: e.message.ID.String(), endpoint: to.endpoint,
		receiver: to.destination.Receiver(), seq: e.seq, attempt: e.attempts + 1,
	}
}

// send makes an attempt. Where it is recorded, that is in a span in the trace of the
// message, in which the receiver goes on.
func (c *courier) send(ctx context.Context, j *job) webhook.Result {
	if j.traced == nil {
		return c.sender.Send(ctx, j.request)
	}
	ctx, span := c.traces.Start(tracing.Below(ctx, j.traced.context.Parent(), j.traced.context.State()), http.MethodPost+" "+urlTemplate,
		trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	parent, state := tracing.Carried(ctx)
	if j.request.Headers[traceParent] = parent; state != "" {
		j.request.Headers[traceState] = state
	}
	answer := c.sender.Send(ctx, j.request)
	if span.IsRecording() {
		j.traced.describe(span, &answer)
	}
	return answer
}

func (t *traced) describe(span trace.Span, answer *webhook.Result) {
	span.SetAttributes(
		semconv.HTTPRequestMethodPost, semconv.URLTemplate(urlTemplate),
		tracing.TenantID.String(t.tenant), semconv.MessagingMessageID(t.message), endpointID.String(t.endpoint), seqNumber.Int64(t.seq), attempt.Int(t.attempt),
	)
	if t.attempt > 1 {
		span.SetAttributes(semconv.HTTPRequestResendCount(t.attempt - 1))
	}
	if u, err := url.Parse(t.receiver); err == nil {
		span.SetAttributes(semconv.URLScheme(u.Scheme), semconv.ServerAddress(u.Hostname()))
		if port, err := strconv.Atoi(u.Port()); err == nil {
			span.SetAttributes(semconv.ServerPort(port))
		}
	}
	if answer.Status != 0 {
		span.SetAttributes(semconv.HTTPResponseStatusCode(answer.Status))
	}
	switch {
	case answer.Aborted:
		tracing.Fail(span, "aborted", "the attempt was broken off, and counts for none")
	case answer.Err != nil && answer.Status != 0:
		tracing.Fail(span, strconv.Itoa(answer.Status), "")
	case answer.Err != nil:
		tracing.Fail(span, "no_answer", answer.Err.Error())
	}
}
