package tests

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// Many clients change the number of workers while many publish: nothing is
// lost, nothing comes twice, and on the wire there is one consumer and no
// redelivery from the first message to the last.
func TestResizeUnderLoad(t *testing.T) {
	t.Parallel()
	app, tap := bootOnBrokerTap(t)
	tenant := app.CreateTenant("resized", 1)
	queue := apptest.QueueName(tenant.ID)
	require.Len(t, tap.Tags(), 1)

	load := apptest.StartLoad(t, app.Client, []string{tenant.ID, tenant.ID, tenant.ID, tenant.ID}, 6000)
	var resizers sync.WaitGroup
	for range 3 {
		resizers.Go(func() {
			for load.Accepted() < 6000 && !t.Failed() {
				workers := []int{1, 20, 1 + rand.IntN(100)}[rand.IntN(3)]
				answer, err := app.Send(t.Context(), "PUT", "/api/tenants/"+tenant.ID+"/config/concurrency",
					fmt.Sprintf(`{"workers":%d}`, workers))
				switch {
				case err != nil:
					t.Errorf("resize: %v", err)
				case answer.Status == http.StatusServiceUnavailable && strings.Contains(string(answer.Body), `"database_locked"`):
					// A busy machine's disk held up the call that has the row.
				case answer.Status != http.StatusOK:
					t.Errorf("resize: %d %s", answer.Status, answer.Body)
				}
			}
		})
	}
	load.AwaitEnough()
	resizers.Wait()
	load.Stop()
	load.RequireNoRefusals()
	load.RequireStored(app.Probes)

	require.Len(t, app.History(tenant.ID, 1000), load.Accepted())
	delivered, again := tap.Deliveries()
	require.Equal(t, load.Accepted(), delivered, "each message was delivered once")
	require.Zero(t, again, "redeliveries")
	require.Len(t, tap.Tags(), 1, "one subscription")
	require.False(t, tap.Deleted(queue), "the queue was left alone")
	// The database and the consumer agree on which call came last.
	require.InDelta(t, apptest.QueryRow[int](app.Probes, `SELECT workers FROM tenants WHERE id = $1`, tenant.ID),
		app.Metrics().Value("lanekeeper_workers", "tenant_id", tenant.ID), 0)

	app.Delete(tenant.ID)
	require.True(t, tap.Deleted(queue), "that would have shown")
}

// With workers that are all held up, the number that is busy is the number
// that was asked for: at once after growing, and after shrinking as soon as
// they have finished.
func TestResizeTakesEffect(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("resized", 2)
	blocker := app.NewSession()
	defer blocker.Close(t.Context())
	tx, err := blocker.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT 1 FROM tenant_streams WHERE tenant_id = $1 FOR UPDATE`, tenant.ID)
	require.NoError(t, err)
	busy := func(want int) func() error {
		return func() error {
			// Workers take what is there in one go, so each needs a message
			// that comes after the others have theirs.
			app.Publish(tenant.ID, `"wait"`)
			if got := app.Metrics().Value("lanekeeper_workers_busy", "tenant_id", tenant.ID); got != float64(want) {
				return apptest.NotYet("%d busy: %v", want, got)
			}
			return nil
		}
	}
	apptest.Await(t, apptest.Long, busy(2))
	app.Resize(tenant.ID, 9)
	begun := time.Now()
	apptest.Await(t, apptest.Long, busy(9))
	t.Logf("9 workers were busy after %v", time.Since(begun))
	app.Resize(tenant.ID, 1)
	require.InDelta(t, 1, app.Metrics().Value("lanekeeper_workers", "tenant_id", tenant.ID), 0)
	require.NoError(t, tx.Rollback(t.Context()))
	apptest.Await(t, apptest.Long, func() error {
		if got := app.Metrics().Value("lanekeeper_workers_busy", "tenant_id", tenant.ID); got > 1 {
			return apptest.NotYet("at most 1 busy: %v", got)
		}
		return nil
	})
	app.Settled(apptest.QueueName(tenant.ID))
}
