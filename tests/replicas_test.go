package tests

import (
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// Two instances on the same servers: whichever consumes, nothing is lost or
// doubled, also while they come and go.
func TestTwoInstances(t *testing.T) {
	t.Parallel()
	one := apptest.Boot(t)
	other := apptest.Boot(t, apptest.On(one.Config.Database.URL, one.Config.RabbitMQ.URL))
	tenants := createTenants(one.Client, 2)
	tenants = append(tenants, createTenants(other.Client, 2)...)
	loads := []*apptest.Load{
		apptest.StartLoad(t, one.Client, append(tenants, tenants...), 1500),
		apptest.StartLoad(t, other.Client, append(tenants, tenants...), 1500),
	}
	for _, load := range loads {
		load.AwaitEnough()
	}
	one.Resize(tenants[0], 17)
	other.Resize(tenants[1], 19)
	one.Restart()
	other.Restart()
	total := 0
	for _, load := range loads {
		load.Stop()
		load.RequireNoRefusals(http.StatusServiceUnavailable, http.StatusMultiStatus)
		total += load.Accepted()
	}
	one.Stop()
	for _, tenant := range tenants { // the other one has them all now
		apptest.Await(t, apptest.Long, func() error {
			if q := other.Queue(apptest.QueueName(tenant)); q.Ready > 0 || q.Consumers != 1 {
				return apptest.NotYet("consumed by one: %+v", q)
			}
			return nil
		})
	}
	require.InDelta(t, 17, other.Metrics().Value("lanekeeper_workers", "tenant_id", tenants[0]), 0)
	for _, tenant := range tenants {
		other.Publish(tenant, `"last"`)
		total++
	}
	apptest.Await(t, apptest.Long, func() error {
		if n := apptest.QueryRow[int](other.Probes, `SELECT count(*) FROM messages`); n < total {
			return apptest.NotYet("%d stored: %d", total, n)
		}
		return nil
	})
	other.Stop()
	requireAllAcknowledged(t, other.Probes, tenants)
	for _, tenant := range tenants {
		other.RequireDense(tenant)
	}
	for _, load := range loads {
		load.RequireAllStored(other.Probes)
	}
}

// What one instance changes, the other one follows: it neither revives what
// was deleted nor goes on with what was stopped.
func TestInstancesFollowEachOther(t *testing.T) {
	t.Parallel()
	one := apptest.Boot(t)
	other := apptest.Boot(t, apptest.On(one.Config.Database.URL, one.Config.RabbitMQ.URL))
	deleted, stopped := one.CreateTenant("deleted", 1).ID, one.CreateTenant("stopped", 1).ID
	for _, tenant := range []string{deleted, stopped} { // both know them
		other.Publish(tenant, `1`)
		one.Publish(tenant, `2`)
		other.Stored(tenant, 2)
	}
	owner, others := apptest.Owner(t, []*apptest.App{one, other}, deleted)
	others[0].Delete(deleted)
	other.SetStatus(stopped, "inactive")
	apptest.Await(t, apptest.Long, func() error {
		for _, app := range []*apptest.App{one, other} {
			m := app.Metrics()
			if m.Has("lanekeeper_workers", "tenant_id", deleted) || m.Has("lanekeeper_workers", "tenant_id", stopped) {
				return apptest.NotYet("the consumers have left")
			}
		}
		return nil
	})
	requireGone(t, owner, deleted)
	requireUnconsumed(t, one.Probes, stopped, 0)
	for tenant, status := range map[string]int{deleted: http.StatusNotFound, stopped: http.StatusConflict} {
		apptest.Await(t, apptest.Long, func() error {
			answer := one.Call("POST", "/api/messages", `{"payload":3}`, apptest.ForTenant(tenant))
			require.NotEqual(t, http.StatusInternalServerError, answer.Status)
			if answer.Status != status {
				return apptest.NotYet("%d: %d", status, answer.Status)
			}
			return nil
		})
	}
	one.SetStatus(stopped, "active")
	apptest.Await(t, apptest.Long, func() error {
		_, err := other.TryPublish(t.Context(), stopped, `4`)
		return err
	})
}

// Both start on an empty database at once, and create at once.
func TestTwoInstancesStartAtOnce(t *testing.T) {
	t.Parallel()
	one := apptest.New(t)
	other := apptest.New(t, apptest.On(one.Config.Database.URL, one.Config.RabbitMQ.URL))
	ready := []<-chan struct{}{one.Launch(), other.Launch()}
	for _, r := range ready {
		apptest.AwaitClosed(t, r)
	}
	ids := make([]string, 20)
	var creating sync.WaitGroup
	for i := range ids {
		app := []*apptest.App{one, other}[i%2]
		creating.Go(func() { ids[i], _ = app.TryCreate(t.Context(), "tenant") })
	}
	creating.Wait()
	for i, id := range ids {
		require.NotEmpty(t, id, i)
		app := []*apptest.App{other, one}[i%2]
		apptest.Await(t, apptest.Long, func() error { // it may be on its way still
			_, err := app.TryPublish(t.Context(), id, `1`, apptest.WithKey("first"))
			return err
		})
		one.Stored(id, 1)
	}
}
