//go:build interop

package interop

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

const npmNewman = "newman@6.2.2"

// The tour of the Postman collection goes through, in open mode and by logging in, at a
// receiver that refuses what it is sent.
func TestPostman(t *testing.T) {
	t.Parallel()
	dir := install(t, npmNewman)
	collection := absolute(t, "../../docs/postman/lanekeeper.postman_collection.json")
	environment := absolute(t, "../../docs/postman/lanekeeper.postman_environment.json")
	for name, options := range map[string][]apptest.Option{"open mode": nil, "login": {apptest.WithSecret()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := apptest.Boot(t, append(options, apptest.Delivering())...)
			receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusMethodNotAllowed))
			command := []string{
				"node_modules/.bin/newman", "run", collection, "--folder", "Tour", "--environment", environment, "--color", "off", "--timeout", "60000",
				"--env-var", "base_url=" + app.URL() + "/api", "--env-var", "receiver_url=" + receiver.URL(),
			}
			if options != nil {
				app.AddUser("ada@example.com", "admin", "")
				command = append(command, "--env-var", "email=ada@example.com", "--env-var", "password="+apptest.Password)
			}
			t.Log(output(t, dir, command...))
			require.NotEmpty(t, receiver.Received())
		})
	}
}
