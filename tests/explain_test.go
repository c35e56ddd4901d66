package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/pkg/client"
	"lanekeeper/tests/apptest"
)

// explainLimit is how long an explanation may take, whatever is away.
const explainLimit = 4 * time.Second

// longRetries has a message that failed wait for longer than a test takes.
var longRetries = map[string]any{"schedule": []string{"1h", "1h"}}

// explain asks why messages of a tenant stand.
func explain(t *testing.T, app *apptest.Client, tenant string) *client.Explanation {
	t.Helper()
	begun := time.Now()
	e, err := app.API(tenant).Tenants.Explain(t.Context(), tenant)
	require.NoError(t, err)
	require.Less(t, time.Since(begun), explainLimit)
	require.NotEmpty(t, e.Sentence)
	require.NotContains(t, e.Sentence, "%!")
	for _, c := range e.Causes {
		require.NotContains(t, c.Sentence+c.Help, "%!")
		require.Regexp(t, `^[A-Z0-9].*\.$`, c.Sentence)
		require.NotRegexp(t, `  |\.\.$`, c.Sentence)
	}
	require.Equal(t, len(e.Causes) == 0 || !e.Causes[0].Stops, e.Flows)
	return e
}

// explained waits until the first cause is of this kind.
func explained(t *testing.T, app *apptest.Client, tenant, kind string) (*client.Explanation, *client.Cause) {
	t.Helper()
	var e *client.Explanation
	apptest.Await(t, apptest.Long, func() error {
		if e = explain(t, app, tenant); len(e.Causes) == 0 || e.Causes[0].Kind != kind {
			return apptest.NotYet("%s: %s %+v", kind, e.Sentence, e.Causes)
		}
		return nil
	})
	return e, &e.Causes[0]
}

// flows waits until nothing stops a tenant.
func flows(t *testing.T, app *apptest.Client, tenant string) *client.Explanation {
	t.Helper()
	var e *client.Explanation
	apptest.Await(t, apptest.Long, func() error {
		if e = explain(t, app, tenant); !e.Flows {
			return apptest.NotYet("flows: %s", e.Sentence)
		}
		return nil
	})
	return e
}

// explainMessage asks where a message is.
func explainMessage(t *testing.T, app *apptest.Client, tenant, id string) *client.MessageExplanation {
	t.Helper()
	m, err := app.API(tenant).ExplainMessage(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, id, m.MessageID)
	require.NotEmpty(t, m.Sentence)
	require.NotContains(t, m.Sentence, "%!")
	return m
}

// explainedMessage waits until a message is in a state, with a first cause of a kind; ""
// for none.
func explainedMessage(t *testing.T, app *apptest.Client, tenant, id, state, kind string) *client.MessageExplanation {
	t.Helper()
	var m *client.MessageExplanation
	apptest.Await(t, apptest.Long, func() error {
		m = explainMessage(t, app, tenant, id)
		if m.State != state || kind != "" && (len(m.Causes) == 0 || m.Causes[0].Kind != kind) {
			return apptest.NotYet("%s %s: %s %+v", state, kind, m.State, m.Causes)
		}
		return nil
	})
	return m
}

