package tests

import (
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/config"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/pkg/server"
	"lanekeeper/tests/apptest"
)

// probes is how many health checks come at once: those of an orchestrator, of
// a load balancer, of people.
const probes = 10

// Servers that the service can do without do not take it out of service, also
// when they hang instead of being gone, and all of them at once.
func TestHealthCheckWhileServersHang(t *testing.T) {
	t.Parallel()
	database, redis := devtest.PrivatePostgres(t), devtest.PrivateRedis(t)
	app := apptest.Boot(t, apptest.On(database.URL(), devtest.RabbitMQ(t)), func(c *config.Config) {
		c.Redis.URL = redis.URL()
		c.RabbitMQ.FileLimit = 20000 // one more thing that is asked for
	})
	app.CreateTenant("tenant", 1)
	requireHealthy(t, app, "ready")
	redis.Pause()
	requireHealthy(t, app, "degraded")
	database.Pause()
	requireHealthy(t, app, "degraded")
	redis.Resume()
	database.Resume()
	requireHealthy(t, app, "ready")
}

// The health check asks where the service listens.
func TestHealthCheckFollowsTheHost(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.0.2", "0.0.0.0"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			app := apptest.Boot(t, func(c *config.Config) { c.AppHost = host })
			requireHealthy(t, app, "ready")
		})
	}
}

// requireHealthy ends the test unless /readyz has this word before long, and
// health checks succeed in the time they have.
func requireHealthy(t *testing.T, app *apptest.App, word string) {
	t.Helper()
	requireReadiness(t, app, http.StatusOK, word)
	c := app.Config
	c.AppPort = port(t, app)
	begun := time.Now()
	var checks errgroup.Group
	for range probes {
		checks.Go(func() error { return server.CheckHealth(t.Context(), c) })
	}
	require.NoError(t, checks.Wait(), word)
	t.Log(word, "told after", time.Since(begun))
}

// port returns where an instance listens that was free to choose.
func port(t *testing.T, app *apptest.App) int {
	t.Helper()
	location, err := url.Parse(app.URL())
	require.NoError(t, err)
	number, err := strconv.Atoi(location.Port())
	require.NoError(t, err)
	return number
}
