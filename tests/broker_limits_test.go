package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/tests/apptest"
)

// lostConnection is what the log says when a connection ended that others use.
const lostConnection = "broker connection lost"

// A URL, or a broker, that allows few channels on a connection: more
// connections are opened, and every tenant is consumed.
func TestFewChannelsOnAConnection(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.On(devtest.Postgres(t), devtest.RabbitMQ(t)+"?channel_max=8"))
	tenants := createTenants(app.Client, 20)
	for _, tenant := range tenants {
		app.Publish(tenant, `"stored"`)
	}
	for _, tenant := range tenants {
		app.Stored(tenant, 1)
	}
	requireReady(t, app, `"status":"ready"`)
	app.Restart()
	for _, tenant := range tenants {
		app.Publish(tenant, `"again"`)
	}
	for _, tenant := range tenants {
		app.Stored(tenant, 2)
	}
	require.Empty(t, app.Warned(lostConnection))
}

// createUntilRefused creates tenants until one is refused for want of room, and
// returns those that there are. One for which the broker is too slow is waited for.
func createUntilRefused(t *testing.T, app *apptest.App, most int) []string {
	t.Helper()
	var tenants []string
	for {
		require.Less(t, len(tenants), most, "nothing is refused")
		begun := time.Now()
		answer := app.Call("POST", "/tenants", `{"name":"one of many"}`, apptest.WithKey(fmt.Sprint("key-", len(tenants))))
		require.Less(t, time.Since(begun), answerLimit)
		if answer.Status != http.StatusCreated && answer.Status != http.StatusAccepted {
			problem, err := answer.Problem()
			require.NoError(t, err)
			require.Equal(t, http.StatusServiceUnavailable, answer.Status, "%s", answer.Body)
			require.Equal(t, "broker_capacity", problem.Code)
			require.NotEmpty(t, answer.Header.Get("Retry-After"))
			return tenants
		}
		var created apptest.Tenant
		require.NoError(t, json.Unmarshal(answer.Body, &created))
		apptest.Await(t, apptest.Long, func() error {
			app.Want(http.StatusOK, &created, "GET", "/tenants/"+created.ID, nil)
			if created.Status != "active" {
				return apptest.NotYet("%s is %s", created.ID, created.Status)
			}
			return nil
		})
		tenants = append(tenants, created.ID)
	}
}

// requireNothingHalfMade waits until there is nothing but these tenants, whole.
func requireNothingHalfMade(t *testing.T, app *apptest.App, tenants []string) {
	t.Helper()
	apptest.Await(t, apptest.Long, func() error {
		rest := apptest.QueryRow[int](app.Probes, `SELECT count(*) FROM tenants WHERE status NOT IN ('active', 'deleted')`)
		active := apptest.QueryRow[int](app.Probes, `SELECT count(*) FROM tenants WHERE status = 'active'`)
		if rest != 0 || active != len(tenants) || len(app.Partitions()) != len(tenants) {
			return apptest.NotYet("%d active: %d, and %d others, %d partitions", len(tenants), active, rest, len(app.Partitions()))
		}
		return nil
	})
	for _, gone := range apptest.Query[string](app.Probes, `SELECT id::text FROM tenants WHERE status = 'deleted'`) {
		require.False(t, app.Queue(apptest.QueueName(gone)).Exists)
		require.False(t, app.Queue(apptest.DeadLetterQueueName(gone)).Exists)
	}
}

func requireServed(t *testing.T, app *apptest.App, tenants []string, stored int) {
	t.Helper()
	for _, tenant := range tenants {
		app.Publish(tenant, `"served"`)
	}
	for _, tenant := range tenants {
		app.Stored(tenant, stored)
	}
}

func requireReady(t *testing.T, app *apptest.App, texts ...string) {
	t.Helper()
	apptest.Await(t, apptest.Long, func() error {
		answer := app.Call("GET", "/readyz", nil)
		for _, text := range texts {
			if answer.Status != http.StatusOK || !strings.Contains(string(answer.Body), text) {
				return apptest.NotYet("%s: %d %s", text, answer.Status, answer.Body)
			}
		}
		return nil
	})
}

func onVirtualHost(t *testing.T, v *devtest.VirtualHost) *apptest.App {
	t.Helper()
	app := apptest.New(t, apptest.On(devtest.Postgres(t), v.URL))
	app.UseServers(app.Config.Database.URL, v.Admin())
	return app
}

