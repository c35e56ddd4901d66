package tests

import (
	"encoding/json"
	"errors"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/tests/apptest"
)

// While the database is away, publishing goes on; when it is back, everything
// is stored, in order, and nothing was given up.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	server := devtest.PrivatePostgres(t)
	app := apptest.Boot(t, apptest.On(server.URL(), devtest.RabbitMQ(t)))
	tenant := app.CreateTenant("tenant", 1).ID
	sent := app.PublishAll(tenant, numbered(10))
	app.Stored(tenant, len(sent))
	for _, outage := range []struct {
		name       string
		begin, end func()
	}{
		{"stopped", server.Stop, server.Start},
		{"killed", server.Kill, server.Start},
		{"frozen", server.Pause, server.Resume},
	} {
		outage.begin()
		requireReadiness(t, app, http.StatusOK, "degraded")
		apptest.Await(t, apptest.Long, func() error {
			m := app.Metrics()
			return errors.Join(m.Is(1, "lanekeeper_readiness", "state", "degraded"), m.Is(0, "lanekeeper_readiness", "state", "ready"),
				m.Is(0, "lanekeeper_server_up", "server", "database"), m.Is(1, "lanekeeper_server_up", "server", "broker"))
		})
		for range 20 {
			begun := time.Now()
			sent = append(sent, app.Publish(tenant, `"`+outage.name+`"`))
			require.Less(t, time.Since(begun), answerLimit)
		}
		sent = append(sent, app.PublishAll(tenant, numbered(300))...)
		begun := time.Now()
		p := app.Refused(http.StatusServiceUnavailable, "", "POST", "/api/messages", `{"payload":1}`, apptest.ForTenant(tenant), apptest.WithKey(outage.name))
		require.Less(t, time.Since(begun), answerLimit)
		t.Log(outage.name, p.Code)
		for _, path := range []string{"/api/tenants", "/api/tenants/" + tenant, "/api/messages"} {
			begun := time.Now()
			answer := app.Call("GET", path, nil, apptest.ForTenant(tenant))
			require.Equal(t, http.StatusServiceUnavailable, answer.Status, path)
			require.NotEmpty(t, answer.Header.Get("Retry-After"))
			require.Less(t, time.Since(begun), answerLimit)
		}
		app.Want(http.StatusOK, nil, "GET", "/healthz", nil)

		outage.end()
		requireReadiness(t, app, http.StatusOK, "ready")
		require.Equal(t, sent, apptest.IDs(app.Stored(tenant, len(sent))), "in order, after it was %s", outage.name)
		require.Positive(t, app.Metrics().Value("lanekeeper_store_failures_total", "reason", "unavailable"), "%s", outage.name)
		sent = append(sent, app.Publish(tenant, `1`, apptest.WithKey(outage.name)))
		app.Stored(tenant, len(sent))
	}
	app.RequireNoDeadLetters(tenant)
	app.Stop()
	requireAllAcknowledged(t, app.Probes, []string{tenant})
}

// A database that dies again and again in mid-load.
func TestDatabaseDiesInMidLoad(t *testing.T) {
	t.Parallel()
	server := devtest.PrivatePostgres(t)
	app := apptest.Boot(t, apptest.On(server.URL(), devtest.RabbitMQ(t)))
	tenants := createTenants(app.Client, 3)
	load := apptest.StartLoad(t, app.Client, append(tenants, tenants...), 3000)
	for round := 1; round <= 3; round++ {
		apptest.Await(t, apptest.Long, func() error {
			if load.Accepted() < round*700 {
				return apptest.NotYet("%d accepted", load.Accepted())
			}
			return nil
		})
		server.Kill()
		server.Start()
	}
	load.AwaitEnough()
	load.Stop()
	load.RequireNoRefusals()
	load.RequireStored(app.Probes)
	app.Stop()
	requireAllAcknowledged(t, app.Probes, tenants)
}

// SIGTERM while the database is away: what cannot be stored stays in the queue.
func TestSIGTERMWhileDatabaseIsAway(t *testing.T) {
	t.Parallel()
	server := devtest.PrivatePostgres(t)
	app := apptest.StartProcessOn(t, server.URL(), devtest.RabbitMQ(t))
	tenant := app.CreateTenant("tenant", 3).ID
	sent := app.PublishAll(tenant, numbered(5))
	app.Stored(tenant, len(sent))
	server.Stop()
	sent = append(sent, app.PublishAll(tenant, numbered(500))...)
	app.Signal(syscall.SIGTERM)
	require.NoError(t, app.Exited(shutdownLimit))
	requireUnconsumed(t, app.Probes, tenant, 500)
	server.Start()
	app.Start()
	require.ElementsMatch(t, sent, apptest.IDs(app.Stored(tenant, len(sent))))
}

// The service starts before its servers do, and is ready when they are.
func TestStartWhileServersAreAway(t *testing.T) {
	t.Parallel()
	database, broker := devtest.PrivatePostgres(t), devtest.PrivateRabbitMQ(t)
	database.Stop()
	broker.Stop()
	app := apptest.New(t, apptest.On(database.URL(), broker.URL()))
	ready := app.Launch()
	app.Want(http.StatusOK, nil, "GET", "/healthz", nil)
	requireReadiness(t, app, http.StatusServiceUnavailable, "starting")
	app.Refused(http.StatusServiceUnavailable, "", "POST", "/api/tenants", `{"name":"too early"}`)
	database.Start()
	requireReadiness(t, app, http.StatusServiceUnavailable, "starting")
	broker.Start()
	select {
	case <-ready:
	case <-time.After(apptest.Long):
		require.FailNow(t, "not ready")
	}
	requireReadiness(t, app, http.StatusOK, "ready")
	tenant := app.CreateTenant("tenant", 0).ID
	app.Publish(tenant, `1`)
	app.Stored(tenant, 1)
}

// SIGTERM before the servers were ever there ends it as well.
func TestSIGTERMWhileServersAreAway(t *testing.T) {
	t.Parallel()
	app := apptest.New(t, apptest.On("postgres://postgres@127.0.0.1:1/nowhere", "amqp://127.0.0.1:1/"))
	app.Launch()
	requireReadiness(t, app, http.StatusServiceUnavailable, "starting")
	app.Stop()
}

// containsStatus reports whether the answer of a health check has this status.
func containsStatus(answer *apptest.Answer, word string) bool {
	var health struct {
		Status string `json:"status"`
	}
	return json.Unmarshal(answer.Body, &health) == nil && health.Status == word
}
