package tests

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// attempts is a page of attempts as the service answers it.
type attempts struct {
	Data []struct {
		EndpointID string  `json:"endpoint_id"`
		MessageID  string  `json:"message_id"`
		Seq        int64   `json:"seq"`
		Number     int     `json:"number"`
		Status     *int    `json:"status"`
		Error      string  `json:"error"`
		Answer     string  `json:"answer"`
		NextAt     *string `json:"next_at"`
		ReplayID   *string `json:"replay_id"`
	} `json:"data"`
	NextCursor string `json:"next_cursor"`
}

// failsFor answers 500 as long as the body has this text, and then as told.
func failsFor(t *testing.T) (receiver *apptest.Receiver, mend func()) {
	t.Helper()
	r := apptest.NewReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte("out of order"))
	})
	return r, func() { r.Answer(apptest.Answering(http.StatusOK)) }
}

// store publishes a message and waits until it is stored.
func store(t *testing.T, app *apptest.Client, tenant, payload string) (id string) {
	t.Helper()
	id = app.Publish(tenant, payload)
	apptest.Await(t, apptest.Long, func() error {
		if answer := app.Call("GET", "/api/messages/"+id, nil, apptest.ForTenant(tenant)); answer.Status != http.StatusOK {
			return apptest.NotYet("stored: %s", answer.Body)
		}
		return nil
	})
	return id
}

// awaitState waits until a message is in this state on its way to an endpoint.
func awaitState(t *testing.T, app *apptest.Client, e *apptest.Endpoint, message, state string) apptest.MessageDelivery {
	t.Helper()
	var found apptest.MessageDelivery
	apptest.Await(t, apptest.Long, func() error {
		for _, d := range app.Deliveries(e.TenantID, message) {
			if d.EndpointID == e.ID && d.State == state {
				found = d
				return nil
			}
		}
		return apptest.NotYet("%s: %+v", state, app.Deliveries(e.TenantID, message))
	})
	return found
}

// A message that fails holds those behind it at an endpoint in order, until it is
// skipped; then it is a dead letter, and the others arrive.
func TestSkip(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering())
	tenant := app.CreateTenant("tenant", 0).ID
	receiver, mend := failsFor(t)
	e := app.CreateEndpoint(tenant, receiver.URL(), map[string]any{"ordering": "fifo", "retry": map[string]any{"schedule": []string{"72h"}}})
	app.Refused(http.StatusConflict, "nothing_to_skip", "POST", e.Path()+"/skip", nil)
	poison := store(t, app.Client, tenant, `"poison"`)
	d := awaitState(t, app.Client, &e, poison, "retrying")
	require.Equal(t, 1, d.Attempts)
	require.Equal(t, http.StatusInternalServerError, *d.LastStatus)
	require.NotNil(t, d.NextAttemptAt)
	mend()
	app.PublishAll(tenant, []string{`1`, `2`, `3`})
	history := apptest.IDs(app.Stored(tenant, 4))
	awaitLag(t, app.Client, &e, 4)

	var letter struct {
		ID         int64  `json:"id"`
		EndpointID string `json:"endpoint_id"`
		MessageID  string `json:"message_id"`
		Reason     string `json:"reason"`
		Body       string `json:"body"`
		Attempts   int    `json:"attempts"`
	}
	app.Want(http.StatusOK, &letter, "POST", e.Path()+"/skip", nil)
	require.Equal(t, []any{e.ID, poison, "delivery_failed", "poison", 1}, []any{letter.EndpointID, letter.MessageID, letter.Reason, letter.Body, letter.Attempts})
	awaitLag(t, app.Client, &e, 0)
	var order []string
	for _, got := range receiver.Received() {
		order = append(order, got.ID)
	}
	require.Equal(t, history, order)
	require.Equal(t, "failed", awaitState(t, app.Client, &e, poison, "failed").State)
	app.Refused(http.StatusConflict, "nothing_to_skip", "POST", e.Path()+"/skip", nil)
}

