//go:build interop

package interop

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// shown is where the page has its endpoints.
const shown = "https://example.com/hooks/orders"

// answersFail makes curl say nothing but the body, and fail for all that is no
// success, as people see by looking.
const answersFail = `set -eu; curl() { command curl -sS --fail-with-body --max-time 20 "$@"; }; `

// tour is somebody who goes through the page.
type tour struct {
	app      *apptest.App
	receiver *apptest.Receiver
	tenant   string
	// endpoint, message and replay are what the page calls $endpoint and so on; ""
	// for not yet.
	endpoint, message, replay string
}

// Every command of the page does what it says, in the order of the page.
func TestCommands(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering())
	tr := &tour{app: app, tenant: app.CreateTenant("Acme", 1).ID, receiver: apptest.NewReceiver(t, apptest.Answering(http.StatusNoContent))}
	run := make(map[string]bool)
	for _, commands := range blocks(t, "sh") {
		switch {
		case strings.Contains(commands, "/skip"):
			tr.getStuck(t)
		case tr.endpoint != "":
			tr.awaitAll(t) // a replay leaves out what is on its way anyway
		}
		out := tr.run(t, commands)
		for name := range strings.FieldsSeq("/test /attempts /hold /resume /rotate-secret /resend /replay /replays/ /skip by-external-id dead-letters PATCH DELETE") {
			run[name] = run[name] || strings.Contains(commands, name)
		}
		switch {
		case tr.endpoint == "":
			tr.created(t, out)
		case strings.Contains(commands, `/replay"`) && strings.Contains(commands, "rate"):
			tr.replaying(t, out)
		case strings.Contains(commands, `DELETE "$api/tenants/$tenant/endpoints/$endpoint"`):
			require.Contains(t, out, "Lanekeeper-Open: 0")
			e := app.CreateEndpoint(tr.tenant, tr.receiver.URL(), map[string]any{"from_seq": 1})
			tr.endpoint = e.ID
			tr.awaitAll(t)
		}
	}
	for name, done := range run {
		require.True(t, done, "the page does not show %s", name)
	}
	require.GreaterOrEqual(t, tr.receiver.Times()[tr.message], 3, "delivered, resent and replayed")
}

// run runs commands of the page, and returns what they print.
func (tr *tour) run(t *testing.T, commands string) string {
	t.Helper()
	commands = strings.ReplaceAll(commands, shown, tr.receiver.URL()+"/hooks/orders")
	command := exec.CommandContext(t.Context(), "bash", "-c", answersFail+commands)
	command.Env = append(os.Environ(), "api="+tr.app.URL()+"/api", "tenant="+tr.tenant)
	for name, value := range map[string]string{"endpoint": tr.endpoint, "message": tr.message, "replay": tr.replay} {
		if value != "" {
			command.Env = append(command.Env, name+"="+value)
		}
	}
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s\n%s", commands, out)
	return string(out)
}

// created notes the endpoint that was made, and has it get a message.
func (tr *tour) created(t *testing.T, out string) {
	t.Helper()
	var e apptest.Endpoint
	require.NoError(t, json.Unmarshal([]byte(out), &e), "%s", out)
	require.NotEmpty(t, e.Secret)
	tr.endpoint = e.ID
	tr.message = tr.publish("order.created")
	tr.awaitAll(t)
}

func (tr *tour) publish(messageType string) (id string) {
	var m apptest.Message
	tr.app.Want(http.StatusAccepted, &m, "POST", "/api/messages", map[string]any{"type": messageType, "payload": 1}, apptest.ForTenant(tr.tenant))
	return m.ID
}

// awaitAll waits until the endpoint has got everything.
func (tr *tour) awaitAll(t *testing.T) {
	t.Helper()
	apptest.Await(t, apptest.Long, func() error {
		now := tr.app.Endpoint(&apptest.Endpoint{TenantID: tr.tenant, ID: tr.endpoint})
		if now.Lag != 0 || now.LastSeq == 0 {
			return apptest.NotYet("%+v", now)
		}
		return nil
	})
}

// replaying notes the replay that has begun, and waits until it is over.
func (tr *tour) replaying(t *testing.T, out string) {
	t.Helper()
	for decoder := json.NewDecoder(strings.NewReader(out)); decoder.More(); {
		var r struct {
			ID    string
			Total int
		}
		require.NoError(t, decoder.Decode(&r), "%s", out)
		require.Positive(t, r.Total, "%s", out)
		tr.replay = r.ID
	}
	require.NotEmpty(t, tr.replay)
	apptest.Await(t, apptest.Long, func() error {
		if n := tr.receiver.Times()[tr.message]; n < 3 {
			return apptest.NotYet("replayed: %d times", n)
		}
		return nil
	})
}

// getStuck has an endpoint be stuck at a message from now on, and go on once that is
// skipped.
func (tr *tour) getStuck(t *testing.T) {
	t.Helper()
	failing := apptest.NewReceiver(t, apptest.Answering(http.StatusInternalServerError))
	e := tr.app.CreateEndpoint(tr.tenant, failing.URL(), map[string]any{"ordering": "fifo", "retry": map[string]any{"schedule": []string{"1h"}}})
	tr.endpoint = e.ID
	stuck := tr.publish("stuck")
	tr.app.Stored(tr.tenant, 2) // behind that of created
	apptest.Await(t, apptest.Long, func() error {
		for _, d := range tr.app.Deliveries(tr.tenant, stuck) {
			if d.EndpointID == e.ID && d.State == "retrying" {
				return nil
			}
		}
		return apptest.NotYet("failed once")
	})
}