// Each condition of a tenant, made for real, is named, with the numbers, and with what
// helps; when it is over, everything flows.
func TestExplainTenants(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering(), func(c *config.Config) { c.Delivery.ProbeInterval = 500 * time.Millisecond })
	for name, c := range map[string]struct {
		// arrange makes the condition and returns what ends it.
		arrange        func(t *testing.T, tenant string) (mend func())
		kind           string
		sentence, help string // regular expressions
	}{
		"stopped": {func(t *testing.T, tenant string) func() {
			app.Want(http.StatusAccepted, nil, "DELETE", "/api/consumers/"+tenant, nil)
			app.PublishAll(tenant, numbered(12))
			return func() { app.Want(http.StatusAccepted, nil, "POST", "/api/consumers/"+tenant, nil) }
		}, "consumer_stopped", `^The consumer was stopped by the built-in admin of open mode at \d\d:\d\d:\d\d UTC \([^)]+ ago\): 12 messages wait to be stored, and publishing goes on\.$`, `^lanekeeper tenants start $TENANT$`},
		"inactive": {func(t *testing.T, tenant string) func() {
			app.SetStatus(tenant, "inactive")
			return func() { app.SetStatus(tenant, "active") }
		}, "tenant_inactive", `^The tenant was made inactive by the built-in admin of open mode at .* ago\): nothing is accepted or stored, and nothing waits\.$`, `^PATCH /tenants/$TENANT \{"status":"active"\}$`},
		"partition locked": {func(t *testing.T, tenant string) func() {
			unlock := lockIn(t, app, "LOCK TABLE "+apptest.PartitionName(tenant)+" IN ACCESS EXCLUSIVE MODE")
			app.PublishAll(tenant, numbered(3))
			return unlock
		}, "partition_locked", `^The tenant's partition is locked since .* by the session with pid \d+ \(\w+, a test\), idle in transaction, in a transaction for .*: nothing is stored, and 3 messages wait\.$`, `pg_terminate_backend\(\d+\)`},
		"partition locked for writing": {func(t *testing.T, tenant string) func() {
			unlock := lockIn(t, app, "LOCK TABLE "+apptest.PartitionName(tenant)+" IN SHARE MODE")
			app.PublishAll(tenant, numbered(3))
			return unlock
		}, "partition_locked", `by the session with pid \d+ \(\w+, a test\).* 3 messages wait\.$`, `pg_terminate_backend\(\d+\)`},
		"history's row locked": {func(t *testing.T, tenant string) func() {
			unlock := lockIn(t, app, "SELECT FROM tenant_streams WHERE tenant_id = '"+tenant+"' FOR UPDATE")
			app.PublishAll(tenant, numbered(2))
			return unlock
		}, "partition_locked", `by the session with pid \d+ \(\w+, a test\).* 2 messages wait\.$`, `pg_terminate_backend\(\d+\)`},
		"endpoint held": {func(t *testing.T, tenant string) func() {
			receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusOK))
			e := app.CreateEndpoint(tenant, receiver.URL()+"/hook?secret=1", nil)
			app.Tell(&e, "hold")
			app.PublishAll(tenant, numbered(4))
			app.Stored(tenant, 4)
			return func() { app.Tell(&e, "resume") }
		}, "endpoint_held", `^The endpoint 127\.0\.0\.1:\d+/hook was held by the built-in admin of open mode at .* ago\): 4 messages wait for it, and nothing is given up\.$`, `^lanekeeper endpoints resume -t $TENANT \S{36}$`},
		"endpoint disabled": {func(t *testing.T, tenant string) func() {
			receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusGone))
			e := app.CreateEndpoint(tenant, receiver.URL(), nil)
			app.Publish(tenant, `1`)
			return func() {
				receiver.Answer(apptest.Answering(http.StatusOK))
				app.Tell(&e, "resume")
			}
		}, "endpoint_disabled", `^The endpoint 127\.0\.0\.1:\d+ is disabled since .* \(the endpoint answered 410 Gone\): 1 message waits for it, and nothing is given up\.$`, `^Mend the endpoint, then lanekeeper endpoints resume `},
		"breaker open": {func(t *testing.T, tenant string) func() {
			receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusServiceUnavailable))
			app.CreateEndpoint(tenant, receiver.URL(), map[string]any{"retry": map[string]any{"schedule": []string{"1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"}}})
			app.PublishAll(tenant, numbered(15))
			return func() { receiver.Answer(apptest.Answering(http.StatusOK)) }
		}, "breaker_open", `^The endpoint 127\.0\.0\.1:\d+ fails: its breaker is open since \d\d:\d\d:\d\d UTC \([^)]+\), the last attempt with status 503; 15 messages wait, one is tried every 500 ms, and nothing is given up\.$`, `^Mend the endpoint; lanekeeper endpoints test -t $TENANT`},
		"order blocked": {func(t *testing.T, tenant string) func() {
			receiver, mend := failsFor(t)
			e := app.CreateEndpoint(tenant, receiver.URL(), map[string]any{"ordering": "fifo", "retry": longRetries})
			app.PublishAll(tenant, numbered(5))
			app.Stored(tenant, 5)
			return func() { mend(); app.Want(http.StatusOK, nil, "POST", e.Path()+"/skip", nil) }
		}, "order_blocked", `^Message 1 \(\S{36}\) blocks the endpoint 127\.0\.0\.1:\d+: it failed once \(last: status 500\) and is tried again at .* UTC, in (5\d|6\d) minutes; 4 messages wait behind it\.$`, `lanekeeper endpoints skip -t $TENANT`},
		"key blocked": {func(t *testing.T, tenant string) func() {
			receiver, _ := failsFor(t)
			e := app.CreateEndpoint(tenant, receiver.URL(), map[string]any{"ordering": "key", "retry": longRetries})
			for range 3 {
				app.Want(http.StatusAccepted, nil, "POST", "/api/messages", `{"payload":1,"ordering_key":"k"}`, apptest.ForTenant(tenant))
			}
			app.Stored(tenant, 3)
			return func() { app.DeleteEndpoint(&e) }
		}, "key_blocked", `^Message 1 \(\S{36}\) of the ordering key "k" failed at the endpoint 127\.0\.0\.1:\d+ once \(last: status 500\) and is tried again at .*; 2 messages wait behind it and others of their keys\.$`, `other keys go on`},
		"rate limited": {func(t *testing.T, tenant string) func() {
			receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusOK))
			e := app.CreateEndpoint(tenant, receiver.URL(), map[string]any{"rate": 2})
			app.PublishAll(tenant, numbered(200))
			app.Stored(tenant, 200)
			return func() { app.ChangeEndpoint(&e, map[string]any{"rate": 0}) }
		}, "endpoint_rate", `^The endpoint 127\.0\.0\.1:\d+ gets at most 2 messages a second, as it is set: 1\d\d messages wait, the last one arrives in about (9\d|1\d\d) s\.$`, `"rate":4`},
		"retrying": {func(t *testing.T, tenant string) func() {
			receiver, _ := failsFor(t)
			e := app.CreateEndpoint(tenant, receiver.URL(), map[string]any{"retry": longRetries})
			app.Publish(tenant, `1`)
			return func() { app.DeleteEndpoint(&e) }
		}, "endpoint_retrying", `^1 message waits for another attempt at the endpoint 127\.0\.0\.1:\d+; the oldest is message 1, which failed once \(last: status 500\), attempt 2 of 3 is at .*\.$`, `lanekeeper endpoints attempts`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tenant := app.CreateTenant(name, 2).ID
			require.Regexp(t, `^Flows: 0 messages a second, 0 waiting, 0 of 2 workers busy, nothing was stored yet\.$`, flows(t, app.Client, tenant).Sentence)
			mend := c.arrange(t, tenant)
			var found *client.Cause
			apptest.Await(t, apptest.Long, func() error {
				e, cause := explained(t, app.Client, tenant, c.kind)
				if err := apptest.Matches(inTenant(c.sentence, tenant), cause.Sentence); err != nil {
					return err
				}
				found = cause
				if cause.Stops {
					require.Equal(t, cause.Sentence, e.Sentence)
				}
				require.Equal(t, cause.Help, e.Help)
				return nil
			})
			t.Log(found.Sentence, "->", found.Help)
			require.Regexp(t, inTenant(c.help, tenant), found.Help)
			mend()
			flows(t, app.Client, tenant)
		})
	}
}

