package apptest

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// Spans are those that the service has made, in this process.
type Spans struct {
	t        testing.TB
	recorder *tracetest.SpanRecorder
}

// RecordSpans has the service make spans, as it does where the environment says where they
// go, and returns them. Call it before Start.
func (a *App) RecordSpans() *Spans {
	recorder := tracetest.NewSpanRecorder()
	a.Decorators.Spans = recorder
	return &Spans{a.t, recorder}
}

// Ended returns all spans that have ended.
func (s *Spans) Ended() []sdktrace.ReadOnlySpan { return s.recorder.Ended() }

// All returns the spans of a trace that have ended.
func (s *Spans) All(traceID string) []sdktrace.ReadOnlySpan {
	var found []sdktrace.ReadOnlySpan
	for _, span := range s.recorder.Ended() {
		if span.SpanContext().TraceID().String() == traceID {
			found = append(found, span)
		}
	}
	return found
}

// Await waits until spans of all these names have ended in a trace, and returns them. There
// may be no more than one of each.
func (s *Spans) Await(traceID string, names ...string) map[string]sdktrace.ReadOnlySpan {
	s.t.Helper()
	found := make(map[string]sdktrace.ReadOnlySpan)
	Await(s.t, Long, func() error {
		clear(found)
		for _, span := range s.All(traceID) {
			if slices.Contains(names, span.Name()) {
				require.NotContains(s.t, found, span.Name())
				found[span.Name()] = span
			}
		}
		if len(found) < len(names) {
			return NotYet("spans %v: %v", names, slices.Collect(maps.Keys(found)))
		}
		return nil
	})
	return found
}

// Attribute returns what a span says under a name, as text; "" for nothing.
func Attribute(span sdktrace.ReadOnlySpan, name string) string {
	for _, a := range span.Attributes() {
		if string(a.Key) == name {
			return a.Value.String()
		}
	}
	return ""
}
