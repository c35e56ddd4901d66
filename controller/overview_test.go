package controller

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/model"
)

func TestOverview(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.do("GET", "/api/overview", "")
	require.Equal(t, http.StatusOK, got.status, got.body)
	all := decodeReply[model.Overview](t, got)
	require.Equal(t, "1.2.3", all.Version)
	require.Equal(t, map[string]string{"broker": "ready"}, all.Servers)
	require.Equal(t, 1, *all.Replicas)
	require.InDelta(t, 3.46, *all.Rates[1].Accepted, 0)
	require.InDelta(t, 12.35, *all.Rates[1].PublishP99MS, 0.011)
	require.Contains(t, got.body, `"accepted":null,"stored":null`, "what was not measured is no zero")
	require.InDelta(t, 2.0, *all.Backlog.OldestSeconds, 0)
	require.Equal(t, 1, all.Tenants.Failing)
	require.Equal(t, map[string]any{"workers": 6.0}, all.Attention[0].Action.Body)
	require.Contains(t, got.body, `{"tenant_id":null,"tenant_name":null,"kind":"quota"`)

	got = a.do("GET", "/api/overview", "", "Authorization: viewer")
	for _, name := range []string{"version", "servers", "replicas", "rates"} {
		require.NotContains(t, got.body, `"`+name+`"`, "it is for admins")
	}
}

func TestOverviewOfTenants(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.do("GET", "/api/overview/tenants?q=ac%20me&state=waits&sort=backlog&limit=7&cursor=abc", "")
	page := decodeReply[model.TenantOverviewPage](t, got)
	require.Equal(t, domain.OverviewQuery{Text: "ac me", State: domain.StateWaits, Sort: domain.SortBacklog, Cursor: "abc", Limit: 7}, a.fakes.overviewQuery)
	require.Equal(t, 7, page.Total)
	require.Equal(t, "next", page.NextCursor)
	row := page.Data[0]
	require.Equal(t, []any{"Acme", "fails", "running", int64(5), 2.0, 212.4}, []any{row.Name, row.State, *row.Consumer, *row.Backlog, *row.OldestSeconds, *row.Rate})
	require.Equal(t, []int{2, 1}, []int{row.Endpoints, row.EndpointsFailing})
	require.Contains(t, a.do("GET", "/api/overview/tenants/"+tenantID.String(), "").body, `"last_seq":1842`)

	a.do("GET", "/api/overview/tenants?cursor=0", "")
	require.Equal(t, domain.OverviewQuery{Limit: 50}, a.fakes.overviewQuery)
	for _, query := range []string{
		"limit=0", "limit=1001", "state=fine", "state=", "sort=size", "cursor=", "q=a&q=b", "q=" + strings.Repeat("x", 256), "sort=name&sort=name",
	} {
		a.problem(a.do("GET", "/api/overview/tenants?"+query, ""), http.StatusBadRequest, "invalid_query")
	}
	require.Equal(t, http.StatusOK, a.do("GET", "/api/overview/tenants?q="+strings.Repeat("%F0%9F%90%9F", 255), "").status)
}

func TestFleet(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	fleet := decodeReply[model.Fleet](t, a.do("GET", "/api/fleet", ""))
	require.Equal(t, []any{"host-1", "live", 1}, []any{fleet.Replicas[0].ID, fleet.Replicas[0].State, fleet.Replicas[0].Tenants})
	require.Equal(t, []string{"Acme", "host-0", "host-1"}, []string{fleet.Moves[0].TenantName, fleet.Moves[0].From, fleet.Moves[0].To})
	a.do("GET", "/api/fleet/host%2F1/tenants?limit=3", "")
	require.Equal(t, domain.OverviewQuery{Replica: "host/1", Limit: 3}, a.fakes.overviewQuery)
}
