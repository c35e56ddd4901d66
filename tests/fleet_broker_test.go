package tests

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/tests/apptest"
	"lanekeeper/tests/proxy"
)

// A rollout whose broker URL leads nowhere: the new instance is never ready, and
// takes no tenants either.
func TestFleetWithOneThatWasNeverReady(t *testing.T) {
	t.Parallel()
	db, rabbit := devtest.Postgres(t), devtest.RabbitMQ(t)
	healthy := apptest.Boot(t, apptest.On(db, rabbit))
	tenants := createTenants(healthy.Client, 10)
	wrong := apptest.New(t, apptest.On(db, "amqp://guest:guest@127.0.0.1:1/"))
	ready := wrong.Launch()
	apptest.Await(t, apptest.Long, func() error { // by now it sees the tenants
		if answer := wrong.Call("GET", "/api/tenants/"+tenants[0], nil); answer.Status != http.StatusOK {
			return apptest.NotYet("it sees the tenants: %d", answer.Status)
		}
		return nil
	})
	apptest.Throughout(t, 3*time.Second, func() error {
		if n := apptest.QueryRow[int](healthy.Probes, `SELECT count(*) FROM replicas`); n != 1 {
			return apptest.NotYet("one replica: %d", n)
		}
		return nil
	})
	for _, tenant := range tenants {
		healthy.Publish(tenant, `1`)
		healthy.Stored(tenant, 1)
	}
	select {
	case <-ready:
		require.Fail(t, "it was ready")
	default:
	}
}

// An instance that alone has lost the broker leaves its tenants to the other.
func TestFleetWithOneCutOffFromTheBroker(t *testing.T) {
	t.Parallel()
	db, rabbit := devtest.Postgres(t), devtest.RabbitMQ(t)
	way, err := proxy.New(t.Context(), rabbit, proxy.AMQP{}, nil)
	require.NoError(t, err)
	healthy := apptest.Boot(t, apptest.On(db, rabbit))
	cut := apptest.Boot(t, apptest.On(db, way.URL()))
	cut.UseServers(db, rabbit)
	fleet := []*apptest.App{healthy, cut}
	tenant := ownedBy(t, fleet, cut)
	healthy.Publish(tenant, `"before"`)
	healthy.Stored(tenant, 1)

	require.NoError(t, way.Close())
	healthy.Publish(tenant, `"after"`)
	apptest.Await(t, time.Minute, func() error {
		if n := apptest.QueryRow[int](healthy.Probes, `SELECT count(*) FROM messages`); n != 2 {
			return apptest.NotYet("2 stored: %d", n)
		}
		return nil
	})
	owner, _ := apptest.Owner(t, fleet, tenant)
	require.Same(t, healthy, owner)
	apptest.Await(t, apptest.Long, func() error {
		if here, there := healthy.Consumer(tenant).Replica, cut.Consumer(tenant).Replica; here == "" || here != there {
			return apptest.NotYet("both know who has it: %q, %q", here, there)
		}
		return nil
	})
}

// ownedBy creates tenants until one is consumed by this instance.
func ownedBy(t *testing.T, fleet []*apptest.App, wanted *apptest.App) string {
	t.Helper()
	for {
		tenant := fleet[0].CreateTenant("tenant", 1).ID
		if owner, _ := apptest.Owner(t, fleet, tenant); owner == wanted {
			return tenant
		}
	}
}