// What does not stop anything, or is refused before.
func TestExplainBacklogFull(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, func(c *config.Config) { c.MaxBacklog = 5 })
	tenant := app.CreateTenant("full", 1).ID
	app.Want(http.StatusAccepted, nil, "DELETE", "/api/consumers/"+tenant, nil)
	app.PublishAll(tenant, numbered(6))
	apptest.Await(t, apptest.Long, func() error {
		e, _ := explained(t, app.Client, tenant, "consumer_stopped")
		if len(e.Causes) != 2 {
			return apptest.NotYet("backlog_full: %+v", e.Causes)
		}
		require.Equal(t, "backlog_full", e.Causes[1].Kind)
		require.Contains(t, e.Causes[1].Sentence, "Publishing is refused: The tenant's queue holds 5 messages or more")
		require.EqualValues(t, 6, *e.Backlog)
		require.Nil(t, e.ExpectedSeconds)
		return nil
	})
}

// inTenant puts a tenant's id into a regular expression.
func inTenant(expression, tenant string) string {
	return strings.ReplaceAll(expression, "$TENANT", tenant)
}

// lockIn runs a statement in a transaction of another session, and returns what ends it.
func lockIn(t *testing.T, app *apptest.App, statement string) (unlock func()) {
	t.Helper()
	session := app.NewSession()
	_, err := session.Exec(t.Context(), "SET application_name = 'a test'; BEGIN; "+statement)
	require.NoError(t, err)
	return func() {
		_, err := session.Exec(t.Context(), "ROLLBACK")
		require.NoError(t, err)
	}
}

