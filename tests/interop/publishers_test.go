//go:build interop

package interop

import (
	"encoding/json"
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
	amqpPage   = "../../docs/amqp.md"
	npmAMQPLib = "amqplib@2.3.1"
	// systemPython is the one that has the modules of the system's packages.
	systemPython = "/usr/bin/python3"
	// javaClient is where the system's packages have RabbitMQ's client for Java, and what that needs.
	javaClient = "/usr/share/java/amqp-client.jar:/usr/share/java/slf4j-api.jar"
)

// What the page about AMQP shows publishes with the credentials of a tenant, twice, and
// is stored once; and fails when the tenant is gone.
func TestPublishers(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.ManagingUsers(t))
	for name, command := range publishers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tenant := app.CreateTenant(name, 1).ID
			c := app.IssueAMQP(tenant)
			address, err := url.Parse(c.URL)
			require.NoError(t, err)
			address.User = url.UserPassword(c.Username, c.Password)
			run := func() (string, error) {
				program := exec.CommandContext(t.Context(), command[0], command[1:]...)
				program.Env = append(os.Environ(), "AMQP_URL="+address.String(), "EXCHANGE="+c.Exchange)
				said, err := program.CombinedOutput()
				return string(said), err
			}
			for range 2 {
				said, err := run()
				require.NoError(t, err, said)
				require.Contains(t, said, "confirmed")
			}
			stored := app.Stored(tenant, 3)
			require.JSONEq(t, `{"order":1842}`, string(stored[0].Payload))
			commands := blocksOf(t, amqpPage, "sh")
			require.Len(t, commands, 1)
			shown := output(t, t.TempDir(), "bash", "-c", "set -eu; curl() { command curl -sS --fail-with-body \"$@\"; }; api="+app.URL()+"/api tenant="+tenant+"; "+commands[0])
			var found struct {
				ID, Type    string
				OrderingKey string `json:"ordering_key"`
				Headers     map[string]string
			}
			require.NoError(t, json.Unmarshal([]byte(shown), &found))
			require.Equal(t, stored[0].ID, found.ID)
			require.Equal(t, "order.created", found.Type)
			require.Equal(t, "customer-7", found.OrderingKey)
			require.Equal(t, map[string]string{"source": "shop"}, found.Headers)
			app.Want(http.StatusNoContent, nil, "DELETE", apptest.AMQPPath(tenant), nil)
			said, err := run()
			require.Error(t, err, "the credentials were revoked: %s", said)
			require.NotContains(t, said, "confirmed 184")
		})
	}
}

// publishers returns the programs of the page, as commands, by name.
func publishers(t *testing.T) map[string][]string {
	t.Helper()
	dir := install(t, npmAMQPLib)
	write := func(name, language string) string {
		programs := blocksOf(t, amqpPage, language)
		require.Len(t, programs, 1)
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(strings.Join(programs, "")), 0o600))
		return path
	}
	program := filepath.Join(dir, "publisher")
	output(t, "../..", "go", "build", "-o", program, write("main.go", "go"))
	classes := t.TempDir()
	output(t, dir, "javac", "-cp", javaClient, "-d", classes, write("Publisher.java", "java"))
	return map[string][]string{
		"amqp091-go": {program},
		"amqplib":    {"node", write("publisher.mjs", "js")},
		"java":       {"java", "-cp", javaClient + ":" + classes, "Publisher"},
		"pika":       {systemPython, write("publisher.py", "python")},
	}
}
