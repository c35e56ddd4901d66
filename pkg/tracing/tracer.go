package tracing

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// scope is what the spans are made by.
const scope = "lanekeeper"

// Attributes that no semantic convention has.
const (
	// TenantID is whose work a span is.
	TenantID = attribute.Key("lanekeeper.tenant_id")
	// RequestID is what the log calls the request.
	RequestID = attribute.Key("lanekeeper.request_id")
	// Outcome is what became of it, in a word of the metrics.
	Outcome = attribute.Key("lanekeeper.outcome")
)

// Tracer begins spans. Nil is off: it must not be asked for any then. It is safe for
// concurrent use.
type Tracer struct {
	trace.Tracer

	provider *sdktrace.TracerProvider
	sampler  sdktrace.Sampler
	// overrules is set where the sampler may record what a caller does not.
	overrules bool
}

// New returns a Tracer that hands ended spans to processor, and otherwise does what
// options and the environment say.
func New(processor sdktrace.SpanProcessor, options ...sdktrace.TracerProviderOption) *Tracer {
	return NewSampled(processor, samplerOfEnvironment(), options...)
}

// NewSampled returns a Tracer as New does, that has sampler decide what is recorded.
func NewSampled(processor sdktrace.SpanProcessor, sampler sdktrace.Sampler, options ...sdktrace.TracerProviderOption) *Tracer {
	provider := sdktrace.NewTracerProvider(append(options,
		sdktrace.WithSpanProcessor(processor), sdktrace.WithSampler(sampler), sdktrace.WithIDGenerator(ids{}))...)
	return &Tracer{Tracer: provider.Tracer(scope), provider: provider, sampler: sampler, overrules: samplerOverrules()}
}

// Provider returns where others get tracers from whose spans go the same way. It is nil
// where the Tracer is.
func (t *Tracer) Provider() trace.TracerProvider {
	if t == nil {
		return nil
	}
	return t.provider
}

// StartRecorded begins a trace with a span, where the sampler says that it is recorded;
// ctx is part of none. Otherwise it returns ctx as it is, and nil: what nobody records and
// nobody else has begun need not be carried along. It must not be called on nil.
func (t *Tracer) StartRecorded(ctx context.Context, name string, kind trace.SpanKind) (context.Context, trace.Span) {
	id := newTraceID()
	// Asked first, because a span that is not recorded costs four allocations.
	if t.sampler.ShouldSample(sdktrace.SamplingParameters{ParentContext: ctx, TraceID: id, Name: name, Kind: kind}).Decision == sdktrace.Drop {
		return ctx, nil
	}
	return t.Start(withTraceID(ctx, id), name, trace.WithSpanKind(kind))
}

// MayRecord reports whether a span may be recorded below one that is sampled, or is
// not. It is false for nil.
func (t *Tracer) MayRecord(sampled bool) bool { return t != nil && (sampled || t.overrules) }

// Shutdown has the spans exported that have ended, for as long as ctx allows, and ends
// what exports them. What ends later is dropped.
func (t *Tracer) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("export the last spans: %w", err)
	}
	return nil
}

// Fail gives a span the status of a failure. The kind is a word that does not vary with
// the case, and the description is for people and free of secrets.
func Fail(span trace.Span, kind, description string) {
	span.SetAttributes(semconv.ErrorTypeKey.String(kind))
	span.SetStatus(codes.Error, description)
}
