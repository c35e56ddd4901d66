// Package tracing makes spans of OpenTelemetry and has them exported.
//
//	tracer.go       Tracer: begins spans, and is nil where nothing is traced
//	ids.go          ids of traces and spans
//	context.go      contexts of traces as text, in W3C's form
//	http.go         the spans of requests that come in
//	messaging.go    what spans say of queues
//	environment.go  FromEnvironment: a Tracer as the variables OTEL_... say
//
// A nil Tracer is off. Those who trace ask for that first, before they put together
// what a span would say, so that a service without traces pays for a comparison with
// nil.
//
// The goroutine that exports belongs to the SDK's batch processor, which Tracer.Shutdown
// ends. Spans wait for it in a queue with a bound (OTEL_BSP_MAX_QUEUE_SIZE), and those
// that come when it is full are dropped: ending a span never waits.
package tracing
