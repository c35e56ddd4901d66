package tests

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/tests/apptest"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	var health struct {
		Status  string            `json:"status"`
		Details map[string]string `json:"details"`
	}
	app.Want(http.StatusOK, &health, "GET", "/healthz", nil)
	require.Equal(t, "ok", health.Status)
	app.Want(http.StatusOK, &health, "GET", "/readyz", nil)
	require.Equal(t, "ready", health.Status)
	require.Equal(t, map[string]string{"broker": "ready", "database": "ready"}, health.Details)
	app.Refused(http.StatusNotFound, "", "GET", "/api/healthz", nil)
}

// Which requests have a line in the log is configured, in whatever letters; times have
// their unit in their names, and probes have no line.
func TestRequestLines(t *testing.T) {
	t.Parallel()
	app := apptest.StartProcess(t, "LOG_REQUESTS=Errors", "LOG_LEVEL=INFO", "LOG_FORMAT=JSON")
	tenant := app.CreateTenant("tenant", 0).ID
	app.Publish(tenant, `1`)
	app.Want(http.StatusOK, nil, "GET", "/healthz", nil)
	app.Refused(http.StatusNotFound, "tenant_not_found", "GET", "/api/tenants/"+uuid.NewString(), nil)
	apptest.Await(t, apptest.Long, func() error {
		if len(app.RequestLines()) == 0 {
			return apptest.NotYet("a line")
		}
		return nil
	})
	lines := app.RequestLines()
	require.Len(t, lines, 1)
	require.Equal(t, []any{"INFO", "/tenants/{id}", http.StatusNotFound}, []any{lines[0].Level, lines[0].Route, lines[0].Status})
	require.NotNil(t, lines[0].DurationMS)
	require.Less(t, *lines[0].DurationMS, 6000.0)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("measured", 7).ID
	for range 3 {
		app.Publish(tenant, `{}`)
	}
	app.PublishAll(tenant, numbered(20))
	app.Put(apptest.QueueName(tenant), "", "poison")
	id := uuid.NewString()
	app.Put(apptest.QueueName(tenant), id, `1`)
	app.Put(apptest.QueueName(tenant), id, `1`)
	app.Refused(http.StatusUnprocessableEntity, "", "POST", "/api/messages", `{"payload":"\u0000"}`, apptest.ForTenant(tenant))
	app.Stored(tenant, 24)
	outcome := func(want float64, outcome string) {
		apptest.Await(t, apptest.Long, func() error {
			return app.Metrics().Is(want, "lanekeeper_messages_total", "tenant_id", tenant, "outcome", outcome)
		})
	}
	outcome(24, "stored")
	outcome(1, "duplicate")
	outcome(1, "dead_lettered")
	m := app.Metrics()
	for _, c := range []struct {
		want float64
		name string
		with []string
	}{
		{7, "lanekeeper_workers", []string{"tenant_id", tenant}},
		{0, "lanekeeper_workers_busy", []string{"tenant_id", tenant}},
		{1, "lanekeeper_consumers", []string{"state", "running"}},
		{23, "lanekeeper_publish_total", []string{"outcome", "accepted"}},
		{1, "lanekeeper_publish_total", []string{"outcome", "refused"}},
		{4, "lanekeeper_publish_seconds", nil},
		{1, "lanekeeper_http_request_seconds", []string{"route", "/tenants", "method", "POST", "status", "201"}},
		{3, "lanekeeper_http_request_seconds", []string{"route", "/messages", "method", "POST", "status", "202"}},
		{1, "lanekeeper_http_request_seconds", []string{"route", "/messages", "method", "POST", "status", "422"}},
		{1, "lanekeeper_http_request_seconds", []string{"route", "/messages/batch", "status", "202"}},
	} {
		require.NoError(t, m.Is(c.want, c.name, c.with...))
	}
	for state, want := range map[string]float64{"ready": 1, "degraded": 0, "unavailable": 0} {
		require.NoError(t, m.Is(want, "lanekeeper_readiness", "state", state))
	}
	require.NoError(t, m.Is(1, "lanekeeper_server_up", "server", "broker"))
	require.NoError(t, m.Is(1, "lanekeeper_server_up", "server", "database"))
	require.NoError(t, m.Is(0, "lanekeeper_store_failures_total", "reason", "unavailable"))
	require.Positive(t, m.Value("lanekeeper_store_batch_rows"))
	require.Positive(t, m.Value("lanekeeper_store_seconds"))
	require.GreaterOrEqual(t, m.Value("lanekeeper_end_to_end_seconds"), 23.0)
	apptest.Await(t, apptest.Long, func() error { // sampled every few seconds
		return app.Metrics().Is(0, "lanekeeper_queue_depth", "tenant_id", tenant, "queue", apptest.QueueName(tenant))
	})

	// Unexpected requests make no labels of their own.
	app.Call("GET", "/made/up", nil)
	app.Call("BREW", "/tenants", nil)
	require.False(t, app.Metrics().HasLabel("/made/up"))
	require.False(t, app.Metrics().HasLabel("BREW"))

	require.True(t, app.Metrics().HasLabel(tenant))
	app.Delete(tenant)
	require.False(t, app.Metrics().HasLabel(tenant), "labels vanish with their tenant")
	require.False(t, app.Metrics().HasLabel(apptest.QueueName(tenant)))
}