// A user that may open few channels: as many tenants as fit are served, the next
// one is refused, and no connection ends, whichever part of the service would
// have opened one channel too many. It does not run beside others: a broker without
// processor time counts channels so late that some connection has to find out.
func TestUserWithFewChannels(t *testing.T) {
	v := devtest.NewVirtualHost(t)
	v.LimitUser("max-channels", 25)
	app := onVirtualHost(t, v)
	app.Start()
	tenants := createUntilRefused(t, app, 30)
	require.GreaterOrEqual(t, len(tenants), 8, "there is room for some")
	requireNothingHalfMade(t, app, tenants)
	requireServed(t, app, tenants, 1)
	const gone = 4 // it may have found out meanwhile that there was a little less room
	for _, tenant := range tenants[:gone] {
		app.Delete(tenant)
	}
	tenants = tenants[gone:]
	apptest.Await(t, apptest.Long, func() error {
		id, err := app.TryCreate(t.Context(), "in its place")
		if err == nil {
			tenants = append(tenants, id)
		}
		return err
	})
	require.Empty(t, app.Warned(lostConnection))

	// Everything was made while there was room for more.
	app.Stop()
	v.NewUser()
	v.LimitUser("max-channels", 14)
	app.Config.RabbitMQ.URL = v.URL
	app.Start()
	requireReady(t, app, `"status":"degraded"`, `"consumers":"`)
	app.Refused(http.StatusServiceUnavailable, "broker_capacity", "POST", "/tenants", `{"name":"one more"}`)
	require.Empty(t, app.Warned(lostConnection))
	for _, tenant := range tenants {
		app.Publish(tenant, `"accepted"`)
	}
	v.LimitUser("max-channels", -1)
	requireReady(t, app, `"status":"ready"`)
	for _, tenant := range tenants[:len(tenants)-1] {
		app.Stored(tenant, 2)
	}
	require.Empty(t, app.Warned(lostConnection))
}

// A virtual host, or a user, that has no connection left for consuming says so,
// and takes no tenants whose messages would not be stored.
func TestFewConnections(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]func(v *devtest.VirtualHost, n int){
		"of the virtual host": func(v *devtest.VirtualHost, n int) { v.Limit("max-connections", n) },
		"of the user":         func(v *devtest.VirtualHost, n int) { v.LimitUser("max-connections", n) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := devtest.NewVirtualHost(t)
			app := onVirtualHost(t, v)
			app.Start()
			there := createTenants(app.Client, 2)
			app.Stop()
			app.ExpectError("the broker refuses the connection, trying on until that is mended")

			limit(v, 4)
			app.Start()
			requireReady(t, app, `"status":"degraded"`, `"consumers":"2 of 2`)
			require.Empty(t, createUntilRefused(t, app, 1))
			requireNothingHalfMade(t, app, there)
			for _, tenant := range there {
				app.Publish(tenant, `"accepted"`)
			}
			require.NotEmpty(t, app.Warned("connection limit (4)"))
			require.Empty(t, app.Warned(lostConnection))

			limit(v, -1)
			requireReady(t, app, `"status":"ready"`)
			for _, tenant := range there {
				app.Stored(tenant, 1)
			}
		})
	}
}

// Queues that the virtual host has no room for: the tenant is refused, nothing
// of it stays, and the log says what the broker says.
func TestFewQueues(t *testing.T) {
	t.Parallel()
	for _, room := range []int{8, 9} { // the last one finds room for both queues, one or none
		t.Run(fmt.Sprint(room), func(t *testing.T) {
			t.Parallel()
			v := devtest.NewVirtualHost(t)
			app := onVirtualHost(t, v)
			app.Start()
			v.Limit("max-queues", room)
			tenants := createUntilRefused(t, app, 6)
			require.NotEmpty(t, tenants)
			requireNothingHalfMade(t, app, tenants)
			requireServed(t, app, tenants, 1)
			require.NotEmpty(t, app.Warned("queue limit in vhost"))
			require.Empty(t, app.Warned("exists with other arguments"))
			require.Empty(t, app.Warned(lostConnection))

			// The same key is no tenant that was deleted.
			key := apptest.WithKey(fmt.Sprint("key-", len(tenants)))
			app.Refused(http.StatusServiceUnavailable, "broker_capacity", "POST", "/tenants", `{"name":"one of many"}`, key)
			v.Limit("max-queues", -1)
			apptest.Await(t, apptest.Long, func() error {
				if answer := app.Call("POST", "/tenants", `{"name":"one of many"}`, key); answer.Status != http.StatusCreated {
					return apptest.NotYet("created: %d %s", answer.Status, answer.Body)
				}
				return nil
			})
		})
	}
}
