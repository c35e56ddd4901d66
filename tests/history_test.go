package tests

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

func TestHistoryInPages(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant, other := app.CreateTenant("paged", 0).ID, app.CreateTenant("other", 0).ID
	app.PublishAll(other, numbered(100))
	sent := app.PublishAll(tenant, numbered(1000))
	app.Stored(tenant, 1000)

	messages, pages := []apptest.Message{}, 0
	for cursor := "0"; cursor != ""; pages++ {
		page := app.Page(tenant, "cursor="+cursor+"&limit=10")
		require.Len(t, page.Data, 10)
		require.Equal(t, strconv.FormatInt(page.Data[9].Seq, 10), page.LastCursor)
		messages = append(messages, page.Data...)
		cursor = page.NextCursor
	}
	require.Equal(t, 100, pages)
	require.Len(t, messages, 1000)
	for i, m := range messages {
		require.Equal(t, int64(i+1), m.Seq)
		require.Equal(t, tenant, m.TenantID)
	}
	require.ElementsMatch(t, sent, apptest.IDs(messages))

	// From the end to the beginning.
	var back []apptest.Message
	for query := "order=desc&limit=300"; query != ""; {
		page := app.Page(tenant, query)
		back = append(back, page.Data...)
		query = ""
		if page.NextCursor != "" {
			query = "order=desc&limit=300&cursor=" + page.NextCursor
		}
	}
	require.Len(t, back, 1000)
	for i, m := range back {
		require.Equal(t, messages[999-i], m)
	}
}

func TestHistoryAtItsEnds(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("short", 0).ID
	require.Equal(t, apptest.Page{Data: []apptest.Message{}, LastCursor: "0"}, app.Page(tenant, ""))
	require.Equal(t, apptest.Page{Data: []apptest.Message{}, LastCursor: "0"}, app.Page(tenant, "cursor=99"))
	app.PublishAll(tenant, numbered(3))
	app.Stored(tenant, 3)
	page := app.Page(tenant, "cursor=2")
	require.Len(t, page.Data, 1)
	require.Empty(t, page.NextCursor)
	require.Equal(t, "3", page.LastCursor)
	page = app.Page(tenant, "cursor=0&limit=3")
	require.Len(t, page.Data, 3)
	require.Empty(t, page.NextCursor)
	require.Equal(t, apptest.Page{Data: []apptest.Message{}, LastCursor: "3"}, app.Page(tenant, "cursor=9223372036854775807"))
	page = app.Page(tenant, "order=desc&cursor=3")
	require.Len(t, page.Data, 2)
	require.Equal(t, int64(2), page.Data[0].Seq)
	page = app.Page(tenant, "order=desc&cursor=1")
	require.Empty(t, page.Data)
	require.Equal(t, "1", page.LastCursor)

	// A client that was further before the database was restored misses nothing
	// that comes from now on.
	ahead := app.Page(tenant, "cursor=50")
	require.Equal(t, apptest.Page{Data: []apptest.Message{}, LastCursor: "3"}, ahead)
	app.PublishAll(tenant, numbered(1))
	app.Stored(tenant, 4)
	page = app.Page(tenant, "cursor="+ahead.LastCursor)
	require.Len(t, page.Data, 1)
	require.Equal(t, int64(4), page.Data[0].Seq)
}

// A reader that follows the cursor while writers go on sees every message
// once, in the order of seq.
func TestHistoryFollowedWhileWritersGoOn(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant, other := app.CreateTenant("followed", 20).ID, app.CreateTenant("busy", 20).ID
	load := apptest.StartLoad(t, app.Client, []string{tenant, tenant, tenant, tenant, other}, 5000)
	cursor, seen := "0", make(map[string]bool)
	last := int64(0)
	stopped := false
	follow := func() error {
		page := app.Page(tenant, "limit=37&cursor="+cursor)
		for _, m := range page.Data {
			last++
			require.Equal(t, last, m.Seq, "nothing is skipped or repeated")
			require.Equal(t, tenant, m.TenantID)
			require.False(t, seen[m.ID])
			seen[m.ID] = true
		}
		cursor = page.LastCursor
		require.Equal(t, strconv.FormatInt(last, 10), cursor)
		switch {
		case !stopped && load.Accepted() >= 5000:
			load.Stop()
			stopped = true
			return apptest.NotYet("stopped")
		case !stopped || page.NextCursor != "" || len(seen) < load.AcceptedFor(tenant):
			return apptest.NotYet("%d messages seen", len(seen))
		}
		return nil
	}
	apptest.Await(t, 2*apptest.Long, follow)
	require.Len(t, seen, load.AcceptedFor(tenant))
	load.RequireNoRefusals()
	load.RequireStored(app.Probes)
}

func TestOneMessage(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant, other := app.CreateTenant("one", 0).ID, app.CreateTenant("other", 0).ID
	id := app.Publish(tenant, `{"a":1}`)
	app.Stored(tenant, 1)
	var m apptest.Message
	app.Want(http.StatusOK, &m, "GET", "/messages/"+id, nil, apptest.ForTenant(tenant))
	require.Equal(t, id, m.ID)
	app.Want(http.StatusOK, &m, "GET", "/messages/"+id+"?tenant_id="+tenant, nil)
	app.Refused(http.StatusNotFound, "message_not_found", "GET", "/messages/"+id, nil, apptest.ForTenant(other))
	app.Refused(http.StatusNotFound, "message_not_found", "GET", "/messages/"+other, nil, apptest.ForTenant(tenant))
	app.Refused(http.StatusBadRequest, "", "GET", "/messages/"+id, nil)
}
