package tests

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/tests/apptest"
)

// answerLimit is how long publishing may take in any state of the broker.
const answerLimit = 6 * time.Second

// What the broker's absence means, and that everything comes back by itself.
func TestBrokerAway(t *testing.T) {
	t.Parallel()
	server := devtest.PrivateRabbitMQ(t)
	app := apptest.Boot(t, apptest.On(devtest.Postgres(t), server.URL()))
	tenant, doomed := app.CreateTenant("tenant", 4).ID, app.CreateTenant("doomed", 0).ID
	app.Publish(tenant, `"before"`)
	app.Stored(tenant, 1)

	server.Stop()
	requireRefusedForNow(t, app, tenant)
	requireReadiness(t, app, http.StatusServiceUnavailable, "unavailable")
	app.Want(http.StatusOK, nil, "GET", "/healthz", nil)
	require.Len(t, app.History(tenant, 50), 1, "reading goes on")
	app.Resize(tenant, 6)
	retried := apptest.WithKey("tried while away")
	app.Refused(http.StatusServiceUnavailable, "", "POST", "/api/messages", `{"payload":"retried"}`, apptest.ForTenant(tenant), retried)

	var created apptest.Tenant
	begun := time.Now()
	app.Want(http.StatusAccepted, &created, "POST", "/api/tenants", `{"name":"meanwhile"}`)
	require.Less(t, time.Since(begun), answerLimit)
	require.Equal(t, "provisioning", created.Status)
	app.Refused(http.StatusServiceUnavailable, "tenant_provisioning", "POST", "/api/messages", `{"payload":1}`, apptest.ForTenant(created.ID))
	var deleting apptest.Tenant
	app.Want(http.StatusAccepted, &deleting, "DELETE", "/api/tenants/"+doomed, nil)
	require.Equal(t, "deleting", deleting.Status)
	app.Refused(http.StatusNotFound, "", "GET", "/api/tenants/"+doomed, nil)

	server.Start()
	requireReadiness(t, app, http.StatusOK, "ready")
	app.Publish(tenant, `"after"`)
	app.Publish(tenant, `"retried"`, retried)
	app.Publish(tenant, `"retried"`, retried)
	apptest.Await(t, apptest.Long, func() error { return converged(app, created.ID) })
	require.Equal(t, "active", statusOf(app, created.ID))
	apptest.Await(t, apptest.Long, func() error {
		if status := statusOf(app, doomed); status != "deleted" {
			return apptest.NotYet("deleted: %s", status)
		}
		return nil
	})
	requireGone(t, app, doomed)
	app.Publish(created.ID, `"first"`)
	app.Stored(created.ID, 1)
	app.Stored(tenant, 3)
	require.InDelta(t, 6, app.Metrics().Value("lanekeeper_workers", "tenant_id", tenant), 0)
}

// A broker that is killed in mid-load, and one that is frozen: what it
// confirmed is stored once it is back.
func TestBrokerDiesInMidLoad(t *testing.T) {
	t.Parallel()
	server := devtest.PrivateRabbitMQ(t)
	app := apptest.Boot(t, apptest.On(devtest.Postgres(t), server.URL()))
	tenants := createTenants(app.Client, 2)
	// A broker that is killed within a second of the declaration of a queue
	// may lose it and what it has confirmed; one that was stopped knows it for
	// good.
	server.Stop()
	server.Start()
	requireReadiness(t, app, http.StatusOK, "ready")
	load := apptest.StartLoad(t, app.Client, append(tenants, tenants...), 1000)
	load.AwaitEnough()
	server.Kill()
	requireRefusedForNow(t, app, tenants[0])
	server.Start()
	accepted := load.Accepted()
	apptest.Await(t, apptest.Long, func() error {
		if load.Accepted() < accepted+500 {
			return apptest.NotYet("accepted again: %d", load.Accepted()-accepted)
		}
		return nil
	})

	server.Pause()
	requireRefusedForNow(t, app, tenants[0])
	requireReadiness(t, app, http.StatusServiceUnavailable, "unavailable")
	server.Resume()
	requireReadiness(t, app, http.StatusOK, "ready")
	accepted = load.Accepted()
	apptest.Await(t, apptest.Long, func() error {
		if load.Accepted() < accepted+500 {
			return apptest.NotYet("accepted again: %d", load.Accepted()-accepted)
		}
		return nil
	})
	load.Stop()
	load.RequireNoRefusals(http.StatusServiceUnavailable, http.StatusMultiStatus)
	load.RequireStored(app.Probes)
	app.Stop()
	requireAllAcknowledged(t, app.Probes, tenants)
}

// requireRefusedForNow publishes until it is refused, and ends the test unless
// each answer comes in time and the refusal says when to try again.
func requireRefusedForNow(t *testing.T, app *apptest.App, tenant string) {
	t.Helper()
	apptest.Await(t, apptest.Long, func() error {
		begun := time.Now()
		answer := app.Call("POST", "/api/messages", `{"payload":"`+uuid.NewString()+`"}`, apptest.ForTenant(tenant))
		require.Less(t, time.Since(begun), answerLimit)
		if answer.Status == http.StatusAccepted {
			return apptest.NotYet("refused")
		}
		p, err := answer.Problem()
		require.NoError(t, err)
		require.Equal(t, http.StatusServiceUnavailable, p.Status)
		wait, err := strconv.Atoi(answer.Header.Get("Retry-After"))
		require.NoError(t, err)
		require.Positive(t, wait)
		return nil
	})
	begun := time.Now()
	app.Refused(http.StatusServiceUnavailable, "", "POST", "/api/messages/batch",
		`{"messages":[{"payload":"`+uuid.NewString()+`"},{"payload":"`+uuid.NewString()+`"}]}`, apptest.ForTenant(tenant))
	require.Less(t, time.Since(begun), answerLimit)
}

// requireReadiness waits until /readyz answers with this status and word.
func requireReadiness(t *testing.T, app *apptest.App, status int, word string) {
	t.Helper()
	apptest.Await(t, apptest.Long, func() error {
		answer := app.Call("GET", "/readyz", nil)
		if answer.Status != status || !containsStatus(answer, word) {
			return apptest.NotYet("%d %s: %d %s", status, word, answer.Status, answer.Body)
		}
		return nil
	})
}
