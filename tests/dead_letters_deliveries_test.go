package tests

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// replayed is the answer to a replay.
type replayed struct{ Replayed, Skipped int }

// A delivery that was given up is replayed to the endpoint that did not take the
// message, and to no other: neither the queue nor the consumer has a part in it.
func TestReplayOfDeliveries(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering())
	tenant := app.CreateTenant("replays deliveries", 0).ID
	failing, healthy := apptest.NewReceiver(t, apptest.Answering(http.StatusInternalServerError)), apptest.NewReceiver(t, apptest.Answering(http.StatusOK))
	once := map[string]any{"retry": map[string]any{"schedule": []string{"1s"}}}
	broken, fine := app.CreateEndpoint(tenant, failing.URL(), once), app.CreateEndpoint(tenant, healthy.URL(), nil)
	first, second, third := app.Publish(tenant, `{"n":1}`), app.Publish(tenant, `{"n":2}`), app.Publish(tenant, `{"n":3}`)
	letters := deadLetters(t, app, tenant, "", 3)
	seqs := make(map[string]int64)
	for _, l := range letters {
		require.Equal(t, "delivery_failed", l.Reason)
		require.Equal(t, broken.ID, *l.EndpointID)
		seqs[l.MessageID] = *l.Seq
	}
	for _, m := range app.Stored(tenant, 3) {
		require.Equal(t, m.Seq, seqs[m.ID])
	}
	require.Len(t, deadLetters(t, app, tenant, "&endpoint_id="+broken.ID, 3), 3)
	deadLetters(t, app, tenant, "&endpoint_id="+fine.ID, 0)
	deadLetters(t, app, tenant, "&reason=delivery_failed&from="+time.Now().UTC().Add(-time.Hour).Format(time.RFC3339), 3)
	deadLetters(t, app, tenant, "&reason=invalid_payload", 0)

	// It fails again: that is another letter.
	app.Want(http.StatusAccepted, nil, "DELETE", "/api/consumers/"+tenant, nil)
	byMessage := make(map[string]int64)
	for _, l := range letters {
		byMessage[l.MessageID] = l.ID
	}
	var result replayed
	app.Want(http.StatusAccepted, &result, "POST", "/api/dead-letters/replay", map[string]any{"ids": []int64{byMessage[first], byMessage[second], 1 << 60}}, apptest.ForTenant(tenant))
	require.Equal(t, replayed{2, 1}, result)
	deadLetters(t, app, tenant, "&replayed=true", 5)
	deadLetters(t, app, tenant, "", 3)

	// It is mended.
	failing.Answer(apptest.Answering(http.StatusNoContent))
	before := failing.Times()
	app.Want(http.StatusAccepted, &result, "POST", "/api/dead-letters/replay", `{"all":true}`, apptest.ForTenant(tenant))
	require.Equal(t, replayed{3, 0}, result)
	apptest.Await(t, apptest.Long, func() error {
		for _, id := range []string{first, second, third} {
			if n := failing.Times()[id]; n != before[id]+1 {
				return apptest.NotYet("message %s arrived %d times after %d", id, n, before[id])
			}
		}
		return nil
	})
	deadLetters(t, app, tenant, "", 0)
	apptest.Await(t, apptest.Long, func() error {
		if e := app.Endpoint(&broken); e.Lag != 0 {
			return apptest.NotYet("lag %d", e.Lag)
		}
		return nil
	})
	require.Equal(t, map[string]int{first: 1, second: 1, third: 1}, healthy.Times(), "the others have nothing to do with it")
	require.Zero(t, app.Queue(apptest.QueueName(tenant)).Ready)
	app.Want(http.StatusAccepted, &result, "POST", "/api/dead-letters/replay", `{"all":true}`, apptest.ForTenant(tenant))
	require.Zero(t, result)
}

// What has nowhere to go stays as it is.
func TestReplayOfDeliveriesThatHaveNowhereToGo(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering())
	tenant, other := app.CreateTenant("nowhere", 0).ID, app.CreateTenant("other", 0).ID
	failing := apptest.NewReceiver(t, apptest.Answering(http.StatusBadRequest))
	atOnce := map[string]any{"retry": map[string]any{"schedule": []string{"1s"}, "final": []int{400}}}
	gone, held := app.CreateEndpoint(tenant, failing.URL(), atOnce), app.CreateEndpoint(tenant, failing.URL(), atOnce)
	id := app.Publish(tenant, `{"n":1}`)
	letters := deadLetters(t, app, tenant, "", 2)
	require.Zero(t, app.DeleteEndpoint(&gone))
	app.Tell(&held, "hold")
	var result replayed
	all := map[string]any{"ids": []int64{letters[0].ID, letters[1].ID}}
	app.Want(http.StatusAccepted, &result, "POST", "/api/dead-letters/replay", all, apptest.ForTenant(other))
	require.Equal(t, replayed{0, 2}, result, "another tenant's are not there")
	app.SetStatus(tenant, "inactive") // nothing is published
	app.Want(http.StatusAccepted, &result, "POST", "/api/dead-letters/replay", all, apptest.ForTenant(tenant))
	require.Equal(t, replayed{1, 1}, result)
	left := deadLetters(t, app, tenant, "", 1)
	require.Equal(t, gone.ID, *left[0].EndpointID)
	require.EqualValues(t, 1, app.Endpoint(&held).Open, "waits until the endpoint is resumed")
	require.Equal(t, 2, failing.Times()[id])

	// A message that is not kept any longer.
	app.Exec(`UPDATE dead_letters SET replayed_at = NULL`)
	app.Exec(fmt.Sprintf(`DELETE FROM messages WHERE id = '%s'`, id))
	app.Exec(`DELETE FROM deliveries`)
	app.Want(http.StatusAccepted, &result, "POST", "/api/dead-letters/replay", all, apptest.ForTenant(tenant))
	require.Equal(t, replayed{0, 2}, result)
}
