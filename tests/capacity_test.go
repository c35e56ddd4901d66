package tests

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/tests/apptest"
)

// fileLimit has room for a handful of tenants: what the service takes without
// any is just below.
const fileLimit = 1100

func withFileLimit(c *config.Config) { c.RabbitMQ.FileLimit = fileLimit }

// Before the broker has no file left, tenants are refused; those that exist
// notice nothing, and deleting one makes room.
func TestTenantsAreRefusedBeforeTheBrokerIsFull(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, withFileLimit)
	var tenants []string
	var refused *apptest.Answer
	for {
		require.Less(t, len(tenants), 30, "nothing is refused")
		answer := app.Call("POST", "/tenants", `{"name":"one of many"}`, apptest.WithKey(strings.Repeat("k", len(tenants)+1)))
		if answer.Status != http.StatusCreated {
			refused = answer
			break
		}
		var created apptest.Tenant
		require.NoError(t, json.Unmarshal(answer.Body, &created))
		tenants = append(tenants, created.ID)
	}
	require.NotEmpty(t, tenants)
	problem, err := refused.Problem()
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, refused.Status)
	require.Equal(t, "broker_capacity", problem.Code)
	require.Equal(t, "60", refused.Header.Get("Retry-After"))
	var page apptest.TenantPage
	app.Want(http.StatusOK, &page, "GET", "/tenants", nil)
	require.Len(t, page.Data, len(tenants), "nothing is left of the one refused")

	again := app.Call("POST", "/tenants", `{"name":"one of many"}`, apptest.WithKey("k"))
	require.Equal(t, http.StatusCreated, again.Status, "a replayed key is no new tenant")
	ready := app.Call("GET", "/readyz", nil)
	require.Equal(t, http.StatusOK, ready.Status)
	require.Contains(t, string(ready.Body), `"status":"degraded"`)
	require.Regexp(t, `"broker_files":"\d+ of 1100"`, string(ready.Body))
	for _, tenant := range tenants {
		app.Publish(tenant, `"served"`)
	}
	for _, tenant := range tenants {
		app.Stored(tenant, 1)
	}
	found, err := examine(t, app)
	require.ErrorContains(t, err, "there are findings: 1")
	requireFindings(t, found, "found", map[string]string{"broker": "of the 1100 open files"})

	app.Delete(tenants[0])
	apptest.Await(t, apptest.Long, func() error {
		_, err := app.TryCreate(t.Context(), "there is room again")
		return err
	})
}

// Without a limit nothing is said and no one is refused.
func TestUnknownFileLimit(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	app.CreateTenant("the only one", 1)
	ready := app.Call("GET", "/readyz", nil)
	require.Contains(t, string(ready.Body), `"status":"ready"`)
	require.NotContains(t, string(ready.Body), "broker_files")
}
