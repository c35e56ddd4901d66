package tests

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// promptly is how long what nothing should hold up may take here, on a machine
// that is busy with other tests.
const promptly = 3 * time.Second

// A session that reads all messages and stays in its transaction holds up
// neither other tenants' messages nor creates; and deletes answer in
// time and finish once it is through.
func TestLongSelect(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	const doomed = 20
	tenant := app.CreateTenant("stays", 0).ID
	ids := make([]string, doomed)
	for i := range ids {
		ids[i] = app.CreateTenant("goes", 0).ID
		app.Publish(ids[i], `"is read by somebody"`)
	}
	for _, id := range ids {
		app.Stored(id, 1)
	}
	reader, end := readForLong(t, app)

	// First with nothing but the reader, and then while deletes wait for it.
	stored := 0
	others := func(when string) {
		begun := time.Now()
		app.Publish(tenant, `"on time"`)
		stored++
		app.Stored(tenant, stored)
		require.Less(t, time.Since(begun), promptly, "publishing and storing, %s", when)
		begun = time.Now()
		created := app.CreateTenant("created meanwhile", 0).ID
		require.Less(t, time.Since(begun), promptly, "creating, %s", when)
		begun = time.Now()
		app.Publish(created, `"first"`)
		app.Stored(created, 1)
		require.Less(t, time.Since(begun), promptly, "publishing to a new tenant, %s", when)
	}
	others("while messages are read")

	var deleting sync.WaitGroup
	answered := make(chan struct{})
	for _, id := range ids {
		deleting.Go(func() {
			begun := time.Now()
			answer, err := app.Send(t.Context(), "DELETE", "/api/tenants/"+id, nil)
			if err != nil || answer.Status != http.StatusAccepted && answer.Status != http.StatusNoContent {
				t.Errorf("delete: %v %+v", err, answer)
			}
			if took := time.Since(begun); took > 2*promptly {
				t.Errorf("delete took %v", took)
			}
		})
	}
	go func() { deleting.Wait(); close(answered) }()
	for round := 1; ; round++ {
		others(fmt.Sprint("while tenants are deleted, round ", round))
		select {
		case <-answered:
		default:
			continue
		}
		break
	}
	others("while deletes go on by themselves")
	for _, id := range ids {
		app.Refused(http.StatusNotFound, "tenant_not_found", "GET", "/api/tenants/"+id, nil)
		app.Refused(http.StatusNotFound, "tenant_not_found", "GET", "/api/messages", nil, apptest.ForTenant(id))
		require.False(t, app.Queue(apptest.QueueName(id)).Exists)
	}
	require.NoError(t, reader.QueryRow(t.Context(), `SELECT 1`).Scan(new(int)), "the reader was left alone")

	end()
	apptest.Await(t, apptest.Long, func() error {
		partitions := app.Partitions()
		for _, id := range ids {
			if status := statusOf(app, id); status != "deleted" || slices.Contains(partitions, apptest.PartitionName(id)) {
				return apptest.NotYet("%s deleted: %s", id, status)
			}
		}
		return nil
	})
	for _, id := range ids {
		requireGone(t, app, id)
	}
	others("in the end")
}

// readForLong begins a transaction that has read all messages and does not end
// before end is called.
func readForLong(t *testing.T, app *apptest.App) (reader pgx.Tx, end func()) {
	t.Helper()
	session := app.NewSession()
	t.Cleanup(func() { _ = session.Close(t.Context()) }) // it may be gone by then
	tx, err := session.Begin(t.Context())
	require.NoError(t, err)
	var n int
	require.NoError(t, tx.QueryRow(t.Context(), `SELECT count(*) FROM messages`).Scan(&n))
	require.Positive(t, n)
	return tx, func() { require.NoError(t, tx.Rollback(t.Context())) }
}
