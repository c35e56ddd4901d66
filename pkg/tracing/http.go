package tracing

import (
	"context"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// StartRequest begins the span of a request, in the trace that its traceparent names, or
// in a new one. EndRequest ends it. A new one that is not recorded is none: then there is
// nothing to be ended, and it returns false. It must not be called on nil.
func (t *Tracer) StartRequest(r *http.Request) (context.Context, bool) {
	ctx := r.Context()
	if len(r.Header["Traceparent"]) == 1 { // of several, none is meant
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	if !trace.SpanContextFromContext(ctx).IsValid() {
		ctx, span := t.StartRecorded(ctx, r.Method, trace.SpanKindServer)
		return ctx, span != nil
	}
	ctx, _ = t.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer))
	return ctx, true
}

// Answered is a request and its answer, as its span shows it.
type Answered struct {
	// Method is one of those that HTTP has, and Route the template of the path, "" for
	// none.
	Method, Route string
	// Path is that of the request, without secrets.
	Path string
	// Scheme is http or https.
	Scheme, UserAgent string
	// Status is that of the answer; 0 where the client did not wait for one.
	Status int
	// RequestID is what the log calls it, and TenantID whose it was; "" for nobody's.
	RequestID, TenantID string
}

// EndRequest ends the span of a request. The function is asked for what it shows only
// where it is recorded.
func (*Tracer) EndRequest(ctx context.Context, answered func() Answered) {
	span := trace.SpanFromContext(ctx)
	defer span.End()
	if !span.IsRecording() {
		return
	}
	a := answered()
	name := a.Method
	if a.Route != "" {
		name += " " + a.Route
		span.SetAttributes(semconv.HTTPRoute(a.Route))
	}
	span.SetName(name)
	span.SetAttributes(
		semconv.HTTPRequestMethodKey.String(a.Method), semconv.URLPath(a.Path), semconv.URLScheme(a.Scheme), RequestID.String(a.RequestID),
	)
	if a.UserAgent != "" {
		span.SetAttributes(semconv.UserAgentOriginal(a.UserAgent))
	}
	if a.TenantID != "" {
		span.SetAttributes(TenantID.String(a.TenantID))
	}
	switch {
	case a.Status == 0:
		Fail(span, "client_gone", "the client did not wait for the answer")
	case a.Status >= http.StatusInternalServerError:
		span.SetAttributes(semconv.HTTPResponseStatusCode(a.Status))
		Fail(span, strconv.Itoa(a.Status), http.StatusText(a.Status))
	default:
		span.SetAttributes(semconv.HTTPResponseStatusCode(a.Status))
	}
}
