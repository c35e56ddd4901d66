//go:build browser

package browser

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/tests/apptest"
)

const (
	// commandLimit is how long a command may take; npm brings packages from elsewhere.
	commandLimit = 5 * time.Minute
	// rootEmail is the admin of the services of scripts.
	rootEmail = "root@example.com"
)

// Every module of the console is checked, with types made of docs/openapi.json.
func TestTypes(t *testing.T) {
	t.Parallel()
	dir := workspace(t)
	out, err := command(t, dir, nil, "npx", "--no-install", "tsc", "--project", ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// Every script passes, each against a service of its own. Those that begin with "open"
// have one in open mode, those that end in "amqp" one that manages users of the broker,
// and those that begin with "elsewhere" one that knows pages of another origin.
func TestScripts(t *testing.T) {
	t.Parallel()
	dir := workspace(t)
	scripts, err := filepath.Glob("scripts/*.test.mjs")
	require.NoError(t, err)
	require.NotEmpty(t, scripts)
	pictures := pictureDir(t)
	for _, script := range scripts {
		name := strings.TrimSuffix(filepath.Base(script), ".test.mjs")
		t.Run(name, func(t *testing.T) {
			settings := func(c *config.Config) {
				c.Log.Requests = "errors" // each module is a request
				c.Delivery.ProbeInterval = 5 * time.Second
			}
			options := []apptest.Option{apptest.Delivering(), settings}
			if !strings.HasPrefix(name, "open") {
				options = append(options, apptest.WithSecret())
			}
			if strings.HasSuffix(name, "amqp") {
				options = append(options, apptest.ManagingUsers(t))
			}
			var others []string
			if strings.HasPrefix(name, "elsewhere") {
				e := newElsewhere(t)
				options, others = append(options, e.allow), e.environment()
			}
			app := apptest.Boot(t, options...)
			if !strings.HasPrefix(name, "open") {
				app.AddUser(rootEmail, "admin", "")
			}
			front := newFront(t, app)
			environment := []string{
				"LANEKEEPER_URL=" + front.url(), "LANEKEEPER_CONTROL=" + front.controlURL(),
				"LANEKEEPER_EMAIL=" + rootEmail, "LANEKEEPER_PASSWORD=" + apptest.Password, "PICTURES=" + pictures,
			}
			front.serveWhile(t, command(t, dir, append(environment, others...), "node", "--test", "--test-reporter=spec", filepath.Join("scripts", filepath.Base(script))))
		})
	}
}

// pictureDir returns where pictures go: PICTURES, which is relative to the repository, or
// nowhere that lasts.
func pictureDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("PICTURES")
	switch {
	case dir == "":
		return t.TempDir()
	case filepath.IsAbs(dir):
		return dir
	}
	dir, err := filepath.Abs(filepath.Join("../..", dir))
	require.NoError(t, err)
	return dir
}

// workspace returns a directory with the scripts, the console's modules and what npm has
// for both.
func workspace(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(dir, "static"), os.DirFS("../../console/static")))
	require.NoError(t, os.CopyFS(filepath.Join(dir, "scripts"), os.DirFS("scripts")))
	for from, to := range map[string]string{
		"package.json": "package.json", "tsconfig.json": "tsconfig.json",
		"../../clients/typescript/src/types.ts": "static/types/api.d.ts", // which has them from there
	} {
		content, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, to), content, 0o600))
	}
	out, err := command(t, dir, nil, "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--prefer-offline").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return dir
}

// command returns a command that ends with the test.
func command(t *testing.T, dir string, environment []string, words ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandLimit)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.Dir, c.Env = dir, append(os.Environ(), environment...)
	c.WaitDelay = 5 * time.Second
	return c
}

// output is what a command prints.
func output(c *exec.Cmd) *bytes.Buffer {
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	return &out
}
