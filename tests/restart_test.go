package tests

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

func TestRestartRestoresConsumersAndWorkers(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	const tenants = 5
	ids := make([]string, tenants)
	for i := range ids {
		ids[i] = app.CreateTenant("tenant", 0).ID
		app.Resize(ids[i], 2+i)
	}
	inactive := app.CreateTenant("inactive", 0).ID
	app.SetStatus(inactive, "inactive")
	app.Publish(ids[0], `"before"`)
	app.Stored(ids[0], 1)

	app.Stop()
	for _, id := range ids {
		requireUnconsumed(t, app.Probes, id, 0)
	}
	// What comes while the service is away waits.
	for i, id := range ids {
		for n := range 10 * i {
			app.Put(apptest.QueueName(id), "", fmt.Sprint(n))
		}
	}
	app.Start()
	app.Stored(ids[0], 1)
	for i, id := range ids[1:] {
		app.Stored(id, 10*(i+1))
	}
	metrics := app.Metrics()
	for i, id := range ids {
		require.InDelta(t, 2+i, metrics.Value("lanekeeper_workers", "tenant_id", id), 0)
		require.Equal(t, 1, app.Queue(apptest.QueueName(id)).Consumers)
	}
	require.Equal(t, apptest.Queue{Exists: true}, app.Queue(apptest.QueueName(inactive)))
	require.False(t, metrics.Has("lanekeeper_workers", "tenant_id", inactive))
}

// Stopping waits for what the workers have begun: it is stored and
// acknowledged, and does not come again.
func TestStopFinishesWhatHasBegun(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 1).ID
	session := app.NewSession()
	defer session.Close(t.Context())
	tx, err := session.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT 1 FROM tenant_streams WHERE tenant_id = $1 FOR UPDATE`, tenant)
	require.NoError(t, err)
	id := app.Publish(tenant, `"begun"`)
	apptest.Await(t, apptest.Long, func() error {
		return app.Metrics().Is(1, "lanekeeper_workers_busy", "tenant_id", tenant)
	})
	stopped := make(chan struct{})
	go func() { defer close(stopped); app.Stop() }()
	apptest.Await(t, apptest.Long, func() error {
		if _, err := app.Send(t.Context(), "GET", "/healthz", nil); err == nil {
			return apptest.NotYet("stopping")
		}
		return nil
	})
	apptest.Throughout(t, time.Second, func() error {
		if q := app.Queue(apptest.QueueName(tenant)); q.Consumers != 1 {
			return apptest.NotYet("waiting, with its consumer: %+v", q)
		}
		return nil
	})
	require.NoError(t, tx.Rollback(t.Context()))
	apptest.AwaitClosed(t, stopped)
	require.Equal(t, []string{id}, apptest.Query[string](app.Probes, `SELECT id::text FROM messages`))
	requireUnconsumed(t, app.Probes, tenant, 0)
}
