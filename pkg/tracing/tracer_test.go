package tracing_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"lanekeeper/pkg/tracing"
)

// A trace begins where the sampler takes its id, and has that; otherwise there is nothing.
func TestStartRecorded(t *testing.T) {
	t.Parallel()
	half := sdktrace.TraceIDRatioBased(0.5)
	traces := tracing.NewSampled(tracetest.NewSpanRecorder(), sdktrace.ParentBased(half))
	begun := map[trace.TraceID]bool{}
	const calls = 1000
	for range calls {
		ctx, span := traces.StartRecorded(t.Context(), "GET", trace.SpanKindServer)
		if span == nil {
			require.Equal(t, t.Context(), ctx)
			continue
		}
		require.True(t, span.IsRecording())
		require.Equal(t, span, trace.SpanFromContext(ctx))
		id := span.SpanContext().TraceID()
		require.Equal(t, sdktrace.RecordAndSample, half.ShouldSample(sdktrace.SamplingParameters{ParentContext: ctx, TraceID: id}).Decision)
		_, below := traces.Start(ctx, "SELECT")
		require.Equal(t, id, below.SpanContext().TraceID())
		require.NotEqual(t, span.SpanContext().SpanID(), below.SpanContext().SpanID())
		begun[id] = true
	}
	require.InDelta(t, calls/2, len(begun), calls/5, "one id for each")
}

func TestSamplersOfEnvironment(t *testing.T) { //nolint:paralleltest // sets the environment
	for _, test := range []struct {
		name, arg string
		takes     bool
	}{
		{"", "", true},
		{"always_on", "", true},
		{"parentbased_always_on", "", true},
		{"always_off", "", false},
		{"parentbased_always_off", "", false},
		{"traceidratio", "", true},
		{"parentbased_traceidratio", "1", true},
		{"traceidratio", "0", false},
		{"parentbased_traceidratio", "0", false},
	} {
		t.Setenv("OTEL_TRACES_SAMPLER", test.name)
		t.Setenv("OTEL_TRACES_SAMPLER_ARG", test.arg)
		traces := tracing.New(tracetest.NewSpanRecorder())
		_, span := traces.StartRecorded(t.Context(), "GET", trace.SpanKindServer)
		require.Equal(t, test.takes, span != nil, test)
		_, span = traces.Start(tracing.Below(t.Context(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", ""), "GET")
		require.Equal(t, test.takes || test.name[:6] == "parent", span.IsRecording(), test)
	}
}
