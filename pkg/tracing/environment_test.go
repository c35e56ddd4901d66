package tracing_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/pkg/tracing"
)

func TestMain(m *testing.M) {
	for _, variable := range os.Environ() { // of who runs the tests
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "OTEL_") {
			_ = os.Unsetenv(name)
		}
	}
	goleak.VerifyTestMain(m)
}

// export is what a collector got.
type export struct {
	path, contentType, authorization string
	body                             []byte
}

// collector returns where it listens, and what it gets.
func collector(t *testing.T) (url string, exports <-chan export) {
	t.Helper()
	got := make(chan export, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil && r.Header.Get("Content-Encoding") == "gzip" {
			var unpacked *gzip.Reader
			if unpacked, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
				body, err = io.ReadAll(unpacked)
			}
		}
		if err == nil {
			got <- export{r.URL.Path, r.Header.Get("Content-Type"), r.Header.Get("Authorization"), body}
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, got
}

func fromEnvironment(t *testing.T) (*tracing.Tracer, error) {
	t.Helper()
	return tracing.FromEnvironment(t.Context(), tracing.EnvironmentOptions{
		Service: "lanekeeper", Version: "1.2.3", Instance: "host-1", Failed: func(error) {},
	})
}

// Spans reach a collector that the standard variables name, at the latest at the end.
func TestSpansAreExported(t *testing.T) { //nolint:paralleltest // changes the environment
	url, exports := collector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20of-the-collector")
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=tests")
	tracer, err := fromEnvironment(t)
	require.NoError(t, err)
	_, span := tracer.Start(t.Context(), "a span")
	span.End()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, tracer.Shutdown(ctx))
	got := <-exports
	require.Equal(t, []string{"/v1/traces", "application/x-protobuf", "Bearer of-the-collector"}, []string{got.path, got.contentType, got.authorization})
	for _, text := range []string{"a span", "lanekeeper", "1.2.3", "host-1", "deployment.environment.name", "tests"} {
		require.Contains(t, string(got.body), text)
	}
}

// The name of the service is that of OTEL_SERVICE_NAME, and the sampler that of
// OTEL_TRACES_SAMPLER.
func TestServiceNameAndSampler(t *testing.T) { //nolint:paralleltest // changes the environment
	url, exports := collector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url+"/elsewhere")
	t.Setenv("OTEL_SERVICE_NAME", "messages-of-the-shop")
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
	t.Setenv("OTEL_TRACES_SAMPLER_ARG", "0")
	tracer, err := fromEnvironment(t)
	require.NoError(t, err)
	_, span := tracer.Start(t.Context(), "a span of our own")
	require.False(t, span.IsRecording())
	span.End()
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	require.True(t, tracer.MayRecord(true))
	require.False(t, tracer.MayRecord(false))
	_, span = tracer.Start(tracing.Below(t.Context(), parent, ""), "a span of a caller")
	span.End()
	require.NoError(t, tracer.Shutdown(t.Context()))
	got := <-exports
	require.Equal(t, "/elsewhere", got.path)
	require.Contains(t, string(got.body), "messages-of-the-shop")
	require.Contains(t, string(got.body), "a span of a caller")
	require.NotContains(t, string(got.body), "a span of our own")

	t.Setenv("OTEL_TRACES_SAMPLER", "always_on")
	tracer, err = fromEnvironment(t)
	require.NoError(t, err)
	require.True(t, tracer.MayRecord(false), "this one does not ask the caller")
	require.NoError(t, tracer.Shutdown(t.Context()))
}

// Nothing is traced unless the environment says where spans go.
func TestOff(t *testing.T) { //nolint:paralleltest // changes the environment
	for name, variables := range map[string][]string{
		"nothing set":        nil,
		"no exporter":        {"OTEL_TRACES_EXPORTER", "none", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"},
		"disabled":           {"OTEL_SDK_DISABLED", "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"},
		"disabled, and more": {"OTEL_SDK_DISABLED", "true", "OTEL_TRACES_EXPORTER", "nonsense"},
		"for metrics":        {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://127.0.0.1:4318"},
		"a sampler":          {"OTEL_TRACES_SAMPLER", "always_on"},
	} {
		t.Run(name, func(t *testing.T) {
			for i := 0; i < len(variables); i += 2 {
				t.Setenv(variables[i], variables[i+1])
			}
			tracer, err := fromEnvironment(t)
			require.NoError(t, err)
			require.Nil(t, tracer)
			require.Nil(t, tracer.Provider())
			require.False(t, tracer.MayRecord(true))
			require.NoError(t, tracer.Shutdown(t.Context()))
		})
	}
}

// What the environment says wrongly ends the start, with the name of the variable and
// without its value.
func TestWrongEnvironment(t *testing.T) { //nolint:paralleltest // changes the environment
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for variable, set := range map[string][]string{
		"OTEL_TRACES_EXPORTER":                {"OTEL_TRACES_EXPORTER", "s3cret"},
		endpoint:                              {endpoint, "s3cret:4318"},
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":  {endpoint, "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http:// s3cret"},
		"OTEL_EXPORTER_OTLP_PROTOCOL":         {endpoint, "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"},
		"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL":  {endpoint, "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "s3cret"},
		"OTEL_TRACES_SAMPLER: must":           {endpoint, "http://127.0.0.1:4318", "OTEL_TRACES_SAMPLER", "s3cret"},
		"OTEL_TRACES_SAMPLER: must be always": {endpoint, "http://127.0.0.1:4318", "OTEL_TRACES_SAMPLER", "parentbased_"},
		"OTEL_TRACES_SAMPLER_ARG":             {endpoint, "http://127.0.0.1:4318", "OTEL_TRACES_SAMPLER", "traceidratio", "OTEL_TRACES_SAMPLER_ARG", "1.5"},
		"OTEL_TRACES_SAMPLER_ARG: must":       {endpoint, "http://127.0.0.1:4318", "OTEL_TRACES_SAMPLER", "traceidratio", "OTEL_TRACES_SAMPLER_ARG", "NaN"},
		"OTEL_RESOURCE_ATTRIBUTES":            {endpoint, "http://127.0.0.1:4318", "OTEL_RESOURCE_ATTRIBUTES", "no-value"},
	} {
		t.Run(variable, func(t *testing.T) {
			for i := 0; i < len(set); i += 2 {
				t.Setenv(set[i], set[i+1])
			}
			tracer, err := fromEnvironment(t)
			require.ErrorContains(t, err, variable)
			require.NotContains(t, err.Error(), "s3cret")
			require.Nil(t, tracer)
		})
	}
}

// A collector that is away or hangs holds up neither spans nor, longer than it may, the
// end.
func TestCollectorThatHangs(t *testing.T) { //nolint:paralleltest // changes the environment
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-ended:
		}
	}))
	defer server.Close()
	defer close(ended)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
	t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "1000")
	tracer, err := fromEnvironment(t)
	require.NoError(t, err)
	begun := time.Now()
	for range 10_000 { // far more than there is room for
		_, span := tracer.Start(t.Context(), "a span")
		span.End()
	}
	require.Less(t, time.Since(begun), 5*time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begun = time.Now()
	require.ErrorIs(t, tracer.Shutdown(ctx), context.DeadlineExceeded)
	require.Less(t, time.Since(begun), 5*time.Second)
}
