package tests

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// What nobody began and the sampler does not take leaves nothing behind: no span, nothing
// in the queue and in the store. Endpoints still get to know that it is not recorded. What
// a caller began goes on as the caller says.
func TestUnsampledKeepsNothing(t *testing.T) { //nolint:paralleltest // sets the environment
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
	app := apptest.New(t, apptest.Delivering())
	spans := app.RecordSpans()
	app.Start()
	tenant := app.CreateTenant("Acme", 1).ID
	receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusServiceUnavailable))
	endpoint := app.CreateEndpoint(tenant, receiver.URL(), map[string]any{"retry": map[string]any{"schedule": []string{"1s", "1s", "1s"}}})
	byAPI := app.Publish(tenant, `1`)
	awaitReceived(t, receiver, 1)
	receiver.Answer(apptest.Answering(http.StatusOK))
	app.PutAll(apptest.QueueName(tenant), []amqp.Publishing{{MessageId: uuid.NewString(), Body: []byte(`2`)}})
	app.Want(http.StatusAccepted, nil, "POST", "/api/messages/batch", map[string]any{"messages": []map[string]any{{"payload": 3}}}, apptest.ForTenant(tenant))
	unsampled, known := newCallersTrace("00"), newCallersTrace("01")
	app.Publish(tenant, `4`, unsampled.header())
	app.Publish(tenant, `5`, known.header())
	stored := app.Stored(tenant, 5)
	awaitLag(t, app.Client, &endpoint, 0)

	got := map[string][]string{}
	for _, r := range receiver.Received() {
		got[string(r.Body)] = append(got[string(r.Body)], r.TraceParent)
	}
	require.GreaterOrEqual(t, len(got["1"]), 2)
	kept := map[string]string{}
	for i := range stored {
		kept[string(stored[i].Payload)] = traceOf(app, tenant, stored[i].ID)
	}
	for _, body := range []string{"1", "2", "3"} {
		for _, parent := range got[body] {
			require.Regexp(t, "^00-[0-9a-f]{32}-[0-9a-f]{16}-00$", parent, "a receiver that asks its parent does not record it either")
			require.Equal(t, got[body][0], parent, "one trace for all attempts")
		}
		require.Empty(t, kept[body])
	}
	require.Equal(t, byAPI, stored[0].ID)
	require.Equal(t, 3, apptest.QueryRow[int](app.Probes, `SELECT count(*) FROM messages WHERE trace_context IS NULL`))
	require.Regexp(t, "^00-"+unsampled.id+"-[0-9a-f]{16}-00$", got["4"][0])
	require.Equal(t, unsampled.id, kept["4"])
	sent := spans.Await(known.id, spanRequest, spanPublish, spanProcess, spanCommit, spanDeliver)[spanDeliver]
	require.Equal(t, "00-"+known.id+"-"+sent.SpanContext().SpanID().String()+"-01", got["5"][0])
	require.Equal(t, known.id, kept["5"])
	for _, span := range spans.Ended() {
		require.Equal(t, known.id, span.SpanContext().TraceID().String(), span.Name())
	}
}
