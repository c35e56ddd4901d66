package tests

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// enoughTenants is so many that each of three instances has some: that one has
// none comes about once in five thousand times.
const enoughTenants = 24

// Every tenant has one consumer in the fleet, every instance has its share,
// and what is asked of any instance happens where the consumer is.
func TestFleetSharesTenants(t *testing.T) {
	t.Parallel()
	fleet := apptest.BootFleet(t, 3)
	var tenants []string
	for i := range enoughTenants {
		tenants = append(tenants, fleet[i%3].CreateTenant("tenant", 1).ID)
	}
	view := awaitShares(t, fleet, tenants)
	tenant := tenants[0]
	owner, others := apptest.Owner(t, fleet, tenant)
	require.Equal(t, view[tenant], owner.Consumer(tenant).Replica)

	within := func(limit time.Duration, what string, condition func() error) {
		t.Helper()
		begun := time.Now()
		apptest.Await(t, apptest.Long, condition)
		t.Log(what, "after", time.Since(begun))
		require.Less(t, time.Since(begun), limit, what)
	}
	// A second is what is promised; the rest is for a machine that is busy.
	const promptly = 6 * time.Second
	others[0].Resize(tenant, 7)
	within(promptly, "resized", func() error {
		return owner.Metrics().Is(7, "lanekeeper_workers", "tenant_id", tenant)
	})
	within(promptly, "told by the other instance", func() error {
		if s := others[1].Consumer(tenant); s.Workers != 7 || s.State != "running" {
			return apptest.NotYet("7 workers: %+v", s)
		}
		return nil
	})
	others[0].Want(http.StatusAccepted, nil, "DELETE", "/api/consumers/"+tenant, nil)
	within(promptly, "stopped", func() error {
		if q := owner.Queue(apptest.QueueName(tenant)); q.Consumers != 0 {
			return apptest.NotYet("no consumer: %+v", q)
		}
		if s := others[1].Consumer(tenant); s.State != "stopped" || !s.Stopped {
			return apptest.NotYet("stopped: %+v", s)
		}
		return nil
	})
	others[1].PublishAll(tenant, numbered(5))
	others[1].Want(http.StatusAccepted, nil, "POST", "/api/consumers/"+tenant, nil)
	within(promptly, "started", func() error {
		return owner.Metrics().Is(7, "lanekeeper_workers", "tenant_id", tenant)
	})
	owner.Stored(tenant, 5)

	others[0].Want(http.StatusAccepted, nil, "DELETE", "/api/consumers", nil)
	for _, tenant := range tenants {
		requireUnconsumed(t, owner.Probes, tenant, 0)
	}
	others[0].PublishAll(tenant, numbered(4))
	require.Equal(t, 4, others[1].Delete(tenant), "what waited is dropped with the queue")
	others[1].Want(http.StatusAccepted, nil, "POST", "/api/consumers", nil)
	awaitShares(t, fleet, tenants[1:])
	for _, app := range fleet {
		requireGone(t, app, tenant)
	}
}

// awaitShares waits until every tenant runs in one of all instances, and every
// instance says the same, and returns the owner of each.
func awaitShares(t *testing.T, fleet []*apptest.App, tenants []string) map[string]string {
	t.Helper()
	var view map[string]string
	apptest.Await(t, apptest.Long, func() error {
		view = make(map[string]string)
		shares := make(map[string]int)
		for i, app := range fleet {
			all := app.Consumers()
			for _, tenant := range tenants {
				s := all[tenant]
				switch {
				case s.State != "running" || s.Replica == "":
					return apptest.NotYet("%s runs: %+v", tenant, s)
				case i == 0:
					view[tenant] = s.Replica
					shares[s.Replica]++
				case view[tenant] != s.Replica:
					return apptest.NotYet("%s is at %s for all: %s", tenant, view[tenant], s.Replica)
				}
			}
		}
		if len(shares) != len(fleet) {
			return apptest.NotYet("everyone has a share: %v", shares)
		}
		return nil
	})
	return view
}

// An instance that ends hands its tenants over, and one that comes takes its
// share, under load and without loss.
func TestFleetHandsOver(t *testing.T) {
	t.Parallel()
	fleet := apptest.BootFleet(t, 3)
	tenants := createTenants(fleet[0].Client, enoughTenants)
	awaitShares(t, fleet, tenants)
	loads := []*apptest.Load{
		apptest.StartLoad(t, fleet[0].Client, tenants[:6], 1000),
		apptest.StartLoad(t, fleet[1].Client, tenants[6:12], 1000),
	}
	for range 2 {
		begun := time.Now()
		fleet[2].Stop()
		awaitShares(t, fleet[:2], tenants)
		t.Log("two instances after", time.Since(begun))
		begun = time.Now()
		fleet[2].Start()
		awaitShares(t, fleet, tenants)
		t.Log("three instances after", time.Since(begun))
	}
	total := 0
	for _, load := range loads {
		load.AwaitEnough()
		load.Stop()
		load.RequireNoRefusals()
		total += load.Accepted()
	}
	apptest.Await(t, apptest.Long, func() error {
		if n := apptest.QueryRow[int](fleet[0].Probes, `SELECT count(*) FROM messages`); n < total {
			return apptest.NotYet("%d stored: %d", total, n)
		}
		return nil
	})
	for _, app := range fleet {
		app.Stop()
	}
	requireAllAcknowledged(t, fleet[0].Probes, tenants)
	for _, load := range loads {
		load.RequireAllStored(fleet[0].Probes)
	}
}

// A user or a tenant that is gone for one instance is gone for all within five
// seconds.
func TestFleetForgetsTogether(t *testing.T) {
	t.Parallel()
	fleet := apptest.BootFleet(t, 2, apptest.WithSecret())
	fleet[0].AddUser("admin@example.com", "admin", "")
	admin := fleet[0].LoggedIn("admin@example.com")
	tenant := admin.CreateTenant("tenant", 1).ID
	member := fleet[0].AddUser("member@example.com", "member", tenant)
	token := fleet[0].Login("member@example.com").Token
	there := fleet[1].As(token)
	there.Publish(tenant, `1`)
	adminThere := fleet[1].LoggedIn("admin@example.com")
	adminThere.Publish(tenant, `2`)

	begun := time.Now()
	admin.Want(http.StatusNoContent, nil, "DELETE", "/api/users/"+member, nil)
	refusedWithin(t, begun, func() int {
		return there.Call("GET", "/api/messages", nil).Status
	}, http.StatusUnauthorized)
	begun = time.Now()
	admin.Delete(tenant)
	refusedWithin(t, begun, func() int {
		return adminThere.Call("POST", "/api/messages", `{"payload":3}`, apptest.ForTenant(tenant)).Status
	}, http.StatusNotFound)
}

func refusedWithin(t *testing.T, begun time.Time, call func() int, status int) {
	t.Helper()
	apptest.Await(t, apptest.Long, func() error {
		if got := call(); got != status {
			return apptest.NotYet("%d: %d", status, got)
		}
		return nil
	})
	t.Log("refused after", time.Since(begun))
	require.Less(t, time.Since(begun), 5*time.Second)
}
