package tests

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"lanekeeper/tests/apptest"
)

// The names of spans.
const (
	spanRequest = "POST /messages"
	spanBatch   = "POST /messages/batch"
	spanPublish = "publish tenant_{id}_queue"
	spanProcess = "process tenant_{id}_queue"
	spanCommit  = "INSERT messages"
	spanDeliver = "POST {endpoint}"
)

// callersTrace is what a caller sends along that is part of a trace.
type callersTrace struct{ id, span, flags string }

func newCallersTrace(flags string) callersTrace {
	return callersTrace{strings.ReplaceAll(uuid.NewString(), "-", ""), strings.ReplaceAll(uuid.NewString(), "-", "")[:16], flags}
}

func (c *callersTrace) parent() string { return "00-" + c.id + "-" + c.span + "-" + c.flags }

func (c *callersTrace) header() apptest.Header { return apptest.Header{"traceparent", c.parent()} }

// traceOf returns the trace of a message as the service shows it.
func traceOf(app *apptest.App, tenant, message string) string {
	var detail struct {
		TraceID string `json:"trace_id"`
	}
	app.Want(http.StatusOK, &detail, "GET", "/api/messages/"+message, nil, apptest.ForTenant(tenant))
	return detail.TraceID
}

// awaitReceived waits until a receiver has got so many requests, and returns them.
func awaitReceived(t *testing.T, r *apptest.Receiver, n int) []apptest.Received {
	t.Helper()
	apptest.Await(t, apptest.Long, func() error {
		if got := len(r.Received()); got < n {
			return apptest.NotYet("%d requests: %d", n, got)
		}
		return nil
	})
	return r.Received()
}

// requireBelow requires that a span is a child of another one.
func requireBelow(t *testing.T, parent trace.SpanID, child sdktrace.ReadOnlySpan) {
	t.Helper()
	require.Equal(t, parent.String(), child.Parent().SpanID().String(), "%s", child.Name())
}

// What a caller began goes on from its request to the answer of the endpoint, as one
// trace, that the receiver can go on with.
func TestOneTrace(t *testing.T) {
	t.Parallel()
	app := apptest.New(t, apptest.Delivering())
	spans := app.RecordSpans()
	app.Start()
	tenant := app.CreateTenant("Acme", 1).ID
	receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusAccepted))
	endpoint := app.CreateEndpoint(tenant, receiver.URL()+"/secret-path", nil)
	caller := newCallersTrace("01")
	id := app.Publish(tenant, `{"n":1}`, caller.header(), apptest.Header{"tracestate", "vendor=1"})
	received := awaitReceived(t, receiver, 1)

	got := spans.Await(caller.id, spanRequest, spanPublish, spanProcess, spanCommit, spanDeliver)
	require.Equal(t, caller.span, got[spanRequest].Parent().SpanID().String())
	requireBelow(t, got[spanRequest].SpanContext().SpanID(), got[spanPublish])
	for _, name := range []string{spanProcess, spanCommit, spanDeliver} {
		requireBelow(t, got[spanPublish].SpanContext().SpanID(), got[name])
	}
	require.False(t, got[spanCommit].StartTime().Before(got[spanProcess].StartTime()))
	require.False(t, got[spanCommit].EndTime().After(got[spanProcess].EndTime()))
	require.Equal(t, "00-"+caller.id+"-"+got[spanDeliver].SpanContext().SpanID().String()+"-01", received[0].TraceParent)
	require.Equal(t, "vendor=1", received[0].TraceState)
	require.Equal(t, caller.id, traceOf(app, tenant, id))

	for span, attributes := range map[string]map[string]string{
		spanRequest: {"http.route": "/messages", "http.request.method": "POST", "http.response.status_code": "202", "url.path": "/api/messages"},
		spanPublish: {"messaging.system": "rabbitmq", "messaging.operation.type": "send", "messaging.message.id": id, "lanekeeper.outcome": "accepted"},
		spanProcess: {"messaging.operation.type": "process", "messaging.destination.name": apptest.QueueName(tenant), "lanekeeper.outcome": "stored"},
		spanCommit:  {"db.system.name": "postgresql", "db.collection.name": "messages"},
		spanDeliver: {"http.response.status_code": "202", "server.address": "127.0.0.1", "lanekeeper.endpoint_id": endpoint.ID, "lanekeeper.seq": "1"},
	} {
		require.Equal(t, tenant, apptest.Attribute(got[span], "lanekeeper.tenant_id"), span)
		for name, want := range attributes {
			require.Equal(t, want, apptest.Attribute(got[span], name), "%s: %s", span, name)
		}
	}
	for _, span := range spans.All(caller.id) {
		for _, a := range span.Attributes() {
			require.NotContains(t, a.Value.String(), "secret-path", "the path of an endpoint is its owner's secret")
		}
	}
}

