package tests

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/tests/apptest"
)

// Policies by which accepted messages go away are told of: where the management
// API is configured as soon as they are set, else when messages have died.
func TestPoliciesThatShortenTheLifeOfMessages(t *testing.T) {
	t.Parallel()
	v := devtest.NewVirtualHost(t)
	v.SetPolicy("short", "^tenant_.*_queue$", map[string]any{"message-ttl": 50, "expires": 3_600_000})
	v.SetOperatorPolicy("few letters", "^tenant_.*_dlq$", map[string]any{"max-length": 1000})
	app := apptest.New(t, apptest.On(devtest.Postgres(t), v.URL), func(c *config.Config) { c.RabbitMQ.ManagementURL = v.ManagementURL })
	app.UseServers(app.Config.Database.URL, v.Admin())
	app.Start()
	tenant := app.CreateTenant("short-lived", 1).ID
	app.Restart() // it looks at once
	apptest.Await(t, apptest.Long, func() error {
		if err := app.Metrics().Is(1, "lanekeeper_shortened_queues", "setting", "message-ttl"); err != nil {
			return err
		}
		return app.Metrics().Is(1, "lanekeeper_shortened_queues", "setting", "max-length")
	})
	require.Len(t, app.Warned("a policy of the broker makes accepted messages go away"), 3)

	found, err := examine(t, app)
	require.Error(t, err)
	require.Len(t, found, 3, "%v", found)
	for i, setting := range []string{"max-length", "expires", "message-ttl"} {
		require.Equal(t, tenant, found[i].tenant)
		require.Contains(t, found[i].problem, setting)
	}

	// Without the management API what died tells.
	app.Want(202, nil, "DELETE", "/consumers/"+tenant, nil)
	app.Put(apptest.QueueName(tenant), uuid.NewString(), `"never stored"`)
	apptest.Await(t, apptest.Long, func() error {
		if n := app.Queue(apptest.DeadLetterQueueName(tenant)).Ready; n != 1 {
			return apptest.NotYet("dead: %d", n)
		}
		return nil
	})
	app.Want(202, nil, "POST", "/consumers/"+tenant, nil)
	apptest.Await(t, apptest.Long, func() error {
		return app.Metrics().Is(1, "lanekeeper_broker_deaths_total", "reason", "expired")
	})
	app.Config.RabbitMQ.ManagementURL = ""
	found, err = examine(t, app)
	require.Error(t, err)
	require.Len(t, found, 1, "%v", found)
	require.Contains(t, found[0].problem, "1 dead letters died in a queue by age (expired)")
}
