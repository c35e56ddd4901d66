package tests

import (
	"fmt"
	"runtime"
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
// without traces, to another one, and to one that records one in a hundred, in turns, and
// reports how much more time of the processor the last takes than the first: the median of
// the ratios of neighbours. It counts this process alone, with the client that calls. A
// machine that has other work to do shows more of that than of traces, so it reports the
// ratio of the first two as well, which would be 1, and the same of what was allocated,
// which varies little.
func BenchmarkSampling(b *testing.B) {
	b.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
	b.Setenv("OTEL_TRACES_SAMPLER_ARG", "0.01")
	boot := func(spans sdktrace.SpanProcessor) (app *apptest.App, tenant string) {
		app = apptest.New(b)
		app.Decorators.Spans = spans
		app.Start()
		return app, app.CreateTenant("Acme", 2).ID
	}
	const off, alike, on = 0, 1, 2
	var apps [3]*apptest.App
	var tenants [3]string
	for i, spans := range []sdktrace.SpanProcessor{off: nil, alike: nil, on: sdktrace.NewBatchSpanProcessor(tracetest.NewNoopExporter())} {
		apps[i], tenants[i] = boot(spans)
	}
	const turn = 100
	stored := 0
	measured := func(which int) cost {
		app, tenant := apps[which], tenants[which]
		begun := costSoFar(b)
		for i := range turn {
			app.Publish(tenant, fmt.Sprint(i))
		}
		apptest.Await(b, apptest.Long, func() error {
			if page := app.Page(tenant, fmt.Sprintf("cursor=%d&limit=1", stored+turn-1)); len(page.Data) == 0 {
				return apptest.NotYet("stored")
			}
			return nil
		})
		ended := costSoFar(b)
		return cost{ended.time - begun.time, ended.objects - begun.objects, ended.bytes - begun.bytes}
	}
	for i := range apps {
		measured(i)
	}
	var times, control, objects, bytes []float64
	for b.Loop() {
		stored += turn
		var costs [3]cost
		for i := range costs {
			which := (i + len(times)) % len(costs)
			costs[which] = measured(which)
		}
		base := &costs[off]
		times = append(times, costs[on].time.Seconds()/base.time.Seconds())
		control = append(control, costs[alike].time.Seconds()/base.time.Seconds())
		objects = append(objects, costs[on].objects/base.objects)
		bytes = append(bytes, costs[on].bytes/base.bytes)
	}
	for name, ratios := range map[string][]float64{"ratio": times, "ratio/alike": control, "objects/ratio": objects, "bytes/ratio": bytes} {
		slices.Sort(ratios)
		b.ReportMetric(ratios[len(ratios)/2], name)
	}
	b.ReportMetric(times[len(times)/4], "ratio/lower")
	b.ReportMetric(times[3*len(times)/4], "ratio/upper")
}

// cost is what this process has taken: time of the processor, and memory.
type cost struct {
	time           time.Duration
	objects, bytes float64
}

func costSoFar(b *testing.B) cost {
	b.Helper()
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return cost{time.Duration(used.Utime.Nano() + used.Stime.Nano()), float64(memory.Mallocs), float64(memory.TotalAlloc)}
}
