package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/pkg/client"
	"lanekeeper/tests/apptest"
)

// A file of tenants is compared with what there is, printed, carried out, and then there
// is nothing left to do.
func TestTenantsApply(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, func(c *config.Config) { c.Limits.TenantsPerMinute = 0 })
	file := filepath.Join(t.TempDir(), "tenants.ndjson")
	apply := func(args ...string) apptest.Result {
		return apptest.RunCommand(t, app.URL(), nil, append([]string{"tenants", "apply", file}, args...)...)
	}
	write := func(lines ...string) {
		require.NoError(t, os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600))
	}
	unnamed := app.CreateTenant("not in the file", 1)
	var lines []string
	for n := range 30 {
		lines = append(lines, fmt.Sprintf(`{"external_id":"customer/%d","name":"Customer %d","workers":2,"metadata":{"plan":"pro"}}`, n, n))
	}
	write(append(lines, "", "  ")...)

	planned := apply()
	require.Contains(t, done(t, planned), "make    customer/7   -        Customer 7\n")
	require.Contains(t, planned.Err, "30 to be made, 0 to be changed, 0 as they are to be\nlanekeeper: nothing was done; --yes carries it out\n")
	require.Equal(t, 1, apptest.QueryRow[int](app.Probes, `SELECT count(*)::int FROM tenants`))

	carried := apply("--yes", "-o", "json")
	require.Contains(t, done(t, carried), `{"action":"make","external_id":"customer/29","name":"Customer 29"}`)
	require.Contains(t, carried.Err, "30 of 30 done")
	again := apply("--yes")
	require.Empty(t, done(t, again))
	require.Contains(t, again.Err, "0 to be made, 0 to be changed, 30 as they are to be\n")

	lines[3] = `{"external_id":"customer/3","name":"Customer Three","description":"","workers":5,"status":"inactive","retention_days":7,"metadata":{}}`
	lines = append(lines[:20], `{"external_id":"new","name":"New"}`)
	write(lines...)
	require.Equal(t, "ACTION  EXTERNAL ID  CHANGES                                      NAME\n"+
		"change  customer/3   name status workers retention_days metadata  Customer Three\n"+
		"make    new          -                                            New\n", done(t, apply("--yes")))
	require.Empty(t, done(t, apply()))
	api := app.API("")
	changed, err := api.Tenants.Get(t.Context(), "ext:customer/3")
	require.NoError(t, err)
	require.Equal(t, "Customer Three", changed.Name)
	require.Equal(t, client.TenantInactive, changed.Status)
	require.Equal(t, []int{5, 7}, []int{changed.Workers, changed.RetentionDays})
	require.Empty(t, changed.Metadata)
	untouched, err := api.Tenants.Get(t.Context(), unnamed.ID)
	require.NoError(t, err)
	require.Equal(t, "not in the file", untouched.Name)
	require.Equal(t, 32, apptest.QueryRow[int](app.Probes, `SELECT count(*)::int FROM tenants`), "what the file no longer has stays")
	pro := done(t, apptest.RunCommand(t, app.URL(), nil, "tenants", "list", "--metadata", "plan=pro", "-o", "id"))
	require.Equal(t, 29, strings.Count(pro, "\n"))

	for line, says := range map[string]string{
		`{"name":"x"}`:        "line 2: external_id is missing",
		`{"external_id":"x"}`: "line 2: name is missing",
		`{"external_id":"x","name":"x","colour":1}`: `line 2: not a tenant: json: unknown field "colour"`,
		`{"external_id":"x","name":"x"} {}`:         "line 2: more than one JSON document",
		`not JSON`:                                  "line 2: not a tenant",
		lines[0]:                                    `line 2: external_id "customer/0" is in line 1, too`,
		`{"external_id":"x","name":"x","workers":1000}`:      `tenant "x": invalid`,
		`{"external_id":"x","name":"x","status":"sleeping"}`: `tenant "x": invalid`,
	} {
		write(lines[0], line)
		refused := apply("--yes")
		require.Equal(t, 1, refused.Status, line)
		require.Contains(t, refused.Err, says, line)
	}
	require.Zero(t, apptest.QueryRow[int](app.Probes, `SELECT count(*)::int FROM tenants WHERE external_id = 'x'`))
}
