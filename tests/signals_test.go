package tests

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// shutdownLimit is how long the service may take to end.
const shutdownLimit = 20 * time.Second

func TestSIGTERMInMidLoad(t *testing.T) {
	t.Parallel()
	app := apptest.StartProcess(t)
	tenants := createTenants(app.Client, 3)
	load := apptest.StartLoad(t, app.Client, append(tenants, tenants...), 3000)
	load.AwaitEnough()
	app.Signal(syscall.SIGTERM)
	require.NoError(t, app.Exited(shutdownLimit), "exit code 0")
	load.Stop()
	load.RequireNoRefusals(http.StatusServiceUnavailable, http.StatusMultiStatus)
	for _, tenant := range tenants {
		apptest.Await(t, apptest.Long, func() error {
			if q := app.Queue(apptest.QueueName(tenant)); !q.Exists || q.Consumers > 0 {
				return apptest.NotYet("there, without consumers: %+v", q)
			}
			return nil
		})
	}
	app.Start()
	load.RequireStored(app.Probes)
	app.Signal(syscall.SIGTERM)
	require.NoError(t, app.Exited(shutdownLimit))
	requireAllAcknowledged(t, app.Probes, tenants)
}

// Load balancers see that the service is going before it refuses anything.
func TestNotReadyBeforeItRefuses(t *testing.T) {
	t.Parallel()
	app := apptest.StartProcess(t, "SHUTDOWN_DELAY=3s")
	tenant := createTenants(app.Client, 1)[0]
	app.Signal(syscall.SIGTERM)
	apptest.Await(t, apptest.Long, func() error {
		if answer := app.Call("GET", "/readyz", nil); answer.Status != http.StatusServiceUnavailable || !containsStatus(answer, "draining") {
			return apptest.NotYet("draining: %d %s", answer.Status, answer.Body)
		}
		return nil
	})
	app.Publish(tenant, `"in time"`)
	require.NoError(t, app.Exited(shutdownLimit))
	app.Start()
	app.Stored(tenant, 1)
}

// A client that does not come to an end is cut off, and the service ends in
// good order nevertheless.
func TestSIGTERMWhileSomebodyUploads(t *testing.T) {
	t.Parallel()
	app := apptest.StartProcess(t, "SHUTDOWN_TIMEOUT=6s")
	tenant := createTenants(app.Client, 1)[0]
	location, err := url.Parse(app.URL())
	require.NoError(t, err)
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", location.Host)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(apptest.Long)))
	_, err = fmt.Fprintf(conn, "POST /api/messages HTTP/1.1\r\nHost: %s\r\nX-Tenant-ID: %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", location.Host, tenant)
	require.NoError(t, err)
	answer := bufio.NewReader(conn)
	line, err := answer.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 100 Continue\r\n", line, "the body is being read")
	_, err = conn.Write([]byte("{"))
	require.NoError(t, err)

	app.Signal(syscall.SIGTERM)
	require.NoError(t, app.Exited(shutdownLimit), "exit code 0")
	rest, _ := io.ReadAll(answer) // what the kernel says of the end differs
	require.NotContains(t, string(rest), "HTTP/1.1 202", "cut off")
}

func TestSIGKILLInMidLoad(t *testing.T) {
	t.Parallel()
	app := apptest.StartProcess(t)
	tenants := createTenants(app.Client, 3)
	load := apptest.StartLoad(t, app.Client, append(tenants, tenants...), 2000)
	load.AwaitEnough()
	for range 2 {
		app.Kill()
		app.Start()
	}
	load.RequireStored(app.Probes)
	app.Signal(syscall.SIGTERM)
	require.NoError(t, app.Exited(shutdownLimit))
	requireAllAcknowledged(t, app.Probes, tenants)
}

// createTenants creates tenants with different numbers of workers.
func createTenants(c *apptest.Client, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = c.CreateTenant("tenant", 1+i*4).ID
	}
	return ids
}

// requireAllAcknowledged ends the test when anything is left in a queue now
// that has no consumer: what was stored and not acknowledged would be.
func requireAllAcknowledged(t *testing.T, b *apptest.Probes, tenants []string) {
	t.Helper()
	for _, tenant := range tenants {
		requireUnconsumed(t, b, tenant, 0)
	}
}

// requireUnconsumed waits until the broker has noticed that a tenant's consumer
// has left, and ends the test unless so many messages wait then.
func requireUnconsumed(t *testing.T, b *apptest.Probes, tenant string, waiting int) {
	t.Helper()
	var queue apptest.Queue
	apptest.Await(t, apptest.Long, func() error {
		if queue = b.Queue(apptest.QueueName(tenant)); queue.Consumers > 0 {
			return apptest.NotYet("without consumers: %+v", queue)
		}
		return nil
	})
	require.Equal(t, apptest.Queue{Exists: true, Ready: waiting}, queue)
}
