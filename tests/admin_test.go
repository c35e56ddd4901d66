package tests

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/pkg/server"
	"lanekeeper/tests/apptest"
)

// Who looks inside does it at the admin port, and at the port of the API only
// where that is wanted.
func TestWhereMetricsAre(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*config.Config)
		onApp  int
	}{
		"in production":          {func(c *config.Config) { c.Environment = "production" }, http.StatusNotFound},
		"in production, public":  {func(c *config.Config) { c.Environment, c.Metrics.Public = "production", true }, http.StatusOK},
		"with a secret":          {func(*config.Config) {}, http.StatusNotFound},
		"in open mode":           {func(c *config.Config) { c.JWTSecret = "" }, http.StatusOK},
		"with nothing for admin": {func(c *config.Config) { c.AdminPort = 0 }, http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := apptest.Boot(t, apptest.WithSecret(), func(o *config.Config) {
				o.Metrics.Public, o.AdminPort = false, freePort(t)
				c.change(o)
			})
			require.Equal(t, c.onApp, app.Call("GET", "/metrics", nil).Status)
			for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/api/debug/pprof/", "/api/metrics"} {
				app.Refused(http.StatusNotFound, "route_not_found", "GET", path, nil)
			}
			if app.Config.AdminPort == 0 {
				return
			}
			admin := app.At(fmt.Sprintf("http://127.0.0.1:%d", app.Config.AdminPort))
			require.Positive(t, admin.Metrics().Value("go_goroutines"))
			require.Contains(t, string(admin.Want(http.StatusOK, nil, "GET", "/debug/pprof/", nil).Body), "goroutine")
			require.NotEmpty(t, admin.Want(http.StatusOK, nil, "GET", "/debug/pprof/heap", nil).Body)
			if name == "in production" { // one at a time in a process
				require.NotEmpty(t, admin.Want(http.StatusOK, nil, "GET", "/debug/pprof/profile?seconds=1", nil).Body)
			}
			for _, path := range []string{"/", "/tenants", "/api/tenants", "/readyz"} {
				require.Equal(t, http.StatusNotFound, admin.Call("GET", path, nil).Status, "%s is not for here", path)
			}
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, admin.URL()+"/metrics", nil)
			require.NoError(t, err)
			request.Host = "evil.example"
			answer, err := http.DefaultClient.Do(request)
			require.NoError(t, err)
			require.NoError(t, answer.Body.Close())
			require.Equal(t, http.StatusForbidden, answer.StatusCode, "a page could read it by DNS rebinding")
		})
	}
}

// On all interfaces it answers whatever name it is called by: Prometheus has
// addresses of pods.
func TestAdminPortForOthers(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, func(c *config.Config) { c.AdminHost, c.AdminPort = "0.0.0.0", freePort(t) })
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.2:%d/metrics", app.Config.AdminPort), nil)
	require.NoError(t, err)
	request.Host = "pod-1.example"
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode)
}

// A port that is taken is named as it is configured, and leaves the other one
// free.
func TestTakenPortsAreNamed(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, func(c *config.Config) { c.AdminPort = freePort(t) })
	taken := port(t, app)
	c := app.Config
	c.AppPort = taken
	_, err := server.New(c, slog.New(slog.DiscardHandler), io.Discard)
	require.ErrorContains(t, err, "app_host (APP_HOST) and app_port (APP_PORT)")
	c.AppPort = freePort(t)
	for range 2 { // the second time finds the port of the API free again
		_, err = server.New(c, slog.New(slog.DiscardHandler), io.Discard)
		require.ErrorContains(t, err, "admin_host (ADMIN_HOST) and admin_port (ADMIN_PORT)")
	}
}
