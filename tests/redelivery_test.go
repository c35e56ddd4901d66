package tests

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// However often the same id comes, there is one row, and no hole in seq.
func TestSameIDIsOneRow(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("repeats", 20).ID
	queue := apptest.QueueName(tenant)
	const messages, publishers = 150, 6
	all := make([]amqp.Publishing, messages)
	want := make([]string, messages)
	for i := range all {
		want[i] = uuid.NewString()
		all[i] = amqp.Publishing{MessageId: want[i], Body: fmt.Appendf(nil, `{"n":%d}`, i)}
	}
	app.Put(queue, want[0], `{"n":0}`)
	app.Stored(tenant, 1)
	var publishing sync.WaitGroup
	for range publishers {
		shuffled := append([]amqp.Publishing(nil), all...)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		ch := app.Channel()
		publishing.Go(func() {
			for _, m := range shuffled {
				if err := ch.PublishWithContext(t.Context(), "", queue, true, false, m); err != nil {
					t.Error(err)
				}
			}
		})
	}
	publishing.Wait()
	app.Put(queue, "", `"the last"`)
	stored := app.Stored(tenant, messages+1)
	// Each of them once, and one more: with many workers it need not come last.
	require.Subset(t, apptest.IDs(stored), want)
	app.Settled(queue)
	for range 10 { // white space is no difference
		app.Put(queue, want[3], ` { "n" : 3 } `)
	}
	app.Put(queue, "", `"the very last"`)
	app.Stored(tenant, messages+2)
	app.RequireDense(tenant)
	app.RequireNoDeadLetters(tenant)
	app.Stop()
	requireAllAcknowledged(t, app.Probes, []string{tenant})
}

// An id that comes with another body is no repetition.
func TestSameIDWithAnotherBody(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.LeaveDeadLetters())
	tenant := app.CreateTenant("conflict", 1).ID
	queue, dead := apptest.QueueName(tenant), apptest.DeadLetterQueueName(tenant)
	id := app.Publish(tenant, `{"first":true}`)
	app.Stored(tenant, 1)
	app.Put(queue, id, `{"first":false}`)
	app.Put(queue, id, `{"first":true}`)
	app.Put(queue, "", `"after"`)
	stored := app.Stored(tenant, 2)
	require.JSONEq(t, `{"first":true}`, string(stored[0].Payload))
	require.JSONEq(t, `"after"`, string(stored[1].Payload))
	letter := app.Take(dead, 1)[0]
	require.Equal(t, "id_conflict", letter.Headers["x-reason"])
	require.NotEmpty(t, letter.Headers["x-error"])
	require.Equal(t, id, letter.MessageId)
	require.Equal(t, `{"first":false}`, string(letter.Body))
	letterID, _ := letter.Headers["x-dead-letter-id"].(string)
	require.NoError(t, uuid.Validate(letterID))

	// Both in one go, so that they meet in one transaction.
	var together []amqp.Publishing
	for i := range 40 {
		together = append(together, amqp.Publishing{MessageId: uuid.NewString(), Body: []byte(`"one"`)})
		together = append(together, amqp.Publishing{MessageId: together[2*i].MessageId, Body: []byte(`"other"`)})
	}
	app.PutAll(queue, together)
	for _, letter := range app.Take(dead, 40) {
		require.Equal(t, "id_conflict", letter.Headers["x-reason"])
	}
	app.Stored(tenant, 42)
}

// A message id that is no UUID counts as well, within its tenant; without any
// id each message is another one.
func TestMessageIDsThatAreNoUUID(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant, other := app.CreateTenant("ids", 5).ID, app.CreateTenant("others", 5).ID
	for range 7 {
		for _, id := range []string{"order 1842", "ORDER 1842", "{0197a3a2-7d2c-7c3e-8f7e-0242ac120002}", "💥"} {
			app.Put(apptest.QueueName(tenant), id, `"`+id+`"`)
			app.Put(apptest.QueueName(other), id, `"the same id elsewhere"`)
		}
	}
	for range 3 {
		app.Put(apptest.QueueName(tenant), "", `"no id"`)
	}
	stored := app.Stored(tenant, 4+3)
	app.Stored(other, 4)
	require.Contains(t, apptest.IDs(stored), uuid.NewSHA1(uuid.MustParse(tenant), []byte("order 1842")).String())
	app.Settled(apptest.QueueName(tenant))
	app.Put(apptest.QueueName(tenant), "", `"last"`)
	app.Stored(tenant, 8)
}

// The id of another tenant's message is just an id.
func TestSameIDInTwoTenants(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	one, other := app.CreateTenant("one", 0).ID, app.CreateTenant("other", 0).ID
	id := app.Publish(one, `"mine"`)
	app.Put(apptest.QueueName(other), id, `"yours"`)
	require.Equal(t, id, app.Stored(other, 1)[0].ID)
	require.JSONEq(t, `"mine"`, string(app.Stored(one, 1)[0].Payload))
}

// Connections break again and again while everything is under way: what was
// delivered and not acknowledged comes again, and is stored once.
func TestRedeliveryAfterLostConnections(t *testing.T) {
	t.Parallel()
	app, tap := bootOnBrokerTap(t)
	tenants := createTenants(app.Client, 3)
	load := apptest.StartLoad(t, app.Client, append(tenants, tenants...), 4000)
	for round := 1; round <= 4; round++ {
		apptest.Await(t, apptest.Long, func() error {
			if load.Accepted() < round*800 {
				return apptest.NotYet("%d accepted", load.Accepted())
			}
			return nil
		})
		tap.Cut()
	}
	load.AwaitEnough()
	load.Stop()
	load.RequireNoRefusals(http.StatusServiceUnavailable, http.StatusMultiStatus)
	load.RequireStored(app.Probes) // so that the prefetch has room

	// Now for certain: while the streams are locked, nothing that is delivered
	// can be stored.
	session := app.NewSession()
	defer session.Close(t.Context())
	tx, err := session.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT 1 FROM tenant_streams FOR UPDATE`)
	require.NoError(t, err)
	app.PublishAll(tenants[0], numbered(100))
	_, before := tap.Deliveries()
	apptest.Await(t, apptest.Long, func() error {
		if q := app.Queue(apptest.QueueName(tenants[0])); q.Ready > 0 || q.Consumers != 1 {
			return apptest.NotYet("delivered: %+v", q)
		}
		return nil
	})
	tap.Cut()
	apptest.Await(t, apptest.Long, func() error {
		if _, again := tap.Deliveries(); again < before+100 {
			return apptest.NotYet("delivered again: %d", again)
		}
		return nil
	})
	require.NoError(t, tx.Rollback(t.Context()))
	// What no worker has begun would go back to its queue.
	apptest.Await(t, apptest.Long, func() error {
		if n := apptest.QueryRow[int](app.Probes, `SELECT count(*) FROM messages`); n < load.Accepted()+100 {
			return apptest.NotYet("%d stored: %d", load.Accepted()+100, n)
		}
		return nil
	})
	app.Stop()
	requireAllAcknowledged(t, app.Probes, tenants)
	for _, tenant := range tenants {
		app.RequireDense(tenant)
	}
	tags := tap.Tags()
	unique := make(map[string]bool)
	for _, tag := range tags {
		unique[tag] = true
	}
	require.Len(t, unique, len(tags), "each subscription has a tag of its own")
}