// Statements that are run for a request are in its trace, without their parameters.
func TestStatementsAreTraced(t *testing.T) {
	t.Parallel()
	app := apptest.New(t)
	spans := app.RecordSpans()
	app.Start()
	tenant := app.CreateTenant("Acme", 1).ID
	id := app.Publish(tenant, `"a payload that is nobody's business"`)
	app.Stored(tenant, 1)
	caller := newCallersTrace("01")
	app.Want(http.StatusOK, nil, "GET", "/api/messages/"+id, nil, apptest.ForTenant(tenant), caller.header())
	statements := 0
	for _, span := range spans.All(caller.id) {
		if text := apptest.Attribute(span, "db.query.text"); strings.Contains(text, "FROM messages") {
			statements++
		}
		for _, a := range span.Attributes() {
			require.NotContains(t, a.Value.String(), "nobody's business")
		}
	}
	require.NotZero(t, statements)
}

// A trace outlives the process that got the message, because it is kept with it; what is
// delivered then is no other for that.
func TestTraceAfterRestart(t *testing.T) {
	t.Parallel()
	app := apptest.New(t, apptest.Delivering())
	spans := app.RecordSpans()
	app.Start()
	tenant := app.CreateTenant("Acme", 1).ID
	receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusServiceUnavailable))
	endpoint := app.CreateEndpoint(tenant, receiver.URL(), map[string]any{"retry": map[string]any{"schedule": []string{"1s", "1s", "1s"}}})
	caller := newCallersTrace("01")
	id := app.Publish(tenant, `1`, caller.header())
	spans.Await(caller.id, spanPublish)
	awaitReceived(t, receiver, 1)
	app.Stop()
	receiver.Answer(apptest.Answering(http.StatusOK))
	app.Start()
	awaitLag(t, app.Client, &endpoint, 0)
	require.Equal(t, caller.id, traceOf(app, tenant, id))
	attempts := map[string]string{}
	for _, span := range spans.All(caller.id) {
		if span.Name() == spanDeliver {
			attempts[span.SpanContext().SpanID().String()] = apptest.Attribute(span, "http.response.status_code")
		}
	}
	received := receiver.Received()
	require.GreaterOrEqual(t, len(received), 2)
	for i, got := range received {
		require.True(t, strings.HasPrefix(got.TraceParent, "00-"+caller.id+"-"), got.TraceParent)
		want := "503"
		if i == len(received)-1 {
			want = "200"
		}
		require.Equal(t, want, attempts[got.TraceParent[36:52]], "each attempt is a span of its own")
	}
}

// By AMQP a message says in its headers which trace it belongs to, and keeps them; one
// that does not begins a trace. What becomes a dead letter is in its trace, too.
func TestTraceByAMQP(t *testing.T) {
	t.Parallel()
	app := apptest.New(t, apptest.Delivering())
	spans := app.RecordSpans()
	app.Start()
	tenant := app.CreateTenant("Acme", 1).ID
	receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusOK))
	app.CreateEndpoint(tenant, receiver.URL(), nil)
	known, unsampled, dead := newCallersTrace("01"), newCallersTrace("00"), newCallersTrace("01")
	app.PutAll(apptest.QueueName(tenant), []amqp.Publishing{
		{MessageId: uuid.NewString(), Headers: amqp.Table{"traceparent": known.parent(), "tracestate": "vendor=1"}, Body: []byte(`1`)},
		{MessageId: uuid.NewString(), Headers: amqp.Table{"traceparent": unsampled.parent()}, Body: []byte(`2`)},
		{MessageId: uuid.NewString(), Headers: amqp.Table{"traceparent": "00-nonsense"}, Body: []byte(`3`)},
		{MessageId: uuid.NewString(), Body: []byte(`4`)},
		{MessageId: uuid.NewString(), Headers: amqp.Table{"traceparent": dead.parent()}, Body: []byte(`not JSON`)},
	})
	stored := app.Stored(tenant, 4)
	awaitReceived(t, receiver, 4)
	received := map[string]apptest.Received{}
	for _, got := range receiver.Received() {
		received[string(got.Body)] = got
	}

	got := spans.Await(known.id, spanProcess, spanCommit, spanDeliver)
	for _, span := range got {
		require.Equal(t, known.span, span.Parent().SpanID().String(), span.Name())
	}
	require.Equal(t, map[string]string{"traceparent": known.parent(), "tracestate": "vendor=1"}, stored[0].Headers)
	require.Equal(t, "00-"+known.id+"-"+got[spanDeliver].SpanContext().SpanID().String()+"-01", received["1"].TraceParent)
	require.Equal(t, "vendor=1", received["1"].TraceState)
	require.Equal(t, known.id, traceOf(app, tenant, stored[0].ID))

	require.Equal(t, unsampled.parent(), received["2"].TraceParent)
	require.Empty(t, spans.All(unsampled.id))

	for i, body := range []string{"3", "4"} {
		began := traceOf(app, tenant, stored[2+i].ID)
		require.NotEmpty(t, began)
		root := spans.Await(began, spanProcess, spanCommit, spanDeliver)[spanProcess]
		require.False(t, root.Parent().IsValid())
		require.Equal(t, began, received[body].TraceParent[3:35])
		requireBelow(t, root.SpanContext().SpanID(), spans.Await(began, spanDeliver)[spanDeliver])
	}

	refused := spans.Await(dead.id, spanProcess)[spanProcess]
	require.Equal(t, "invalid_payload", apptest.Attribute(refused, "error.type"))
}

