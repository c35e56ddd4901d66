package tests

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

func TestFiftyCreatesAtOnce(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	const creates = 50
	ids := make([]string, creates)
	var creating sync.WaitGroup
	for i := range ids {
		creating.Go(func() {
			answer, err := app.Send(t.Context(), "POST", "/api/tenants", fmt.Sprintf(`{"name":"tenant %d"}`, i))
			var tenant apptest.Tenant
			if err != nil || answer.Status != http.StatusCreated && answer.Status != http.StatusAccepted ||
				json.Unmarshal(answer.Body, &tenant) != nil {
				t.Errorf("create: %v %+v", err, answer)
			}
			ids[i] = tenant.ID
		})
	}
	creating.Wait()
	require.False(t, t.Failed())
	var partitions []string
	for _, id := range ids {
		apptest.Await(t, apptest.Long, func() error { // 202 says that it takes a while
			if s := statusOf(app, id); s != "active" {
				return apptest.NotYet("%s is active: %s", id, s)
			}
			return nil
		})
		requireThere(t, app, id)
		partitions = append(partitions, apptest.PartitionName(id))
	}
	slices.Sort(partitions)
	require.Equal(t, partitions, app.Partitions())
	for _, id := range ids {
		app.Publish(id, `"hello"`)
	}
	for _, id := range ids {
		app.Stored(id, 1)
	}
}

// Everything at once to one id, over and over: no panic and no 500, and in the
// end it is fully there or fully gone.
func TestEverythingAtOnceToOneTenant(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	const rounds = 12
	for round := range rounds {
		key := apptest.WithKey(fmt.Sprint("round ", round))
		body := `{"name":"contested"}`
		var first apptest.Tenant
		app.Want(http.StatusCreated, &first, "POST", "/api/tenants", body, key)
		path := "/api/tenants/" + first.ID
		calls := []func() (string, string, string){
			func() (string, string, string) { return "POST", "/api/tenants", body },
			func() (string, string, string) {
				return "PUT", path + "/config/concurrency", fmt.Sprintf(`{"workers":%d}`, 1+rand.IntN(100))
			},
			func() (string, string, string) { return "PATCH", path, `{"status":"inactive"}` },
			func() (string, string, string) { return "PATCH", path, `{"status":"active","name":"other"}` },
			func() (string, string, string) { return "POST", "/api/messages", `{"payload":1}` },
			func() (string, string, string) { return "GET", path, "" },
			func() (string, string, string) { return "GET", "/api/messages", "" },
		}
		if round%3 != 0 {
			calls = append(calls, func() (string, string, string) { return "DELETE", path, "" })
		}
		var calling sync.WaitGroup
		for _, call := range calls {
			for range 3 {
				calling.Go(func() {
					for range 3 {
						method, path, body := call()
						headers := []apptest.Header{apptest.ForTenant(first.ID)}
						if path == "/api/tenants" {
							headers = append(headers, key)
						}
						answer, err := app.Send(t.Context(), method, path, body, headers...)
						if err != nil || answer.Status >= http.StatusInternalServerError && answer.Status != http.StatusServiceUnavailable {
							t.Errorf("%s %s: %v %+v", method, path, err, answer)
						}
					}
				})
			}
		}
		calling.Wait()
		apptest.Await(t, apptest.Long, func() error { return converged(app, first.ID) })
		if round%3 == 0 {
			require.NotEqual(t, "deleted", statusOf(app, first.ID))
			app.SetStatus(first.ID, "active")
			requireThere(t, app, first.ID)
		}
	}
}

// Deleting from many sides at once is one deletion.
func TestManyDeletesOfOneTenant(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("deleted", 0).ID
	app.Publish(tenant, `1`)
	var deleting sync.WaitGroup
	for range 20 {
		deleting.Go(func() {
			answer, err := app.Send(t.Context(), "DELETE", "/api/tenants/"+tenant, nil)
			if err != nil || !slices.Contains([]int{http.StatusNoContent, http.StatusAccepted, http.StatusNotFound}, answer.Status) {
				t.Errorf("delete: %v %+v", err, answer)
			}
		})
	}
	deleting.Wait()
	apptest.Await(t, apptest.Long, func() error { return converged(app, tenant) })
	requireGone(t, app, tenant)
}

func statusOf(app *apptest.App, tenant string) string {
	return apptest.QueryRow[string](app.Probes, `SELECT status FROM tenants WHERE id = $1`, tenant)
}

// converged tells what is not yet as the tenant's row says.
func converged(app *apptest.App, tenant string) error {
	status := statusOf(app, tenant)
	partition := slices.Contains(app.Partitions(), apptest.PartitionName(tenant))
	queue, dead := app.Queue(apptest.QueueName(tenant)), app.Queue(apptest.DeadLetterQueueName(tenant))
	there := status == "active" || status == "inactive"
	consumers := 0
	if status == "active" {
		consumers = 1
	}
	if (!there && status != "deleted") || partition != there || queue.Exists != there || dead.Exists != there || queue.Consumers != consumers {
		return apptest.NotYet("converged: %s, partition %v, queue %+v, dead letters %+v", status, partition, queue, dead)
	}
	return nil
}

// requireThere ends the test unless everything of an active tenant is there.
func requireThere(t *testing.T, app *apptest.App, tenant string) {
	t.Helper()
	require.Equal(t, "active", statusOf(app, tenant))
	apptest.Await(t, apptest.Long, func() error { return converged(app, tenant) })
}
