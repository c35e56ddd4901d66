package tests

import (
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/tests/apptest"
)

// A database that does not answer must not keep the service from ending in
// time, whatever waits for it.
func TestShutdownWithAFrozenDatabase(t *testing.T) {
	t.Parallel()
	for _, hanging := range []bool{false, true} {
		name := "alone"
		if hanging {
			name = "and a hanging endpoint"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var receiver *apptest.Receiver
			receiver = apptest.NewReceiver(t, func(_ http.ResponseWriter, r *http.Request) { receiver.Hold(r, nil) })
			database := devtest.PrivatePostgres(t)
			app := apptest.StartProcessOn(t, database.URL(), devtest.RabbitMQ(t), "TRANSMIT_ALLOW_PRIVATE=true", "SHUTDOWN_TIMEOUT=10s")
			tenants := createTenants(app.Client, 3)
			if hanging {
				app.SetEndpoint(tenants[0], receiver.URL(), 15*time.Second)
			}
			for _, tenant := range tenants {
				app.PublishAll(tenant, numbered(20))
				app.Stored(tenant, 20)
			}
			if hanging {
				receiver.AwaitAtOnce(1)
			}
			database.Pause()
			defer database.Resume()
			for _, tenant := range tenants {
				app.PublishAll(tenant, numbered(20))
			}
			begun := time.Now()
			app.Signal(syscall.SIGTERM)
			require.NotErrorIs(t, app.Exited(15*time.Second), apptest.ErrNotYet)
			t.Log("ended after", time.Since(begun))
		})
	}
}