// One message is sent again, whether it arrived before, waits for its next attempt,
// was given up, or was never for the endpoint.
func TestResend(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering())
	tenant := app.CreateTenant("tenant", 0).ID
	receiver, mend := failsFor(t)
	e := app.CreateEndpoint(tenant, receiver.URL(), map[string]any{"retry": map[string]any{"schedule": []string{"72h"}}})
	resend := func(message string) string { return "/api/messages/" + message + "/endpoints/" + e.ID + "/resend" }
	again := func(message string, times int) {
		t.Helper()
		app.Want(http.StatusAccepted, nil, "POST", resend(message), nil, apptest.ForTenant(tenant))
		awaitState(t, app.Client, &e, message, "delivered")
		require.Equal(t, times, receiver.Times()[message])
	}
	waiting := store(t, app.Client, tenant, `"waiting"`)
	awaitState(t, app.Client, &e, waiting, "retrying")
	app.ChangeEndpoint(&e, map[string]any{"retry": map[string]any{"schedule": []string{}}})
	given := store(t, app.Client, tenant, `"given up"`)
	awaitState(t, app.Client, &e, given, "failed")
	mend()
	again(waiting, 2)
	again(given, 2)
	arrived := store(t, app.Client, tenant, `"arrived"`)
	awaitState(t, app.Client, &e, arrived, "delivered")
	app.Want(http.StatusAccepted, nil, "POST", resend(arrived), nil, apptest.ForTenant(tenant))
	apptest.Await(t, apptest.Long, func() error {
		if receiver.Times()[arrived] < 2 {
			return apptest.NotYet("again")
		}
		return nil
	})
	app.ChangeEndpoint(&e, map[string]any{"types": []string{"order.*"}})
	var other string
	seq := int64(3)
	apptest.Await(t, apptest.Long, func() error { // what was published before the change is known may still be sent
		other = store(t, app.Client, tenant, `"of no type"`)
		seq++
		awaitLag(t, app.Client, &e, 0)
		if now := app.Endpoint(&e); now.SettledSeq < seq {
			return apptest.NotYet("passed: %+v", now)
		}
		if d := app.Deliveries(tenant, other); len(d) > 0 {
			return apptest.NotYet("it is not for the endpoint: %+v", d)
		}
		return nil
	})
	again(other, 1)
	app.Refused(missing, "message_not_found", "POST", resend(e.ID), nil, apptest.ForTenant(tenant))

	// While it is held the message waits.
	app.Tell(&e, "hold")
	app.Refused(http.StatusConflict, "not_yet_settled", "POST", resend(store(t, app.Client, tenant, `1`)), nil, apptest.ForTenant(tenant))
	app.Want(http.StatusAccepted, nil, "POST", resend(other), nil, apptest.ForTenant(tenant))
	require.EqualValues(t, 1, app.Endpoint(&e).Open)
	app.Tell(&e, "resume")
	awaitLag(t, app.Client, &e, 0)
	require.Equal(t, 2, receiver.Times()[other])
}

// Each attempt can be looked at, by endpoint and by message, page by page.
func TestAttempts(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering())
	tenant := app.CreateTenant("tenant", 1).ID
	receiver, mend := failsFor(t)
	e := app.CreateEndpoint(tenant, receiver.URL(), map[string]any{"retry": map[string]any{"schedule": []string{"1s", "72h"}}})
	first := store(t, app.Client, tenant, `1`)
	apptest.Await(t, apptest.Long, func() error {
		if d := app.Deliveries(tenant, first); len(d) != 1 || d[0].Attempts != 2 {
			return apptest.NotYet("two attempts: %+v", d)
		}
		return nil
	})
	mend()
	second := store(t, app.Client, tenant, `2`)
	awaitState(t, app.Client, &e, second, "delivered")

	list := func(path string, query url.Values) (page attempts) {
		t.Helper()
		app.Want(http.StatusOK, &page, "GET", path+"?"+query.Encode(), nil, apptest.ForTenant(tenant))
		return page
	}
	all := list(e.Path()+"/attempts", nil)
	require.Len(t, all.Data, 3)
	require.Empty(t, all.NextCursor)
	require.Equal(t, []string{second, first, first}, []string{all.Data[0].MessageID, all.Data[1].MessageID, all.Data[2].MessageID}, "newest first")
	require.Equal(t, []int{1, 2, 1}, []int{all.Data[0].Number, all.Data[1].Number, all.Data[2].Number})
	require.Empty(t, all.Data[0].Error)
	require.Nil(t, all.Data[0].NextAt)
	failed := all.Data[2]
	require.Equal(t, http.StatusInternalServerError, *failed.Status)
	require.Equal(t, "status 500", failed.Error)
	require.Equal(t, "out of order", failed.Answer)
	require.NotNil(t, failed.NextAt)
	require.EqualValues(t, 1, failed.Seq)

	require.Equal(t, all.Data[:1], list(e.Path()+"/attempts", url.Values{"status": {"succeeded"}}).Data)
	require.Equal(t, all.Data[1:], list(e.Path()+"/attempts", url.Values{"status": {"failed"}}).Data)
	require.Equal(t, all.Data[1:], list("/api/messages/"+first+"/attempts", nil).Data)
	var paged attempts
	for cursor := "0"; cursor != ""; cursor = paged.NextCursor {
		page := list(e.Path()+"/attempts", url.Values{"limit": {"1"}, "cursor": {cursor}})
		require.Len(t, page.Data, 1)
		paged.Data, paged.NextCursor = append(paged.Data, page.Data...), page.NextCursor
	}
	require.Equal(t, all.Data, paged.Data)
	app.DeleteEndpoint(&e)
	require.Len(t, list(e.Path()+"/attempts", nil).Data, 3, "as long as they are kept")
	app.Refused(missing, "endpoint_not_found", "GET", strings.Replace(e.Path(), e.ID, tenant, 1)+"/attempts", nil)
}

