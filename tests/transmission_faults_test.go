package tests

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// Stopping in the middle of transmissions that hang takes no longer than
// promised and loses nothing: what was answered is not sent again, the rest is
// sent after the next start.
func TestStopInMidTransmission(t *testing.T) {
	t.Parallel()
	const workers, answered, messages = 4, 10, 40
	app := apptest.Boot(t, apptest.Transmitting(2))
	receiver := apptest.NewReceiver(t, nil)
	var begun atomic.Int32
	receiver.Answer(func(_ http.ResponseWriter, r *http.Request) {
		if begun.Add(1) > answered {
			receiver.Hold(r, nil)
		}
	})
	tenant := app.CreateTenant("stopped", workers).ID
	app.SetEndpoint(tenant, receiver.URL(), endpointTimeout)
	ids := app.PublishAll(tenant, numbered(messages))
	apptest.Await(t, apptest.Long, func() error {
		if n := begun.Load(); n < answered+workers {
			return apptest.NotYet("all workers hang: %d requests", n)
		}
		return nil
	})
	requireStopsInTime(t, app)
	before := receiver.Times()
	require.Len(t, before, answered+workers)
	receiver.Answer(apptest.Answering(http.StatusOK))
	app.Start()
	app.Stored(tenant, messages)
	requireSucceeded(t, app, tenant, ids)
	again := 0
	for id, n := range receiver.Times() {
		require.LessOrEqual(t, n, 2)
		if n == 2 {
			require.Equal(t, 1, before[id])
			again++
		}
	}
	require.Equal(t, workers, again, "what hung was sent again, what was answered was not")
	app.Settled(apptest.QueueName(tenant))
	app.RequireNoDeadLetters(tenant)
	app.Stop()
	requireAllAcknowledged(t, app.Probes, []string{tenant})
}

// Answers that never end, and huge ones, are read no further than they have to
// be, and hold up no other message.
func TestHostileEndpoints(t *testing.T) {
	t.Parallel()
	const messages, huge, tolerated = 20, 100 << 20, 32 << 20
	app := apptest.Boot(t, apptest.Transmitting(2))
	chunk := []byte(strings.Repeat("x", 64<<10))
	var most atomic.Int64
	receiver := apptest.NewReceiver(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/huge" {
			w.Header().Set("Content-Length", strconv.Itoa(huge))
		}
		written := int64(0)
		for written < huge {
			n, err := w.Write(chunk)
			if written += int64(n); err != nil {
				break
			}
		}
		for {
			known := most.Load()
			if written <= known || most.CompareAndSwap(known, written) {
				return
			}
		}
	})
	var tenants []string
	ids := make(map[string][]string)
	for _, path := range []string{"/huge", "/endless"} {
		tenant := app.CreateTenant(path, 10).ID
		app.SetEndpoint(tenant, receiver.URL()+path, endpointTimeout)
		ids[tenant] = app.PublishAll(tenant, numbered(messages))
		tenants = append(tenants, tenant)
	}
	for _, tenant := range tenants {
		requireSucceeded(t, app, tenant, ids[tenant])
		app.RequireNoDeadLetters(tenant)
	}
	t.Logf("at most %d KiB of an answer were taken", most.Load()>>10)
	require.Less(t, most.Load(), int64(tolerated), "buffers of the system included")
	require.Len(t, receiver.Received(), 2*messages)
}

// Without leave the service calls nothing that is not public, and whatever an
// endpoint is called, it is either good or refused.
func TestEndpointsAreNotTrusted(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusOK))
	tenant := app.CreateTenant("tenant", 1).ID
	path := "/api/tenants/" + tenant + "/endpoint"
	for _, c := range []struct {
		status int
		body   string
	}{
		{bad, ``},
		{bad, `{"url":`},
		{invalid, `null`},
		{invalid, `[]`},
		{invalid, `{}`},
		{invalid, `{"url":null}`},
		{invalid, `{"url":1}`},
		{invalid, `{"url":"https://example.com","timeout_ms":99}`},
		{invalid, `{"url":"https://example.com","timeout_ms":15001}`},
		{invalid, `{"url":"https://example.com","timeout_ms":"5000"}`},
		{invalid, `{"url":"https://example.com","timeout_ms":1e99}`},
		{invalid, `{"url":"https://example.com","unknown":1}`},
		{invalid, `{"url":"https://example.com","secret":"whsec_AAAA"}`},
		{invalid, `{"url":"file:///etc/passwd"}`},
		{invalid, `{"url":"https://example.com/\u0000"}`},
		{invalid, `{"url":"https://` + strings.Repeat("x", 2000) + `"}`},
	} {
		app.Refused(c.status, "", "PUT", path, c.body)
	}
	for _, id := range hostileIDs() {
		for _, method := range []string{"PUT", "GET", "DELETE"} {
			app.Refused(bad, "invalid_id", method, "/api/tenants/"+url.PathEscape(id)+"/endpoint", `{"url":"https://example.com"}`)
		}
	}
	app.Refused(missing, "endpoint_not_found", "GET", path, nil)
	app.Refused(missing, "endpoint_not_found", "POST", path+"/test", nil)

	app.SetEndpoint(tenant, receiver.URL(), endpointTimeout)
	var result struct {
		Status *int
		Error  string
	}
	app.Want(http.StatusOK, &result, "POST", path+"/test", nil)
	require.Nil(t, result.Status)
	require.Equal(t, "the address is not allowed", result.Error)
	id := app.Publish(tenant, `1`)
	apptest.Await(t, apptest.Long, func() error { return app.Delivery(tenant, id).Is("retrying", 1, 0) })
	require.Empty(t, receiver.Received())
}
