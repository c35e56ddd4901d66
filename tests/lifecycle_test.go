package tests

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

func TestListTenants(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	var empty apptest.TenantPage
	app.Want(http.StatusOK, &empty, "GET", "/api/tenants", nil)
	require.NotNil(t, empty.Data)
	require.Empty(t, empty.Data)

	var want []string
	for range 5 {
		want = append(want, app.CreateTenant("names may repeat", 0).ID)
	}
	app.SetStatus(want[3], "inactive")
	app.Delete(want[1])
	want = append(want[:1], want[2:]...)

	var got []string
	for cursor := "0"; cursor != ""; {
		var page apptest.TenantPage
		app.Want(http.StatusOK, &page, "GET", "/tenants?limit=2&cursor="+cursor, nil)
		for _, tenant := range page.Data {
			require.Equal(t, "names may repeat", tenant.Name)
			got = append(got, tenant.ID)
		}
		cursor = page.NextCursor
		require.NotEmpty(t, page.LastCursor)
	}
	require.Equal(t, want, got)

	var inactive apptest.TenantPage
	app.Want(http.StatusOK, &inactive, "GET", "/api/tenants?status=inactive", nil)
	require.Len(t, inactive.Data, 1)
	require.Equal(t, want[2], inactive.Data[0].ID)
}

func TestChangeTenant(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("before", 7)
	var got apptest.Tenant
	app.Want(http.StatusOK, &got, "PATCH", "/api/tenants/"+tenant.ID, `{"name":"after","description":"zwölf 🚀"}`)
	require.Equal(t, "after", got.Name)
	require.Equal(t, "zwölf 🚀", got.Description)
	require.Equal(t, 7, got.Workers)
	require.Equal(t, "active", got.Status)
	require.False(t, got.UpdatedAt.Before(tenant.UpdatedAt))
	app.Want(http.StatusOK, &got, "PATCH", "/tenants/"+tenant.ID, `{}`)
	require.Equal(t, "after", got.Name)
	var read apptest.Tenant
	app.Want(http.StatusOK, &read, "GET", "/tenants/"+tenant.ID, nil)
	require.Equal(t, "after", read.Name)
	require.Equal(t, "zwölf 🚀", read.Description)
}

func TestTenantNameHasTwoNames(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	var tenant apptest.Tenant
	answer := app.Want(http.StatusCreated, &tenant, "POST", "/tenants", `{"tenant_name":"Acme"}`)
	require.Equal(t, "Acme", tenant.Name)
	require.Equal(t, "/tenants/"+tenant.ID, answer.Header.Get("Location"))
}

// An inactive tenant has no consumer and takes no messages; its queue and its
// history stay, and once it is active again, what waits is stored.
func TestInactiveTenant(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("sleeper", 0).ID
	queue := apptest.QueueName(tenant)
	app.Publish(tenant, `1`)
	app.Stored(tenant, 1)

	app.SetStatus(tenant, "inactive")
	requireUnconsumed(t, app.Probes, tenant, 0)
	app.Refused(http.StatusConflict, "tenant_inactive", "POST", "/api/messages", `{"payload":2}`, apptest.ForTenant(tenant))
	app.Refused(http.StatusConflict, "tenant_inactive", "POST", "/api/messages/batch", `{"messages":[{"payload":2}]}`, apptest.ForTenant(tenant))
	require.Len(t, app.History(tenant, 50), 1)
	app.Resize(tenant, 11)
	for range 5 {
		app.Put(queue, "", `"by hand"`)
	}
	require.Equal(t, apptest.Queue{Exists: true, Ready: 5}, app.Queue(queue))
	require.False(t, app.Metrics().Has("lanekeeper_workers", "tenant_id", tenant))

	app.SetStatus(tenant, "active")
	app.Stored(tenant, 6)
	require.Equal(t, 1, app.Queue(queue).Consumers)
	require.InDelta(t, 11, app.Metrics().Value("lanekeeper_workers", "tenant_id", tenant), 0)
	app.Publish(tenant, `7`)
	app.Stored(tenant, 7)

	// As often as one likes.
	for range 5 {
		app.SetStatus(tenant, "inactive")
		requireUnconsumed(t, app.Probes, tenant, 0)
		app.SetStatus(tenant, "active")
		require.Equal(t, 1, app.Queue(queue).Consumers)
	}
}

