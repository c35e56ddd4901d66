//go:build interop

package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

const (
	rulesPath     = "../../deploy/prometheus"
	dashboardPath = "../../deploy/grafana/dashboards/lanekeeper.json"
	// onlyOfBacklogs is the panel that is empty while nothing waits.
	onlyOfBacklogs = "Time that they take"
)

// Promtool takes rules, alerts and configuration, and every alert fires when it should,
// and not before.
func TestAlerts(t *testing.T) {
	t.Parallel()
	for _, arguments := range [][]string{
		{"check", "rules", "rules.yml", "alerts.yml"},
		{"check", "config", "prometheus.yml"},
		{"test", "rules", "alerts_test.yml"},
	} {
		output(t, rulesPath, append([]string{"promtool"}, arguments...)...)
	}
}

// prometheus is a server that scrapes a service every second.
type prometheus struct {
	t   *testing.T
	url string
}

// startPrometheus starts one with the rules and alerts, and ends it with the test.
func startPrometheus(t *testing.T, service string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	rules, err := filepath.Abs(rulesPath)
	require.NoError(t, err)
	target, err := url.Parse(service)
	require.NoError(t, err)
	configuration := fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q, %q]
scrape_configs: [{job_name: lanekeeper, static_configs: [{targets: [%q]}]}]
`, filepath.Join(rules, "rules.yml"), filepath.Join(rules, "alerts.yml"), target.Host)
	file := filepath.Join(dir, "prometheus.yml")
	require.NoError(t, os.WriteFile(file, []byte(configuration), 0o600))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	var said strings.Builder
	server := exec.CommandContext(t.Context(), "prometheus", "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	server.Stdout, server.Stderr = &said, &said
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Wait() // the end of the test's context has ended it
		if t.Failed() {
			t.Log(said.String())
		}
	})
	return &prometheus{t: t, url: "http://" + address}
}

// ask asks the API of the server.
func (p *prometheus) ask(path string, data any) error {
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+path, nil)
	require.NoError(p.t, err)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return apptest.NotYet("prometheus answers: %v", err)
	}
	defer response.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return apptest.NotYet("prometheus is ready: %v", err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", path, answer.Error)
	}
	return nil
}

// values returns how many series an expression has.
func (p *prometheus) values(expression string) (int, error) {
	var data struct{ Result []json.RawMessage }
	err := p.ask("/api/v1/query?query="+url.QueryEscape(expression), &data)
	return len(data.Result), err
}

// A real Prometheus scrapes the service, takes rules and alerts, of which none fires,
// and has something to show in every panel of the dashboard.
func TestDashboard(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(dashboardPath)
	require.NoError(t, err)
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &dashboard))

	app := apptest.Boot(t, apptest.Delivering())
	receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusNoContent))
	tenant := app.CreateTenant("Acme", 1).ID
	app.CreateEndpoint(tenant, receiver.URL(), nil)
	p := startPrometheus(t, app.URL())
	// No series has a rate before its second sample.
	apptest.Await(t, apptest.Long, func() error {
		app.Publish(tenant, `{"measured":true}`)
		for _, panel := range dashboard.Panels {
			for _, target := range panel.Targets {
				n, err := p.values(strings.ReplaceAll(target.Expr, "$__rate_interval", "1m"))
				switch {
				case err != nil && !errors.Is(err, apptest.ErrNotYet):
					t.Fatalf("%s: %v", panel.Title, err)
				case n == 0 && panel.Title != onlyOfBacklogs:
					return apptest.NotYet("%s shows something: %s", panel.Title, target.Expr)
				}
			}
		}
		return nil
	})
	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError, State string }
		}
	}
	require.NoError(t, p.ask("/api/v1/rules", &rules))
	n := 0
	for _, group := range rules.Groups {
		for _, r := range group.Rules {
			n++
			require.Equal(t, "ok", r.Health, "%s: %s", r.Name, r.LastError)
			require.NotEqual(t, "firing", r.State, r.Name)
		}
	}
	require.Greater(t, n, 30)
}
