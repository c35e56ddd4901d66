package tracing

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// Variables of OpenTelemetry that are read here; the SDK and its exporters read the
// others themselves.
const (
	disabledVariable       = "OTEL_SDK_DISABLED"
	exporterVariable       = "OTEL_TRACES_EXPORTER"
	samplerVariable        = "OTEL_TRACES_SAMPLER"
	samplerArgVariable     = "OTEL_TRACES_SAMPLER_ARG"
	endpointVariable       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	tracesEndpointVariable = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	protocolVariable       = "OTEL_EXPORTER_OTLP_PROTOCOL"
	tracesProtocolVariable = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
)

// The exporters.
const (
	exporterNone    = "none"
	exporterOTLP    = "otlp"
	exporterConsole = "console"
)

const (
	protocolHTTP = "http/protobuf"
	parentBased  = "parentbased_"
	ratioSampler = "traceidratio"
)

// EnvironmentOptions configure FromEnvironment.
type EnvironmentOptions struct {
	// Service, Version and Instance are which program it is whose spans these are, and
	// which process, unless OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say that.
	Service, Version, Instance string
	// Failed is told why spans could not be exported, possibly often and by several
	// goroutines at a time.
	Failed func(error)
}

// FromEnvironment returns a Tracer as the variables OTEL_... say, nil where they name
// neither an exporter nor an endpoint. The error is about a variable, which it names,
// and shows no value that may be a secret. OpenTelemetry's error handler, of which a
// process has one, becomes o.Failed.
func FromEnvironment(ctx context.Context, o EnvironmentOptions) (*Tracer, error) {
	name, err := chosenExporter()
	if name == exporterNone || err != nil {
		return nil, err
	}
	if err := checkSampler(); err != nil {
		return nil, err
	}
	described, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName(o.Service), semconv.ServiceVersion(o.Version), semconv.ServiceInstanceID(o.Instance)),
		resource.WithTelemetrySDK(), resource.WithFromEnv(), // what comes later wins
	)
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	exporter, err := newExporter(ctx, name)
	if err != nil {
		return nil, err
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(o.Failed))
	return New(sdktrace.NewBatchSpanProcessor(exporter), sdktrace.WithResource(described)), nil
}

func newExporter(ctx context.Context, name string) (sdktrace.SpanExporter, error) {
	if name == exporterConsole {
		exporter, err := stdouttrace.New()
		if err != nil {
			return nil, fmt.Errorf("make the exporter %s: %w", name, err)
		}
		return exporter, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("make the exporter %s: %w", name, err)
	}
	return exporter, nil
}

// chosenExporter returns which exporter the environment names.
func chosenExporter() (string, error) {
	if strings.EqualFold(os.Getenv(disabledVariable), "true") {
		return exporterNone, nil
	}
	endpoint := firstSet(tracesEndpointVariable, endpointVariable)
	name := os.Getenv(exporterVariable)
	switch {
	case name == "" && endpoint == "", name == exporterNone:
		return exporterNone, nil
	case name == exporterConsole:
		return name, nil
	case name != "" && name != exporterOTLP:
		return "", fmt.Errorf("%s: must be %s, %s or %s", exporterVariable, exporterOTLP, exporterConsole, exporterNone)
	}
	if endpoint != "" {
		if u, err := url.Parse(os.Getenv(endpoint)); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return "", fmt.Errorf("%s: must be a URL like http://collector:4318", endpoint)
		}
	}
	if variable := firstSet(tracesProtocolVariable, protocolVariable); variable != "" && os.Getenv(variable) != protocolHTTP {
		return "", fmt.Errorf("%s: must be %s, which collectors take at port 4318; gRPC is not built in", variable, protocolHTTP)
	}
	return exporterOTLP, nil
}

// firstSet returns the first of the variables that is set, or "".
func firstSet(variables ...string) string {
	for _, variable := range variables {
		if os.Getenv(variable) != "" {
			return variable
		}
	}
	return ""
}

// checkSampler returns an error for a sampler that the SDK does not know, which it would
// replace by one that records everything.
func checkSampler() error {
	name := strings.TrimPrefix(os.Getenv(samplerVariable), parentBased)
	if name == "" && os.Getenv(samplerVariable) == "" {
		return nil
	}
	if !slices.Contains([]string{"always_on", "always_off", ratioSampler}, name) {
		return errors.New(samplerVariable + ": must be always_on, always_off or traceidratio, or one of these behind parentbased_")
	}
	if arg := os.Getenv(samplerArgVariable); name == ratioSampler && arg != "" {
		if ratio, err := strconv.ParseFloat(arg, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
			return errors.New(samplerArgVariable + ": must be a number from 0 to 1")
		}
	}
	return nil
}

// samplerOfEnvironment returns the sampler that the environment names, as checkSampler
// takes it.
func samplerOfEnvironment() sdktrace.Sampler {
	name := os.Getenv(samplerVariable)
	root := sdktrace.AlwaysSample()
	switch strings.TrimPrefix(name, parentBased) {
	case "always_off":
		root = sdktrace.NeverSample()
	case ratioSampler:
		if ratio, err := strconv.ParseFloat(os.Getenv(samplerArgVariable), 64); err == nil { // all of them without it
			root = sdktrace.TraceIDRatioBased(ratio)
		}
	}
	if samplerOverrules() {
		return root
	}
	return sdktrace.ParentBased(root)
}

// samplerOverrules reports whether the sampler may record what a caller does not.
func samplerOverrules() bool {
	name := os.Getenv(samplerVariable)
	return name != "" && !strings.HasPrefix(name, parentBased)
}
