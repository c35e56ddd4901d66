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

// When an instance is stopped while an endpoint hangs, that tenant waits for
// its transmission, and the others of this instance do not.
func TestFleetHandsOverPastAHangingEndpoint(t *testing.T) {
	t.Parallel()
	var receiver *apptest.Receiver
	release, over := make(chan struct{}), make(chan struct{}, 100)
	receiver = apptest.NewReceiver(t, func(w http.ResponseWriter, r *http.Request) {
		if receiver.Hold(r, release) {
			w.WriteHeader(http.StatusNoContent)
		}
		over <- struct{}{}
	})
	fleet := apptest.BootFleet(t, 2, apptest.Transmitting(5))
	staying, leaving := fleet[0], fleet[1]
	hanging, quiet := ownedBy(t, fleet, leaving), ownedBy(t, fleet, leaving)
	staying.SetEndpoint(hanging, receiver.URL(), 15*time.Second)
	ids := staying.PublishAll(hanging, numbered(3))
	receiver.AwaitAtOnce(1)

	stopped := make(chan struct{})
	go func() { defer close(stopped); leaving.Stop() }()
	apptest.Await(t, apptest.Long, func() error {
		if err := staying.Metrics().Is(1, "lanekeeper_workers", "tenant_id", quiet); err != nil {
			return err
		}
		if q := staying.Queue(apptest.QueueName(quiet)); q.Consumers != 1 {
			return apptest.NotYet("handed over: %+v", q)
		}
		return nil
	})
	staying.Publish(quiet, `1`)
	staying.Stored(quiet, 1)
	require.Empty(t, over, "the transmission is still under way")
	require.Equal(t, 1, receiver.Most(), "at a time")

	close(release)
	apptest.AwaitClosed(t, stopped)
	apptest.Await(t, apptest.Long, func() error {
		if n := len(receiver.Times()); n != len(ids) {
			return apptest.NotYet("%d transmitted: %d", len(ids), n)
		}
		return nil
	})
	require.Equal(t, 1, receiver.Most(), "at a time")
	require.Equal(t, 1, receiver.Times()[receiver.Received()[0].ID], "what was under way was finished")
}
