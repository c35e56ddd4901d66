//go:build !race

package controller

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"lanekeeper/pkg/tracing"
	"lanekeeper/service/message"
)

// BenchmarkPublishTraced publishes by a handler without traces and with them, in turns, so
// that whatever else the machine does hits both. It reports how much longer the second
// takes: the median of the ratios of neighbours. There is no network and no broker, of
// which a publication takes many times as long.
func BenchmarkPublishTraced(b *testing.B) {
	for name, ratio := range map[string]float64{"0%": 0, "1%": 0.01, "100%": 1} {
		b.Run(name, func(b *testing.B) {
			processor := sdktrace.NewBatchSpanProcessor(tracetest.NewNoopExporter())
			traces := tracing.NewSampled(processor, sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio)))
			defer func() { require.NoError(b, traces.Shutdown(context.WithoutCancel(b.Context()))) }()
			off := publishing(b, func(*Options, *message.Options) {})
			on := publishing(b, func(o *Options, m *message.Options) { o.Traces, m.Traces = traces, traces })
			const turn = 20 // so few that most are not interrupted
			timed := func(publish func(...string)) time.Duration {
				begun := time.Now()
				for range turn {
					publish()
				}
				return time.Since(begun)
			}
			var ratios []float64
			var without, with time.Duration
			for b.Loop() {
				var first, second time.Duration
				if len(ratios)%2 == 0 {
					first, second = timed(off), timed(on)
				} else {
					second, first = timed(on), timed(off)
				}
				without, with = without+first, with+second
				ratios = append(ratios, second.Seconds()/first.Seconds())
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "ratio")
			b.ReportMetric(float64(without.Nanoseconds())/float64(turn*len(ratios)), "ns/off")
			b.ReportMetric(float64(with.Nanoseconds())/float64(turn*len(ratios)), "ns/on")
		})
	}
}