// A message that cannot be read is a dead letter, and says so; what is behind it is
// stored. An id that is nowhere is said to be nowhere.
func TestExplainMessages(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("messages", 1).ID
	deep := amqp.Table{}
	for range 33 {
		deep = amqp.Table{"in": deep}
	}
	unreadable, behind, nowhere := uuid.NewString(), uuid.NewString(), uuid.NewString()
	app.PutAll(apptest.QueueName(tenant), []amqp.Publishing{{MessageId: unreadable, Headers: deep, Body: []byte(`1`)}, {MessageId: behind, Body: []byte(`2`)}})
	m := explainedMessage(t, app.Client, tenant, unreadable, "dead_letter", "dead_letter")
	require.Regexp(t, `^The message could not be stored and is the dead letter \d+ since .* UTC: invalid_headers \(.+\)\.$`, m.Sentence)
	require.Equal(t, fmt.Sprintf("lanekeeper dead-letters show -t %[1]s %[2]d; once the reason is mended: lanekeeper dead-letters replay -t %[1]s %[2]d", tenant, m.Causes[0].Data.LetterID), m.Help)
	m = explainedMessage(t, app.Client, tenant, behind, "stored", "")
	require.Regexp(t, `^Stored as message 1 at .* ago\); the tenant has no endpoints\.$`, m.Sentence)
	require.EqualValues(t, 1, *m.Seq)
	require.True(t, m.Flows)
	m = explainMessage(t, app.Client, tenant, nowhere)
	require.Equal(t, "unknown", m.State)
	require.Equal(t, "not_found", m.Causes[0].Kind)
	require.Nil(t, m.Position)
	require.Contains(t, m.Help, "never accepted for this tenant")

	app.Want(http.StatusAccepted, nil, "DELETE", "/api/consumers/"+tenant, nil)
	waiting := app.PublishAll(tenant, numbered(7))[2]
	m = explainedMessage(t, app.Client, tenant, waiting, "waiting", "consumer_stopped")
	require.Regexp(t, `^Not stored yet\. If it was accepted, it is one of the 7 messages that wait, and at most 6 are before it\. The consumer was stopped by `, m.Sentence)
	require.EqualValues(t, 7, *m.Position)
	require.Nil(t, m.Seq)
	app.Want(http.StatusAccepted, nil, "POST", "/api/consumers/"+tenant, nil)
	m = explainedMessage(t, app.Client, tenant, waiting, "stored", "")
	require.EqualValues(t, 4, *m.Seq)
	app.Refused(http.StatusBadRequest, "invalid_id", "GET", "/api/messages/none/explain", nil, apptest.ForTenant(tenant))
	app.Refused(http.StatusNotFound, "tenant_not_found", "GET", "/api/tenants/"+nowhere+"/explain", nil)
}

