//go:build interop

package interop

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// Linters and generators of clients from npm, with these versions.
const (
	npmRedocly           = "@redocly/cli@2.77.0"
	npmSpectral          = "@stoplight/spectral-cli@6.16.3"
	npmOpenAPITypeScript = "openapi-typescript@7.13.0"
	npmOpenAPIFetch      = "openapi-fetch@0.17.0"
	npmTypeScript        = "typescript@5.9.3"
	npmNodeTypes         = "@types/node@20.19.25"
)

// description is what clients are generated of.
const description = "../../docs/openapi.json"

// absolute returns the whole path of a file of the repository.
func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	require.NoError(t, err)
	return path
}

// Linters find nothing in the description, warnings included, but for what their
// configurations leave out with a reason.
func TestLinters(t *testing.T) {
	t.Parallel()
	dir := install(t, npmRedocly, npmSpectral)
	for name, command := range map[string][]string{
		"redocly":  {"env", "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true", "node_modules/.bin/redocly", "lint", "--format=json", "--config", absolute(t, "../../docs/redocly.yaml")},
		"spectral": {"node_modules/.bin/spectral", "lint", "--fail-severity=hint", "--ruleset", absolute(t, "../../docs/spectral.yaml")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said := output(t, dir, append(command, absolute(t, description))...)
			t.Log(said)
			if name == "redocly" { // which succeeds with warnings
				require.Contains(t, said, `"warnings": 0`)
			}
		})
	}
}

// Clients that others' tools generate compile, and go through the main flow.
func TestGeneratedClients(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret())
	app.AddUser("ada@example.com", "member", "")
	environment := []string{"env", "BASE_URL=" + app.URL() + "/api", "EMAIL=ada@example.com", "PASSWORD=" + apptest.Password}
	program := func(t *testing.T, name string) (dir string) {
		dir = t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))))
		return dir
	}
	t.Run("oapi-codegen", func(t *testing.T) {
		t.Parallel()
		dir := program(t, "oapi-codegen")
		require.NoError(t, os.Mkdir(filepath.Join(dir, "lane"), 0o700))
		output(t, dir, "go", "tool", "oapi-codegen", "-generate", "types,client", "-package", "lane", "-o", "lane/lane.go", absolute(t, description))
		output(t, dir, "go", "build", "-o", "generated", ".")
		require.Contains(t, output(t, dir, append(environment, "./generated")...), "all done")
	})
	t.Run("openapi-fetch", func(t *testing.T) {
		t.Parallel()
		dir := program(t, "openapi-fetch")
		installInto(t, dir, npmOpenAPITypeScript, npmOpenAPIFetch, npmTypeScript, npmNodeTypes)
		output(t, dir, "node_modules/.bin/openapi-typescript", absolute(t, description), "-o", "lane.d.ts")
		output(t, dir, "node_modules/.bin/tsc")
		require.Contains(t, output(t, dir, append(environment, "node", "out/main.js")...), "all done")
	})
}