// A message that is published again under its id is the same one in another trace, too.
func TestSameMessageInAnotherTrace(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("Acme", 1).ID
	id, first, second := uuid.NewString(), newCallersTrace("01"), newCallersTrace("01")
	app.PutAll(apptest.QueueName(tenant), []amqp.Publishing{
		{MessageId: id, Headers: amqp.Table{"traceparent": first.parent()}, Body: []byte(`1`)},
		{MessageId: id, Headers: amqp.Table{"traceparent": second.parent(), "tracestate": "vendor=1"}, Body: []byte(`1`)},
		{MessageId: id, Body: []byte(`1`)},
		{MessageId: "the last", Body: []byte(`2`)},
	})
	stored := app.Stored(tenant, 2)
	require.Equal(t, map[string]string{"traceparent": first.parent()}, stored[0].Headers)
	app.RequireNoDeadLetters(tenant)
}

// What a caller does not record is not recorded here, and goes on as such.
func TestUnsampledTrace(t *testing.T) {
	t.Parallel()
	app := apptest.New(t, apptest.Delivering())
	spans := app.RecordSpans()
	app.Start()
	tenant := app.CreateTenant("Acme", 1).ID
	receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusOK))
	app.CreateEndpoint(tenant, receiver.URL(), nil)
	caller := newCallersTrace("00")
	id := app.Publish(tenant, `1`, caller.header())
	received := awaitReceived(t, receiver, 1)
	require.Regexp(t, "^00-"+caller.id+"-[0-9a-f]{16}-00$", received[0].TraceParent)
	require.Equal(t, caller.id, traceOf(app, tenant, id))
	require.Empty(t, spans.All(caller.id))
}

// A traceparent that is none begins a trace, as if it were not there.
func TestMalformedTrace(t *testing.T) {
	t.Parallel()
	app := apptest.New(t)
	spans := app.RecordSpans()
	app.Start()
	tenant := app.CreateTenant("Acme", 1).ID
	caller := newCallersTrace("01")
	for _, parent := range []string{
		"nonsense", "ff" + caller.parent()[2:], strings.ToUpper(caller.parent()), caller.parent() + "0", "00-" + strings.Repeat("0", 32) + caller.parent()[35:],
		"00-" + caller.id + "-" + strings.Repeat("0", 16) + "-01", strings.Repeat("0", 2000),
	} {
		id := app.Publish(tenant, `1`, apptest.Header{"traceparent", parent}, apptest.Header{"tracestate", "vendor=1"})
		apptest.Await(t, apptest.Long, func() error {
			if answer := app.Call("GET", "/api/messages/"+id, nil, apptest.ForTenant(tenant)); answer.Status != http.StatusOK {
				return apptest.NotYet("stored")
			}
			return nil
		})
		began := traceOf(app, tenant, id)
		require.NotEmpty(t, began, parent)
		require.NotEqual(t, strings.ToLower(caller.id), began, parent)
		require.False(t, spans.Await(began, spanRequest)[spanRequest].Parent().IsValid(), parent)
	}
	require.Empty(t, spans.All(caller.id))
}

