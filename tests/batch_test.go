package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// ndjson makes a body one payload a line.
func ndjson() apptest.Header { return apptest.Header{"Content-Type", "application/x-ndjson"} }

// numbered returns n different payloads.
func numbered(n int) []string {
	payloads := make([]string, n)
	for i := range payloads {
		payloads[i] = fmt.Sprintf(`{"n":%d}`, i)
	}
	return payloads
}

// With one worker the history is in the order of publication.
func TestBatchKeepsOrder(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("ordered", 1).ID
	sent := app.PublishAll(tenant, numbered(2500))
	stored := app.Stored(tenant, 2500)
	require.Equal(t, sent, apptest.IDs(stored))
	for i, m := range stored {
		apptest.RequireSameJSON(t, fmt.Sprintf(`{"n":%d}`, i), string(m.Payload))
	}
}

func TestBatchOfLines(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("lines", 1).ID
	var result apptest.BatchResult
	app.Want(http.StatusAccepted, &result, "POST", "/api/messages/batch",
		"{\"n\":1}\n\n  [2]\r\nnull\n\"four\"", apptest.ForTenant(tenant), ndjson())
	require.Equal(t, 4, result.Accepted)
	require.Zero(t, result.Rejected)
	stored := app.Stored(tenant, 4)
	for i, want := range []string{`{"n":1}`, `[2]`, `null`, `"four"`} {
		require.Equal(t, result.Results[i].ID, stored[i].ID)
		apptest.RequireSameJSON(t, want, string(stored[i].Payload))
	}
	app.Want(http.StatusAccepted, &result, "POST", "/messages/batch",
		strings.Join(numbered(1000), "\n"), apptest.ForTenant(tenant), ndjson())
	require.Equal(t, 1000, result.Accepted)
	app.Stored(tenant, 1004)
}

func TestBatchWithBadMessages(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("mixed", 1).ID
	var result apptest.BatchResult
	app.Want(http.StatusMultiStatus, &result, "POST", "/api/messages/batch", `{"messages":[
		{"payload":"first"}, {"payload":"\u0000"}, {}, {"payload":1e999999}, {"payload":2,"unknown":3}, 7,
		{"payload":"key","idempotency_key":""}, {"payload":"last"}]}`, apptest.ForTenant(tenant))
	require.Equal(t, 2, result.Accepted)
	require.Equal(t, 6, result.Rejected)
	for i, item := range result.Results {
		require.Equal(t, i, item.Index)
		if i == 0 || i == 7 {
			require.Equal(t, "accepted", item.Status)
			continue
		}
		require.Equal(t, "rejected", item.Status)
		require.Equal(t, http.StatusUnprocessableEntity, item.Error.Status)
		require.NotEmpty(t, item.Error.Code)
	}
	stored := app.Stored(tenant, 2)
	require.JSONEq(t, `"first"`, string(stored[0].Payload))
	require.JSONEq(t, `"last"`, string(stored[1].Payload))

	app.Want(http.StatusMultiStatus, &result, "POST", "/api/messages/batch", "1\n{\n3", apptest.ForTenant(tenant), ndjson())
	require.Equal(t, 2, result.Accepted)
	require.Equal(t, "rejected", result.Results[1].Status)
	app.Stored(tenant, 4)
}

func TestBatchRefusedWhole(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("refused", 1).ID
	big := `"` + strings.Repeat("x", 1<<20-2) + `"`
	for _, c := range []struct {
		status int
		body   string
		lines  bool
	}{
		{http.StatusUnprocessableEntity, `{"messages":[]}`, false},
		{http.StatusUnprocessableEntity, `{"messages":[{"payload":` + strings.Join(numbered(1001), `},{"payload":`) + `}]}`, false},
		{http.StatusUnprocessableEntity, strings.Join(numbered(1001), "\n"), true},
		{http.StatusUnprocessableEntity, "\n\n", true},
		{http.StatusUnprocessableEntity, `{"messages":{}}`, false},
		{http.StatusUnprocessableEntity, `{}`, false},
		{http.StatusBadRequest, `{"messages":[{"payload":1}`, false},
		{http.StatusRequestEntityTooLarge, strings.Repeat(big+"\n", 17), true},
	} {
		headers := []apptest.Header{apptest.ForTenant(tenant)}
		if c.lines {
			headers = append(headers, ndjson())
		}
		app.Refused(c.status, "", "POST", "/api/messages/batch", c.body, headers...)
	}
	app.Publish(tenant, `"only this"`)
	require.JSONEq(t, `"only this"`, string(app.Stored(tenant, 1)[0].Payload))
}

func TestBatchOfLargeMessages(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("large", 4).ID
	large := `"` + strings.Repeat("ä", 100<<10) + `"`
	sent := make([]string, 12)
	for i := range sent {
		sent[i] = large
	}
	app.PublishAll(tenant, sent)
	for _, m := range app.Stored(tenant, len(sent)) {
		require.Equal(t, large, string(m.Payload))
	}
}
