package tests

import (
	"net/http"
	"testing"

	"lanekeeper/tests/apptest"
)

// What the metrics say of endpoints follows them.
func TestMetricsOfEndpoints(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering())
	tenant := app.CreateTenant("tenant", 0).ID
	receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusOK))
	first := app.CreateEndpoint(tenant, receiver.URL(), nil)
	second := app.CreateEndpoint(tenant, receiver.URL(), nil)
	// Of a tenant that has none to deliver to.
	idle := app.CreateEndpoint(app.CreateTenant("idle", 0).ID, receiver.URL(), nil)
	is := func(want float64, name string, labels ...string) {
		t.Helper()
		apptest.Await(t, apptest.Long, func() error { return app.Metrics().Is(want, name, labels...) })
	}
	endpoints := func(active, held, disabled float64) {
		t.Helper()
		is(active, "lanekeeper_endpoints", "status", "active")
		is(held, "lanekeeper_endpoints", "status", "held")
		is(disabled, "lanekeeper_endpoints", "status", "disabled")
	}
	endpoints(3, 0, 0)
	app.Tell(&second, "hold")
	app.Tell(&idle, "hold")
	endpoints(1, 2, 0)
	app.Restart()
	endpoints(1, 2, 0)

	store(t, app.Client, tenant, `"delivered"`)
	is(1, "lanekeeper_deliveries_total", "tenant_id", tenant, "outcome", "delivered")
	is(0, "lanekeeper_endpoint_lag", "tenant_id", tenant, "endpoint_id", first.ID)
	receiver.Answer(apptest.Answering(http.StatusGone))
	store(t, app.Client, tenant, `"gone"`)
	is(1, "lanekeeper_deliveries_total", "tenant_id", tenant, "outcome", "gone")
	endpoints(0, 2, 1)
	app.Tell(&second, "resume")
	endpoints(0, 1, 2) // it was answered 410, too
	app.DeleteEndpoint(&first)
	app.Delete(tenant)
	endpoints(0, 1, 0)
}
