package tests

import (
	"fmt"
	"net/http"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// A queue that was deleted by hand: nothing is accepted that would be lost, other
// tenants notice nothing, and the queue comes back.
func TestQueueDeletedByHand(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant, other := app.CreateTenant("robbed", 0).ID, app.CreateTenant("other", 0).ID
	app.Publish(tenant, `"before"`)
	app.Stored(tenant, 1)
	app.DeleteQueue(apptest.QueueName(tenant))
	sent := []string{}
	apptest.Await(t, apptest.Long, func() error {
		id, err := app.TryPublish(t.Context(), tenant, `"after"`)
		if err == nil {
			sent = append(sent, id)
		}
		return err
	})
	app.Stored(tenant, 1+len(sent))
	apptest.Await(t, apptest.Long, func() error { return converged(app, tenant) })
	app.Publish(other, `"not disturbed"`)
	app.Stored(other, 1)
}

// A queue that is deleted and declared again in the same breath: where the broker
// forgets its consumer without a word, that finds out by itself.
func TestQueueDeletedAndMadeAgainByHand(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	var tenants []string
	for n := range 8 {
		tenants = append(tenants, app.CreateTenant(fmt.Sprintf("robbed %d", n), 1).ID)
	}
	ch := app.Channel()
	for _, tenant := range tenants {
		_, err := ch.QueueDelete(apptest.QueueName(tenant), false, false, true)
		require.NoError(t, err)
		_, err = ch.QueueDeclare(apptest.QueueName(tenant), true, false, false, false, amqp.Table{
			"x-queue-type": "quorum", "x-single-active-consumer": true,
		})
		require.NoError(t, err)
	}
	for _, tenant := range tenants {
		app.Publish(tenant, `"after"`)
	}
	for _, tenant := range tenants {
		app.Stored(tenant, 1)
	}
}

func TestDeadLetterQueueDeletedByHand(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.LeaveDeadLetters())
	tenant := app.CreateTenant("robbed", 1).ID
	app.DeleteQueue(apptest.DeadLetterQueueName(tenant))
	app.Put(apptest.QueueName(tenant), "", "poison")
	for n := range 5 {
		app.Put(apptest.QueueName(tenant), "", fmt.Sprint(n))
	}
	app.Stored(tenant, 5)
	apptest.Await(t, apptest.Long, func() error { return converged(app, tenant) })
	require.Equal(t, "poison", string(app.Take(apptest.DeadLetterQueueName(tenant), 1)[0].Body))
}

// A partition that was dropped by hand is made again, and what waited for it is
// stored.
func TestPartitionDroppedByHand(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant, other := app.CreateTenant("robbed", 0).ID, app.CreateTenant("other", 0).ID
	app.Publish(tenant, `"gone"`)
	app.Stored(tenant, 1)
	app.Exec(`DROP TABLE ` + apptest.PartitionName(tenant))
	app.Publish(tenant, `"kept"`)
	app.Publish(other, `"not disturbed"`)
	app.Stored(other, 1)
	apptest.Await(t, apptest.Long, func() error {
		var page apptest.Page
		app.Want(http.StatusOK, &page, "GET", "/messages", nil, apptest.ForTenant(tenant))
		if len(page.Data) != 1 || string(page.Data[0].Payload) != `"kept"` {
			return apptest.NotYet("stored: %+v", page)
		}
		return nil
	})
	app.RequireNoDeadLetters(tenant)
}

// A tenant whose rows are locked waits; no other does.
func TestLockedTenantHoldsUpNobody(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	locked, other := app.CreateTenant("locked", 2).ID, app.CreateTenant("other", 2).ID
	session := app.NewSession()
	defer session.Close(t.Context())
	tx, err := session.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT 1 FROM tenant_streams WHERE tenant_id = $1 FOR UPDATE`, locked)
	require.NoError(t, err)
	sent := app.PublishAll(locked, numbered(700))
	for n := range 30 {
		app.Publish(other, fmt.Sprint(n))
		app.Publish(locked, fmt.Sprint(n))
	}
	app.Stored(other, 30)
	app.Stored(locked, 0)
	require.NoError(t, tx.Rollback(t.Context()))
	app.Stored(locked, len(sent)+30)
	app.RequireNoDeadLetters(locked)
}
