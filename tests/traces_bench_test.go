package tests

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"lanekeeper/tests/apptest"
)

// BenchmarkSampling publishes messages one by one, until they are stored, to a service
// without traces and to one that records one in a hundred, in turns, and reports how much
// more time of the processor the second takes: the median of the ratios of neighbours. It
// counts this process alone, with the client that calls.
func BenchmarkSampling(b *testing.B) {
	b.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
	b.Setenv("OTEL_TRACES_SAMPLER_ARG", "0.01")
	boot := func(spans sdktrace.SpanProcessor) (app *apptest.App, tenant string) {
		app = apptest.New(b)
		app.Decorators.Spans = spans
		app.Start()
		return app, app.CreateTenant("Acme", 2).ID
	}
	off, offTenant := boot(nil)
	on, onTenant := boot(sdktrace.NewBatchSpanProcessor(tracetest.NewNoopExporter()))
	const turn = 400
	stored := 0
	timed := func(app *apptest.App, tenant string) time.Duration {
		begun := processorTime(b)
		for i := range turn {
			app.Publish(tenant, fmt.Sprint(i))
		}
		apptest.Await(b, apptest.Long, func() error {
			if page := app.Page(tenant, fmt.Sprintf("cursor=%d&limit=1", stored+turn-1)); len(page.Data) == 0 {
				return apptest.NotYet("stored")
			}
			return nil
		})
		return processorTime(b) - begun
	}
	timed(off, offTenant)
	timed(on, onTenant)
	var ratios []float64
	for b.Loop() {
		stored += turn
		var without, with time.Duration
		if len(ratios)%2 == 0 {
			without, with = timed(off, offTenant), timed(on, onTenant)
		} else {
			with, without = timed(on, onTenant), timed(off, offTenant)
		}
		ratios = append(ratios, with.Seconds()/without.Seconds())
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(ratios[len(ratios)/4], "ratio/lower")
	b.ReportMetric(ratios[3*len(ratios)/4], "ratio/upper")
}

// processorTime returns the time of the processor that this process has taken.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
