package tests

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

type letterGroups struct {
	Data []struct {
		Reason     string
		EndpointID *string `json:"endpoint_id"`
		Error      string
		Count      int
		First      time.Time
		Last       time.Time
		ExampleID  int64 `json:"example_id"`
	}
	Others, Counted int
	Truncated       bool
}

// Groups tell what is wrong where many letters differ in their details.
func TestDeadLetterGroups(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering())
	tenant, other := app.CreateTenant("groups", 0).ID, app.CreateTenant("other", 0).ID
	failing := apptest.NewReceiver(t, apptest.Answering(http.StatusBadRequest))
	endpoint := app.CreateEndpoint(tenant, failing.URL(), map[string]any{"retry": map[string]any{"schedule": []string{"1s"}, "final": []int{400}}})
	app.PublishAll(tenant, []string{`1`, `2`, `3`})
	for i := range 5 {
		app.Put(apptest.QueueName(tenant), fmt.Sprint("order ", i), fmt.Sprintf(`{"n": %d}x`, i*i*i*i*i))
	}
	app.Put(apptest.QueueName(other), "", `x`)
	letters := deadLetters(t, app, tenant, "", 8)
	var groups letterGroups
	app.Want(http.StatusOK, &groups, "GET", "/api/dead-letters/groups", nil, apptest.ForTenant(tenant))
	require.Len(t, groups.Data, 2)
	require.Equal(t, 8, groups.Counted)
	require.Zero(t, groups.Others)
	require.False(t, groups.Truncated)
	require.Equal(t, "invalid_payload", groups.Data[0].Reason)
	require.Equal(t, 5, groups.Data[0].Count)
	require.Contains(t, groups.Data[0].Error, "<number>")
	require.Nil(t, groups.Data[0].EndpointID)
	require.Equal(t, "delivery_failed", groups.Data[1].Reason)
	require.Equal(t, 3, groups.Data[1].Count)
	require.Equal(t, "status 400", groups.Data[1].Error)
	require.Equal(t, endpoint.ID, *groups.Data[1].EndpointID)
	last := make(map[string]int64)
	for _, l := range letters {
		last[l.Reason] = l.ID
	}
	for _, g := range groups.Data {
		require.Equal(t, g.Count, requireSummaries(t, app, tenant, g.Error, g.Reason, g.ExampleID))
		require.Equal(t, last[g.Reason], g.ExampleID)
		require.False(t, g.Last.Before(g.First))
	}
	app.Want(http.StatusOK, &groups, "GET", "/api/dead-letters/groups?endpoint_id="+endpoint.ID, nil, apptest.ForTenant(tenant))
	require.Len(t, groups.Data, 1)

	// Of very many letters the newest are looked at, and the answer comes in time.
	app.Exec(fmt.Sprintf(`INSERT INTO dead_letters (tenant_id, letter_id, message_id, body, headers, reason, error, attempts, bytes)
		SELECT '%s', gen_random_uuid(), 'x', '', '{}', 'invalid_payload', 'not JSON at byte ' || n, 1, 2 FROM generate_series(1, 200000) AS n`, other))
	begun := time.Now()
	app.Want(http.StatusOK, &groups, "GET", "/api/dead-letters/groups", nil, apptest.ForTenant(other))
	require.Less(t, time.Since(begun), 6*time.Second)
	require.True(t, groups.Truncated)
	require.LessOrEqual(t, groups.Counted, 100_000)
	require.Len(t, groups.Data, 1)
	require.Equal(t, "not JSON at byte <number>", groups.Data[0].Error)
	require.Equal(t, groups.Counted, groups.Data[0].Count)
	t.Log(groups.Counted, "letters in", time.Since(begun))
}

// requireSummaries follows the pages of letters whose error is that of a group, of which
// the newest is known, and returns how many there are.
func requireSummaries(t *testing.T, app *apptest.App, tenant, shape, reason string, newest int64) (n int) {
	t.Helper()
	before := newest + 1
	for cursor := "0"; cursor != ""; {
		var page struct {
			Data []struct {
				ID     int64
				Reason string
			}
			NextCursor string `json:"next_cursor"`
		}
		query := url.Values{"error": {shape}, "limit": {"2"}, "cursor": {cursor}}
		app.Want(http.StatusOK, &page, "GET", "/api/dead-letters/summaries?"+query.Encode(), nil, apptest.ForTenant(tenant))
		require.LessOrEqual(t, len(page.Data), 2)
		for _, l := range page.Data {
			require.Less(t, l.ID, before, "newest first")
			require.Equal(t, reason, l.Reason)
			before = l.ID
			n++
		}
		cursor = page.NextCursor
	}
	return n
}
