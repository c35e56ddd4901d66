package tests

import (
	"net"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/tests/apptest"
)

// Replicas on one port of one machine, at different addresses, are two.
func TestTwoReplicasOnOnePort(t *testing.T) {
	t.Parallel()
	one := apptest.Boot(t)
	other := apptest.Boot(t, apptest.On(one.Config.Database.URL, one.Config.RabbitMQ.URL), func(c *config.Config) {
		c.AppHost, c.AppPort = "127.0.0.2", port(t, one)
	})
	both := func() error {
		if names := replicaNames(one.Probes); len(names) != 2 {
			return apptest.NotYet("two replicas: %v", names)
		}
		return nil
	}
	apptest.Await(t, apptest.Long, both)
	apptest.Throughout(t, 5*time.Second, both) // each has written its row again
	tenants := createTenants(other.Client, enoughTenants)
	awaitShares(t, []*apptest.App{one, other}, tenants)
}

// A process that is started again takes the place of the one that was killed
// with its first heartbeat, also when it listens on every interface.
func TestSuccessorTakesOverAtOnce(t *testing.T) {
	t.Parallel()
	app := apptest.StartProcess(t, "APP_HOST=0.0.0.0", "APP_PORT="+strconv.Itoa(freePort(t)))
	var before []string
	apptest.Await(t, apptest.Long, func() error {
		if before = replicaNames(app.Probes); len(before) != 1 {
			return apptest.NotYet("one replica: %v", before)
		}
		return nil
	})
	app.Kill()
	require.Equal(t, before, replicaNames(app.Probes), "nobody has removed its row")
	app.Start()
	apptest.Await(t, apptest.Long, func() error {
		now := replicaNames(app.Probes)
		if slices.Equal(now, before) {
			return apptest.NotYet("a successor: %v", now)
		}
		require.Len(t, now, 1, "one after the other")
		return nil
	})
}

// replicaNames returns the names of all replicas that have a row.
func replicaNames(b *apptest.Probes) []string {
	return apptest.Query[string](b, `SELECT name FROM replicas ORDER BY name`)
}

// freePort returns a port that nothing listens on.
func freePort(t *testing.T) int {
	t.Helper()
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "0.0.0.0:0")
	require.NoError(t, err)
	defer listener.Close()
	address, ok := listener.Addr().(*net.TCPAddr)
	require.True(t, ok)
	return address.Port
}
