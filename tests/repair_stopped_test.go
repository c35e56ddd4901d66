package tests

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/tests/apptest"
)

// A queue that was deleted by hand comes back also where no consumer would notice.
func TestQueueOfAStoppedTenantDeletedByHand(t *testing.T) {
	t.Parallel()
	stop := func(app *apptest.App, tenant string) {
		app.Want(http.StatusAccepted, nil, "DELETE", "/consumers/"+tenant, nil)
	}
	stopAll := func(app *apptest.App, _ string) {
		app.Want(http.StatusAccepted, nil, "DELETE", "/consumers", nil)
	}
	start := func(app *apptest.App, tenant string) {
		app.Want(http.StatusAccepted, nil, "POST", "/consumers/"+tenant, nil)
	}
	startAll := func(app *apptest.App, _ string) {
		app.Want(http.StatusAccepted, nil, "POST", "/consumers", nil)
	}
	for name, c := range map[string]struct {
		queueType   string
		stop, start func(app *apptest.App, tenant string)
		publishes   bool
	}{
		"publishing":              {"quorum", stop, start, true},
		"publishing, classic":     {"classic", stop, start, true},
		"publishing, all stopped": {"quorum", stopAll, startAll, true},
		"starting":                {"quorum", stop, start, false},
		"starting all":            {"quorum", stopAll, startAll, false},
		"activating": {
			"quorum", func(app *apptest.App, tenant string) { app.SetStatus(tenant, "inactive") },
			func(app *apptest.App, tenant string) { app.SetStatus(tenant, "active") }, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := apptest.Boot(t, func(config *config.Config) { config.RabbitMQ.QueueType = c.queueType })
			tenant := app.CreateTenant("robbed", 1).ID
			c.stop(app, tenant)
			queue := apptest.QueueName(tenant)
			apptest.Await(t, apptest.Long, func() error {
				if n := app.Queue(queue).Consumers; n > 0 {
					return apptest.NotYet("no consumers: %d", n)
				}
				return nil
			})
			app.DeleteQueue(queue)
			app.DeleteQueue(apptest.DeadLetterQueueName(tenant))
			sent := 0
			if c.publishes {
				apptest.Await(t, apptest.Long, func() error {
					_, err := app.TryPublish(t.Context(), tenant, `"while stopped"`)
					return err
				})
				sent++
				require.True(t, app.Queue(apptest.DeadLetterQueueName(tenant)).Exists)
			}
			c.start(app, tenant)
			apptest.Await(t, apptest.Long, func() error { return converged(app, tenant) })
			app.Publish(tenant, `"after"`)
			app.Stored(tenant, sent+1)
		})
	}
}