// The messages of a batch are below one span, but for those that say in their headers
// which trace they belong to, to which the span has links.
func TestTraceOfBatch(t *testing.T) {
	t.Parallel()
	app := apptest.New(t)
	spans := app.RecordSpans()
	app.Start()
	tenant := app.CreateTenant("Acme", 1).ID
	caller, own := newCallersTrace("01"), newCallersTrace("01")
	app.Want(http.StatusAccepted, nil, "POST", "/api/messages/batch", map[string]any{"messages": []map[string]any{
		{"payload": 1}, {"payload": 2}, {"payload": 3, "headers": map[string]string{"traceparent": own.parent()}},
	}}, apptest.ForTenant(tenant), caller.header())
	stored := app.Stored(tenant, 3)
	for i, want := range []string{caller.id, caller.id, own.id} {
		require.Equal(t, want, traceOf(app, tenant, stored[i].ID))
	}
	apptest.Await(t, apptest.Long, func() error {
		count := map[string]int{}
		for _, span := range spans.All(caller.id) {
			count[span.Name()]++
		}
		want := map[string]int{spanBatch: 1, spanPublish: 1, spanProcess: 2, spanCommit: 2}
		for name, n := range want {
			if count[name] != n {
				return apptest.NotYet("%v: %v", want, count)
			}
		}
		return nil
	})
	for _, span := range spans.All(caller.id) {
		if span.Name() == spanPublish {
			require.Equal(t, "3", apptest.Attribute(span, "messaging.batch.message_count"))
			require.Len(t, span.Links(), 1)
			require.Equal(t, own.id, span.Links()[0].SpanContext.TraceID().String())
		}
	}
	spans.Await(own.id, spanProcess, spanCommit)
}

// A replay of a dead letter of an endpoint goes on in the trace of its message.
func TestTraceOfReplay(t *testing.T) {
	t.Parallel()
	app := apptest.New(t, apptest.Delivering())
	spans := app.RecordSpans()
	app.Start()
	tenant := app.CreateTenant("Acme", 1).ID
	receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusTeapot))
	endpoint := app.CreateEndpoint(tenant, receiver.URL(), map[string]any{"retry": map[string]any{"final": []int{http.StatusTeapot}}})
	caller := newCallersTrace("01")
	app.Publish(tenant, `1`, caller.header())
	awaitReceived(t, receiver, 1)
	awaitLag(t, app.Client, &endpoint, 0)
	failed := spans.Await(caller.id, spanDeliver)[spanDeliver]
	require.Equal(t, "418", apptest.Attribute(failed, "error.type"))
	receiver.Answer(apptest.Answering(http.StatusOK))
	app.Want(http.StatusAccepted, nil, "POST", "/api/dead-letters/replay", `{"all":true}`, apptest.ForTenant(tenant))
	require.Equal(t, caller.id, awaitReceived(t, receiver, 2)[1].TraceParent[3:35])
}

// Who does not trace has nothing of it: no headers at endpoints, nothing in the store.
func TestWithoutTraces(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering())
	tenant := app.CreateTenant("Acme", 1).ID
	receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusOK))
	app.CreateEndpoint(tenant, receiver.URL(), nil)
	caller := newCallersTrace("01")
	id := app.Publish(tenant, `1`, caller.header())
	require.Empty(t, awaitReceived(t, receiver, 1)[0].TraceParent)
	require.Empty(t, traceOf(app, tenant, id))
	require.Equal(t, 1, apptest.QueryRow[int](app.Probes, `SELECT count(*) FROM messages WHERE trace_context IS NULL`))
}

// stuckExporter takes spans and does nothing until the test ends.
type stuckExporter struct{ taken, ended chan struct{} }

func (e *stuckExporter) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error {
	select {
	case e.taken <- struct{}{}:
	default:
	}
	<-e.ended
	return nil
}

func (e *stuckExporter) Shutdown(context.Context) error { return nil }

// An exporter that hangs holds up no request, and the end by no more than the time for
// the last spans.
func TestExporterThatHangs(t *testing.T) {
	t.Parallel()
	app := apptest.New(t)
	exporter := &stuckExporter{make(chan struct{}, 1), make(chan struct{})}
	defer close(exporter.ended)
	app.Decorators.Spans = sdktrace.NewBatchSpanProcessor(exporter, sdktrace.WithMaxQueueSize(8), sdktrace.WithMaxExportBatchSize(1))
	app.Start()
	tenant := app.CreateTenant("Acme", 1).ID
	<-exporter.taken
	payloads := make([]string, 300)
	for i := range payloads {
		payloads[i] = fmt.Sprint(i)
	}
	for _, payload := range payloads[:50] {
		app.Publish(tenant, payload)
	}
	app.PublishAll(tenant, payloads[50:])
	app.Stored(tenant, 300)
	begun := time.Now()
	app.Stop()
	require.Less(t, time.Since(begun), 10*time.Second)
}
