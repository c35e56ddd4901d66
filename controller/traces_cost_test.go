//go:build !race

package controller

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"lanekeeper/domain"
	"lanekeeper/pkg/tracing"
	"lanekeeper/service/message"
)

// withoutTraces is how many allocations it takes to publish a message, from the handler to
// the publisher, and to make the request for it, with Go 1.26: 23 are for the request and
// the recorder, and 6 for errors of a recorder that has no connection. With another version
// of Go, or of what is called, it may be measured anew: by this test, where there is no
// Traces. The race detector allocates, and makes pools drop what they hold, so it is counted
// without.
const withoutTraces = 78

// acceptingPublisher publishes nothing and says that it did.
type acceptingPublisher struct {
	errs [1000]error
	last domain.Outgoing
}

func (p *acceptingPublisher) Publish(_ context.Context, _ uuid.UUID, batch []domain.Outgoing) []error {
	p.last = batch[len(batch)-1]
	return p.errs[:len(batch)]
}

func (*acceptingPublisher) DeadLetter(context.Context, domain.DeadLetter) error { return nil }

type noObserver struct{}

func (noObserver) AddPublished(string, int) {}
func (noObserver) ObservePublish(float64)   {}

// publishing returns what publishes one message by a handler, without a network and a
// broker.
func publishing(t testing.TB, change func(*Options, *message.Options)) (publish func(headers ...string)) {
	t.Helper()
	fakes := newFakes()
	o := Options{Auth: fakeAuth{}, Directory: fakes, Log: slog.New(slog.DiscardHandler)}
	mo := message.Options{Publisher: &acceptingPublisher{}, Observer: noObserver{}, Log: o.Log}
	change(&o, &mo)
	o.Messages = message.NewService(mo)
	handler, err := New(o)
	require.NoError(t, err)
	const body = `{"payload":{"n":1},"type":"order.created","headers":{"source":"shop"}}`
	return func(headers ...string) {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/messages", io.NopCloser(strings.NewReader(body)))
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer admin")
		request.Header.Set("X-Tenant-ID", tenantID.String())
		for i := 0; i < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if answer.Code != http.StatusAccepted {
			t.Fatalf("%d: %s", answer.Code, answer.Body)
		}
	}
}

// To publish takes few allocations. Who does not trace pays nothing for it, also for a
// caller who sends a traceparent.
func TestPublishingWithoutTracesCostsNothing(t *testing.T) { //nolint:paralleltest // counts the allocations of the process
	publish := publishing(t, func(*Options, *message.Options) {})
	allocations := testing.AllocsPerRun(500, func() { publish("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01") })
	t.Logf("%v allocations", allocations)
	require.LessOrEqual(t, allocations, float64(withoutTraces))
}

// A call that nobody recorded and that the sampler does not take allocates nothing more:
// neither its context nor its message has anything of it. One with a
// traceparent goes on.
func TestPublishingUnsampledCostsNothing(t *testing.T) { //nolint:paralleltest // counts the allocations of the process
	untraced := publishing(t, func(*Options, *message.Options) {})
	without := testing.AllocsPerRun(500, func() { untraced() })
	traces := tracing.NewSampled(tracetest.NewSpanRecorder(), sdktrace.ParentBased(sdktrace.NeverSample()))
	publisher := &acceptingPublisher{}
	publish := publishing(t, func(o *Options, m *message.Options) { o.Traces, m.Traces, m.Publisher = traces, traces, publisher })
	allocations := testing.AllocsPerRun(500, func() { publish() })
	t.Logf("%v allocations, %v without traces", allocations, without)
	require.LessOrEqual(t, allocations, without)
	require.Empty(t, publisher.last.Trace)

	publish("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")
	require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", publisher.last.Trace.TraceID())
	require.False(t, publisher.last.Trace.Sampled())
}
