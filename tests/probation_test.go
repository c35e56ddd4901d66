package tests

import (
	"net/http"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/tests/apptest"
)

// A broker that is killed right after queues were declared may come back with
// queues that neither confirm nor can be consumed. They are repaired, and other
// tenants notice nothing.
func TestBrokerKilledRightAfterDeclaring(t *testing.T) {
	t.Parallel()
	server := devtest.PrivateRabbitMQ(t)
	app := apptest.Boot(t, apptest.On(devtest.Postgres(t), server.URL()))
	old := app.CreateTenant("old", 1).ID
	server.Stop()
	server.Start()
	requireReadiness(t, app, http.StatusOK, "ready")
	tenants := append(createTenants(app.Client, 8), old)
	server.Kill()
	server.Start()
	requireReadiness(t, app, http.StatusOK, "ready")
	for _, tenant := range []string{old, old} {
		app.Publish(tenant, `"not disturbed"`)
	}
	app.Stored(old, 2)
	for _, tenant := range tenants {
		apptest.Await(t, 2*apptest.Long, func() error {
			_, err := app.TryPublish(t.Context(), tenant, `"accepted again"`)
			return err
		})
	}
	for _, tenant := range tenants {
		apptest.Await(t, apptest.Long, func() error {
			if len(app.Page(tenant, "").Data) == 0 {
				return apptest.NotYet("stored")
			}
			return nil
		})
	}
}

// A message that the AMQP library cannot read ends the connection it is
// delivered on, again and again. Only its own tenant may suffer from that.
func TestUnreadableHeadersHoldUpNobody(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant, other := app.CreateTenant("strange", 1).ID, app.CreateTenant("other", 1).ID
	deep := amqp.Table{"end": "here"}
	for range 40 { // the library reads 32 levels
		deep = amqp.Table{"in": deep}
	}
	app.PutAll(apptest.QueueName(tenant), []amqp.Publishing{{Headers: deep, Body: []byte("1")}})
	app.Publish(other, `"both connections are lost once"`)
	app.Stored(other, 1)
	const messages = 10
	for n := range messages {
		begun := time.Now()
		app.Publish(other, `"on time"`)
		app.Stored(other, n+2)
		require.Less(t, time.Since(begun), promptly)
	}
}