// The way of a message to each endpoint.
func TestExplainDeliveries(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering())
	tenant := app.CreateTenant("deliveries", 1).ID
	good := apptest.NewReceiver(t, apptest.Answering(http.StatusOK))
	bad, _ := failsFor(t)
	endpoints := map[string]apptest.Endpoint{
		"delivered":         app.CreateEndpoint(tenant, good.URL(), nil),
		"not_meant":         app.CreateEndpoint(tenant, good.URL(), map[string]any{"types": []string{"order.*"}}),
		"endpoint_retrying": app.CreateEndpoint(tenant, bad.URL(), map[string]any{"retry": longRetries}),
		"given_up":          app.CreateEndpoint(tenant, bad.URL(), map[string]any{"retry": map[string]any{"schedule": []string{"1h"}, "final": []int{500}}}),
		"endpoint_held":     app.CreateEndpoint(tenant, good.URL(), nil),
		"order_blocked":     app.CreateEndpoint(tenant, bad.URL(), map[string]any{"ordering": "fifo", "retry": longRetries}),
		"key_blocked":       app.CreateEndpoint(tenant, bad.URL(), map[string]any{"ordering": "key", "retry": longRetries}),
	}
	held := endpoints["endpoint_held"]
	app.Tell(&held, "hold")
	var second string
	for range 2 {
		var accepted apptest.Accepted
		app.Want(http.StatusAccepted, &accepted, "POST", "/api/messages", `{"payload":1,"ordering_key":"k","type":"invoice.paid"}`, apptest.ForTenant(tenant))
		second = accepted.ID
	}
	app.Stored(tenant, 2)
	sentences := map[string]string{
		"delivered":         `^Delivered to 127\.0\.0\.1:\d+ at .* ago\), with attempt 1\.$`,
		"not_meant":         `^Not meant for the endpoint 127\.0\.0\.1:\d+: its type is "invoice\.paid", and the endpoint gets \[order\.\*\]\.$`,
		"endpoint_retrying": `^It failed at the endpoint 127\.0\.0\.1:\d+ once \(last: status 500\); attempt 2 of 3 is at .*, in \d+ minutes\.$`,
		"given_up":          `^Given up for the endpoint 127\.0\.0\.1:\d+ at .* ago\) after 1 attempt \(last: status 500\); it is the dead letter \d+\.$`,
		"endpoint_held":     `^The endpoint 127\.0\.0\.1:\d+ was held by .*: 2 messages wait for it, and nothing is given up\.$`,
		"order_blocked":     `^Message 1 \(\S{36}\) blocks the endpoint 127\.0\.0\.1:\d+: it failed once .*; 1 message waits behind it\.$`,
		"key_blocked":       `^It waits at the endpoint 127\.0\.0\.1:\d+ behind message 1 \(\S{36}\) of its ordering key "k", which failed once .*\.$`,
	}
	apptest.Await(t, apptest.Long, func() error {
		m := explainMessage(t, app.Client, tenant, second)
		require.Equal(t, "stored", m.State)
		require.Len(t, m.Causes, len(endpoints))
		byEndpoint := make(map[string]client.Cause)
		for _, c := range m.Causes {
			byEndpoint[*c.Data.EndpointID] = c
		}
		for kind, e := range endpoints {
			c := byEndpoint[e.ID]
			if c.Kind != kind {
				return apptest.NotYet("%s: %s %s", kind, c.Kind, c.Sentence)
			}
			if err := apptest.Matches(sentences[kind], c.Sentence); err != nil {
				return err
			}
		}
		return apptest.Matches(`^Stored as message 2 at .* ago\); delivered to 1 of 6 endpoints\. `, m.Sentence)
	})
}