func TestCreateInactive(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	var tenant apptest.Tenant
	app.Want(http.StatusCreated, &tenant, "POST", "/api/tenants", `{"name":"later","status":"inactive","workers":100}`)
	require.Equal(t, "inactive", tenant.Status)
	require.Equal(t, 100, tenant.Workers)
	require.Equal(t, apptest.Queue{Exists: true}, app.Queue(apptest.QueueName(tenant.ID)))
	app.SetStatus(tenant.ID, "active")
	app.Publish(tenant.ID, `1`)
	app.Stored(tenant.ID, 1)
}

// Deleting reports how many messages were dropped, exactly.
func TestDeleteCountsWhatItDrops(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("full", 0).ID
	app.Publish(tenant, `"stored, not dropped"`)
	app.Stored(tenant, 1)
	app.SetStatus(tenant, "inactive")
	const waiting = 37
	for range waiting {
		app.Put(apptest.QueueName(tenant), "", `1`)
	}
	require.Equal(t, waiting, app.Delete(tenant))
	require.Equal(t, waiting, apptest.QueryRow[int](app.Probes, `SELECT discarded FROM tenants WHERE id = $1`, tenant))
	requireGone(t, app, tenant)
}

func TestDeletedTenantIsGone(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant, other := app.CreateTenant("gone", 0).ID, app.CreateTenant("stays", 0).ID
	app.Publish(tenant, `1`)
	app.Stored(tenant, 1)
	app.Publish(other, `1`)
	require.Zero(t, app.Delete(tenant))
	requireGone(t, app, tenant)
	app.Stored(other, 1)

	path := "/api/tenants/" + tenant
	for _, c := range []struct{ method, path, body string }{
		{"GET", path, ""},
		{"PATCH", path, `{"name":"again"}`},
		{"PATCH", path, `{"status":"active"}`},
		{"PUT", path + "/config/concurrency", `{"workers":5}`},
		{"DELETE", path, ""},
		{"POST", "/api/messages", `{"payload":1}`},
		{"POST", "/api/messages/batch", `{"messages":[{"payload":1}]}`},
		{"GET", "/api/messages", ""},
	} {
		app.Refused(http.StatusNotFound, "tenant_not_found", c.method, c.path, c.body, apptest.ForTenant(tenant))
	}
	require.Equal(t, "deleted", apptest.QueryRow[string](app.Probes, `SELECT status FROM tenants WHERE id = $1`, tenant))
	require.Empty(t, apptest.QueryRow[string](app.Probes, `SELECT name FROM tenants WHERE id = $1`, tenant))
}

// requireGone ends the test unless everything of a tenant is gone.
func requireGone(t *testing.T, app *apptest.App, tenant string) {
	t.Helper()
	require.NotContains(t, app.Partitions(), apptest.PartitionName(tenant))
	require.False(t, app.Queue(apptest.QueueName(tenant)).Exists)
	require.False(t, app.Queue(apptest.DeadLetterQueueName(tenant)).Exists)
	require.Zero(t, apptest.QueryRow[int](app.Probes, `SELECT count(*) FROM tenant_streams WHERE tenant_id = $1`, tenant))
	require.Zero(t, apptest.QueryRow[int](app.Probes, `SELECT count(*) FROM messages WHERE tenant_id = $1`, tenant))
	apptest.Await(t, apptest.Long, func() error { // another replica hears of it
		if app.Metrics().HasLabel(tenant) {
			return apptest.NotYet("without metrics")
		}
		return nil
	})
}
