package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

func TestPublishAgainWithTheSameKey(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant, other := app.CreateTenant("tenant", 0).ID, app.CreateTenant("other", 0).ID
	key := apptest.WithKey("order 1842")
	var first, again apptest.Accepted
	answer := app.Want(http.StatusAccepted, &first, "POST", "/api/messages", `{"payload":{"n":1}}`, apptest.ForTenant(tenant), key)
	require.Empty(t, answer.Header.Get("Idempotent-Replayed"))
	for _, body := range []string{`{"payload":{"n":1}}`, ` { "payload" : { "n" : 1 } } `} {
		answer = app.Want(http.StatusAccepted, &again, "POST", "/api/messages", body, apptest.ForTenant(tenant), key)
		require.Equal(t, "true", answer.Header.Get("Idempotent-Replayed"))
		require.Equal(t, first, again)
	}
	app.Refused(http.StatusUnprocessableEntity, "idempotency_key_reused", "POST", "/api/messages", `{"payload":{"n":2}}`, apptest.ForTenant(tenant), key)
	// A key belongs to its tenant.
	require.NotEqual(t, first.ID, app.Publish(other, `{"n":2}`, key))
	app.Stored(other, 1)

	app.Restart()
	app.Want(http.StatusAccepted, &again, "POST", "/api/messages", `{"payload":{"n":1}}`, apptest.ForTenant(tenant), key)
	require.Equal(t, first, again)
	app.Publish(tenant, `"last"`)
	stored := app.Stored(tenant, 2)
	require.Equal(t, first.ID, stored[0].ID)
}

func TestPublishAtOnceWithTheSameKey(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 20).ID
	const calls = 20
	for round := range 5 {
		ids := make([]string, calls)
		var calling sync.WaitGroup
		for i := range ids {
			calling.Go(func() {
				id, err := app.TryPublish(t.Context(), tenant, fmt.Sprint(round), apptest.WithKey(fmt.Sprint("round ", round)))
				if err != nil {
					t.Errorf("publish: %v", err)
				}
				ids[i] = id
			})
		}
		calling.Wait()
		for _, id := range ids {
			require.Equal(t, ids[0], id)
		}
	}
	app.Publish(tenant, `"last"`)
	app.Stored(tenant, 6)
	app.Settled(apptest.QueueName(tenant))
	app.Stop()
	requireAllAcknowledged(t, app.Probes, []string{tenant})
	app.RequireDense(tenant)
	require.Equal(t, 6, apptest.QueryRow[int](app.Probes, `SELECT count(*) FROM messages`))
}

func TestBatchWithKeys(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 1).ID
	send := func(status int, body string) apptest.BatchResult {
		var result apptest.BatchResult
		app.Want(status, &result, "POST", "/api/messages/batch", body, apptest.ForTenant(tenant))
		return result
	}
	const body = `{"messages":[{"payload":1,"idempotency_key":"a"},{"payload":2},{"payload":3,"idempotency_key":"c"},{"payload":1,"idempotency_key":"a"}]}`
	first := send(http.StatusAccepted, body)
	require.Equal(t, 4, first.Accepted)
	require.Equal(t, first.Results[0].ID, first.Results[3].ID)
	require.True(t, first.Results[3].Replayed)
	again := send(http.StatusAccepted, body)
	require.Equal(t, first.Results[0].ID, again.Results[0].ID)
	require.Equal(t, first.Results[2].ID, again.Results[2].ID)
	require.NotEqual(t, first.Results[1].ID, again.Results[1].ID)
	require.True(t, again.Results[0].Replayed)
	mixed := send(http.StatusMultiStatus, `{"messages":[{"payload":9,"idempotency_key":"a"},{"payload":4,"idempotency_key":"d"}]}`)
	require.Equal(t, "idempotency_key_reused", mixed.Results[0].Error.Code)
	require.Equal(t, "accepted", mixed.Results[1].Status)
	// A key is one, whether it came alone or in a batch.
	require.Equal(t, first.Results[0].ID, app.Publish(tenant, `1`, apptest.WithKey("a")))
	app.Publish(tenant, `"last"`)
	app.Stored(tenant, 6)
	app.Refused(http.StatusBadRequest, "key_not_for_batch", "POST", "/api/messages/batch", body, apptest.ForTenant(tenant), apptest.WithKey("a"))
}

func TestCreateAgainWithTheSameKey(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	key := apptest.WithKey("sign-up 7")
	const calls = 20
	ids := make([]string, calls)
	var calling sync.WaitGroup
	for i := range ids {
		calling.Go(func() {
			answer, err := app.Send(t.Context(), "POST", "/api/tenants", `{"name":"Acme"}`, key)
			var tenant apptest.Tenant
			if err != nil || answer.Status != http.StatusCreated && answer.Status != http.StatusAccepted || json.Unmarshal(answer.Body, &tenant) != nil {
				t.Errorf("create: %v %+v", err, answer)
			}
			ids[i] = tenant.ID
		})
	}
	calling.Wait()
	for _, id := range ids {
		require.Equal(t, ids[0], id)
	}
	require.Equal(t, 1, apptest.QueryRow[int](app.Probes, `SELECT count(*) FROM tenants`))
	require.Equal(t, []string{apptest.PartitionName(ids[0])}, app.Partitions())
	var tenant apptest.Tenant
	answer := app.Want(http.StatusCreated, &tenant, "POST", "/api/tenants", `{"name":"Acme"}`, key)
	require.Equal(t, ids[0], tenant.ID)
	require.Equal(t, "true", answer.Header.Get("Idempotent-Replayed"))
	app.Refused(http.StatusUnprocessableEntity, "idempotency_key_reused", "POST", "/api/tenants", `{"name":"Other"}`, key)
	app.Delete(ids[0])
	app.Refused(http.StatusConflict, "tenant_deleted", "POST", "/api/tenants", `{"name":"Acme"}`, key)
}