// A range is delivered again, all of it or what was given up, and shows how far it is.
func TestReplayOfARange(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering())
	tenant := app.CreateTenant("tenant", 0).ID
	receiver, mend := failsFor(t)
	e := app.CreateEndpoint(tenant, receiver.URL(), map[string]any{"retry": map[string]any{"schedule": []string{}}})
	failed := app.PublishAll(tenant, []string{`1`, `2`})
	app.Stored(tenant, 2)
	for _, id := range failed {
		awaitState(t, app.Client, &e, id, "failed")
	}
	mend()
	app.PublishAll(tenant, []string{`3`, `4`, `5`})
	app.Stored(tenant, 5)
	awaitLag(t, app.Client, &e, 0)
	before := len(receiver.Received())

	type replay struct {
		ID          *string `json:"id"`
		State       string  `json:"state"`
		Total, Done int64
		Only        string `json:"only"`
	}
	start := func(status int, body map[string]any) (r replay) {
		t.Helper()
		app.Want(status, &r, "POST", e.Path()+"/replay", body)
		return r
	}
	dry := start(http.StatusOK, map[string]any{"only": "failed", "dry_run": true})
	require.Equal(t, replay{State: "dry_run", Total: 2, Only: "failed"}, dry)
	require.EqualValues(t, 3, start(http.StatusOK, map[string]any{"from_seq": 2, "to_seq": 4, "dry_run": true}).Total)
	app.Refused(missing, "", "POST", e.Path()+"/replay", map[string]any{"from_seq": 6})
	require.Len(t, receiver.Received(), before)

	await := func(r replay) {
		t.Helper()
		apptest.Await(t, apptest.Long, func() error {
			app.Want(http.StatusOK, &r, "GET", e.Path()+"/replays/"+*r.ID, nil)
			if r.State != "done" || r.Done != r.Total {
				return apptest.NotYet("done: %+v", r)
			}
			return nil
		})
	}
	await(start(http.StatusAccepted, map[string]any{"only": "failed"}))
	for _, id := range failed {
		awaitState(t, app.Client, &e, id, "delivered")
	}
	require.Len(t, receiver.Received(), before+2)
	await(start(http.StatusAccepted, map[string]any{"from_seq": 2, "to_seq": 4}))
	require.Len(t, receiver.Received(), before+5)
	var page attempts
	app.Want(http.StatusOK, &page, "GET", e.Path()+"/attempts?limit=1", nil)
	require.NotNil(t, page.Data[0].ReplayID)

	// One at a time, and one that was canceled lets the next begin.
	app.Tell(&e, "hold")
	running := start(http.StatusAccepted, map[string]any{"rate": 1})
	app.Refused(http.StatusConflict, "replay_running", "POST", e.Path()+"/replay", map[string]any{})
	var canceled replay
	app.Want(http.StatusOK, &canceled, "DELETE", e.Path()+"/replays/"+*running.ID, nil)
	require.Equal(t, "canceled", canceled.State)
	app.Tell(&e, "resume")
	await(start(http.StatusAccepted, map[string]any{"from_seq": 5}))
}