func TestMetricsWithoutTenants(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, func(c *config.Config) { c.Metrics.TenantLabels = false })
	one, other := app.CreateTenant("one", 2).ID, app.CreateTenant("other", 3).ID
	app.Publish(one, `1`)
	app.Publish(other, `1`)
	app.Stored(one, 1)
	app.Stored(other, 1)
	apptest.Await(t, apptest.Long, func() error { return app.Metrics().Is(2, "lanekeeper_messages_total", "outcome", "stored") })
	require.NoError(t, app.Metrics().Is(5, "lanekeeper_workers"))
	require.False(t, app.Metrics().HasLabel(one))
}

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	answer := app.Want(http.StatusOK, nil, "GET", "/openapi.json", nil)
	document, err := openapi3.NewLoader().LoadFromData(answer.Body)
	require.NoError(t, err)
	require.NoError(t, document.Validate(t.Context()))
	require.True(t, strings.HasPrefix(document.OpenAPI, "3."))
	// Where the service is configured to be, with the port that it has.
	at, err := url.Parse(app.URL())
	require.NoError(t, err)
	require.Equal(t, "http://localhost:"+at.Port()+"/api", document.Servers[0].URL)
	require.Equal(t, openapi3.SecurityRequirements{{"BearerAuth": {}}, {}}, document.Security, "in open mode nobody needs a token")
	for path, methods := range map[string][]string{
		"/login": {"POST"}, "/users": {"GET", "POST"}, "/users/{id}": {"GET", "PATCH", "DELETE"},
		"/tenants": {"GET", "POST"}, "/tenants/{id}": {"GET", "PATCH", "DELETE"}, "/tenants/{id}/config/concurrency": {"PUT"},
		"/messages": {"GET", "POST"}, "/messages/batch": {"POST"}, "/messages/{id}": {"GET"},
	} {
		item := document.Paths.Find(path)
		require.NotNil(t, item, path)
		for _, method := range methods {
			require.NotNil(t, item.GetOperation(method), "%s %s", method, path)
		}
	}
}

func TestSwaggerUI(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	page := app.Want(http.StatusOK, nil, "GET", "/swagger/index.html", nil)
	require.Contains(t, page.Header.Get("Content-Type"), "text/html")
	require.Contains(t, string(page.Body), "swagger-ui-bundle.js")
	require.NotEmpty(t, app.Want(http.StatusOK, nil, "GET", "/swagger/swagger-ui-bundle.js", nil).Body)
	require.Contains(t, string(app.Want(http.StatusOK, nil, "GET", "/swagger/swagger-initializer.js", nil).Body)+string(page.Body), "/swagger/doc.json")
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	one := app.Refused(http.StatusNotFound, "", "GET", "/nothing", nil)
	other := app.Refused(http.StatusNotFound, "", "GET", "/nothing", nil)
	require.NotEqual(t, one.RequestID, other.RequestID)
	answer := app.Call("GET", "/nothing", nil, apptest.Header{"X-Request-ID", "mine-42"})
	var p apptest.Problem
	require.NoError(t, json.Unmarshal(answer.Body, &p))
	require.Equal(t, "mine-42", p.RequestID)
	require.Equal(t, "mine-42", answer.Header.Get("X-Request-ID"))
	require.Equal(t, "/nothing", p.Instance)
}
