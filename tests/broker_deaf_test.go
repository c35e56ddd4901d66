package tests

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/tests/apptest"
)

// A broker that seems to be alive and answers nothing: publishing is refused in
// time, what it delivers is stored, and when it answers again everything goes
// on.
func TestBrokerIsDeaf(t *testing.T) {
	t.Parallel()
	app, tap := bootOnBrokerTap(t)
	tenant := app.CreateTenant("tenant", 2).ID
	sent := app.PublishAll(tenant, numbered(10))
	app.Stored(tenant, len(sent))

	tap.Deafen(true)
	requireRefusedForNow(t, app, tenant)
	begun := time.Now()
	answer := app.Call("POST", "/api/tenants", `{"name":"meanwhile"}`)
	require.Less(t, time.Since(begun), answerLimit, "creating: %d %s", answer.Status, answer.Body)
	for range 10 { // these reach the broker by another way
		app.Put(apptest.QueueName(tenant), uuid.NewString(), `"by hand"`)
	}
	app.Stored(tenant, len(sent)+10)

	tap.Deafen(false)
	// What the broker never saw it will never answer.
	tap.Cut()
	apptest.Await(t, apptest.Long, func() error {
		_, err := app.TryPublish(t.Context(), tenant, `"again"`)
		return err
	})
	apptest.Await(t, apptest.Long, func() error {
		if n := apptest.QueryRow[int](app.Probes, `SELECT count(*) FROM tenants WHERE status <> 'active'`); n > 0 {
			return apptest.NotYet("all active")
		}
		return nil
	})
	app.Stored(tenant, len(sent)+11)
}

// Stopping takes no longer than promised, whatever the broker does.
func TestStopWhileBrokerIsDeaf(t *testing.T) {
	t.Parallel()
	app, tap := bootOnBrokerTap(t)
	tenants := createTenants(app.Client, 3)
	load := apptest.StartLoad(t, app.Client, append(tenants, tenants...), 500)
	load.AwaitEnough()
	tap.Deafen(true)
	requireStopsInTime(t, app)
	tap.Deafen(false)
	tap.Cut()
	load.Stop()
	app.Start()
	load.RequireStored(app.Probes)
}

func TestStopWhileBrokerIsFrozen(t *testing.T) {
	t.Parallel()
	server := devtest.PrivateRabbitMQ(t)
	app := apptest.Boot(t, apptest.On(devtest.Postgres(t), server.URL()))
	tenants := createTenants(app.Client, 3)
	load := apptest.StartLoad(t, app.Client, append(tenants, tenants...), 500)
	load.AwaitEnough()
	server.Pause()
	requireStopsInTime(t, app)
	load.Stop()
	server.Resume()
	app.Start()
	load.RequireStored(app.Probes)
}

// bootOnBrokerTap boots the service with a BrokerTap in front of its broker. The
// test's own probes do not go through it.
func bootOnBrokerTap(t *testing.T) (*apptest.App, *apptest.BrokerTap) {
	t.Helper()
	broker := devtest.RabbitMQ(t)
	tap := apptest.NewBrokerTap(t, broker)
	app := apptest.Boot(t, apptest.On(devtest.Postgres(t), tap.URL()))
	app.UseServers(app.Config.Database.URL, broker)
	return app, tap
}

func requireStopsInTime(t *testing.T, app *apptest.App) {
	t.Helper()
	begun := time.Now()
	app.Stop()
	require.Less(t, time.Since(begun), shutdownLimit)
	t.Logf("stopped in %v", time.Since(begun).Round(time.Millisecond))
}
