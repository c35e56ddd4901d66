package tests

import (
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
	database := devtest.PrivatePostgres(t)
	app := apptest.StartProcessOn(t, database.URL(), devtest.RabbitMQ(t), "SHUTDOWN_TIMEOUT=10s")
	tenants := createTenants(app.Client, 3)
	for _, tenant := range tenants {
		app.PublishAll(tenant, numbered(20))
		app.Stored(tenant, 20)
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
}
