//go:build !race

package consumer

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"lanekeeper/domain"
	"lanekeeper/pkg/tracing"
)

// acceptingWriter stores nothing and says that it did.
type acceptingWriter struct{ results []domain.StoreResult }

func (w *acceptingWriter) Store(_ context.Context, messages []domain.Message) ([]domain.StoreResult, error) {
	return w.results[:len(messages)], nil
}

func (w *acceptingWriter) Trouble(uuid.UUID) domain.StoreTrouble { return domain.StoreTrouble{} }

func (w *acceptingWriter) UnavailableSince() (time.Time, bool) { return time.Time{}, false }

// withoutTraces is how many allocations it took to process a chunk of 64 deliveries before
// there were traces, with Go 1.26. With another version of Go, or of what is called, it may
// be measured anew: by this test, where there is no Traces. The race detector allocates, and makes pools drop
// what they hold, so it is counted without.
const withoutTraces = 195

// Who does not trace pays nothing for it: to process deliveries takes as many allocations
// as it did before there were traces.
func TestProcessingWithoutTracesCostsNothing(t *testing.T) { //nolint:paralleltest // counts the allocations of the process
	allocations := processing(t, nil)
	t.Logf("%v allocations for %d deliveries", allocations, chunk)
	require.LessOrEqual(t, allocations, float64(withoutTraces))
}

// What this service published without a trace is not asked for one again.
func TestProcessingUnsampledCostsNothing(t *testing.T) { //nolint:paralleltest // counts the allocations of the process
	recorder := tracetest.NewSpanRecorder()
	allocations := processing(t, tracing.New(recorder))
	t.Logf("%v allocations for %d deliveries", allocations, chunk)
	require.LessOrEqual(t, allocations, float64(withoutTraces))
	require.Empty(t, recorder.Started())
}

// chunk is how many deliveries are processed at a time.
const chunk = 64

// processing returns how many allocations it takes to process a chunk of deliveries that
// this service published, without a trace.
func processing(t *testing.T, traces *tracing.Tracer) float64 {
	t.Helper()
	w := &acceptingWriter{results: make([]domain.StoreResult, chunk)}
	for i := range w.results {
		w.results[i].Outcome = domain.AppendStored
	}
	p := &processor{shared: &shared{Options: Options{Writer: w, Metrics: noMetrics{}, Traces: traces}}, tenant: uuid.New()}
	deliveries := make([]domain.Delivery, chunk)
	for i := range deliveries {
		deliveries[i] = domain.Delivery{
			Tag: uint64(i + 1), MessageID: uuid.NewString(), Body: []byte(`{"n":1}`), Type: "order.created", PublishedHere: time.UnixMilli(1),
			Headers: map[string]any{"x-published-ms": int64(1), "source": "shop", domain.HeaderOrderingKey: "k"},
		}
	}
	ctx := t.Context()
	finished := func([]uint64) {}
	return testing.AllocsPerRun(200, func() { p.process(ctx, deliveries, finished) })
}
