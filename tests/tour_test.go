package tests

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// The first steps of the README, as one would take them with curl.
func TestTour(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)

	var tenant apptest.Tenant
	answer := app.Want(http.StatusCreated, &tenant, "POST", "/api/tenants",
		`{"name":"Test Partition","description":"Test tenant for partition verification","status":"active"}`)
	require.Equal(t, "/api/tenants/"+tenant.ID, answer.Header.Get("Location"))
	require.Equal(t, tenant.ID, tenant.TenantID)
	require.Equal(t, "Test Partition", tenant.Name)
	require.Equal(t, "Test tenant for partition verification", tenant.Description)
	require.Equal(t, "active", tenant.Status)
	require.Equal(t, 3, tenant.Workers)

	require.Equal(t, []string{apptest.PartitionName(tenant.ID)}, app.Partitions())
	require.Equal(t, 1, app.Queue(apptest.QueueName(tenant.ID)).Consumers)
	require.True(t, app.Queue(apptest.DeadLetterQueueName(tenant.ID)).Exists)

	app.Resize(tenant.ID, 5)
	require.Equal(t, 5, apptest.QueryRow[int](app.Probes, `SELECT workers FROM tenants WHERE id = $1`, tenant.ID))

	id := app.Publish(tenant.ID, `{"text":"hello"}`)
	messages := app.Stored(tenant.ID, 1)
	require.Equal(t, id, messages[0].ID)
	require.JSONEq(t, `{"text":"hello"}`, string(messages[0].Payload))
	page := app.Page(tenant.ID, "cursor=0")
	require.Len(t, page.Data, 1)
	require.Empty(t, page.NextCursor)
	require.Equal(t, "1", page.LastCursor)

	require.Zero(t, app.Delete(tenant.ID))
	require.Empty(t, app.Partitions())
	require.False(t, app.Queue(apptest.QueueName(tenant.ID)).Exists)
	require.False(t, app.Queue(apptest.DeadLetterQueueName(tenant.ID)).Exists)
	app.Refused(http.StatusNotFound, "tenant_not_found", "DELETE", "/api/tenants/"+tenant.ID, nil)
}
