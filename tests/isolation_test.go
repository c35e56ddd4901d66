package tests

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// No route shows or touches another tenant's data, whatever is sent: for
// strangers it does not exist.
func TestIsolation(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret())
	for email, role := range map[string]string{"root@example.com": "admin", "ada@example.com": "member", "bob@example.com": "member"} {
		app.AddUser(email, role, "")
	}
	root, ada, bob := app.LoggedIn("root@example.com"), app.LoggedIn("ada@example.com"), app.LoggedIn("bob@example.com")
	ofAda, ofBob := ada.CreateTenant("of Ada", 0).ID, bob.CreateTenant("of Bob", 0).ID
	app.AddUser("eve@example.com", "member", ofBob)
	app.AddUser("vic@example.com", "viewer", ofAda)
	eve, vic := app.LoggedIn("eve@example.com"), app.LoggedIn("vic@example.com")
	secret := ada.Publish(ofAda, `"of Ada alone"`)
	ada.Stored(ofAda, 1)
	bob.Publish(ofBob, `"of Bob"`)
	bob.Stored(ofBob, 1)

	path := "/api/tenants/" + ofAda
	for name, stranger := range map[string]*apptest.Client{"another owner": bob, "a member of another tenant": eve} {
		for _, c := range []struct{ method, path, body string }{
			{"GET", path, ""},
			{"PATCH", path, `{"name":"stolen"}`},
			{"PATCH", path, `{"status":"inactive"}`},
			{"DELETE", path, ""},
			{"PUT", path + "/config/concurrency", `{"workers":1}`},
			{"POST", "/api/messages", `{"payload":"forged"}`},
			{"POST", "/api/messages/batch", `{"messages":[{"payload":"forged"}]}`},
			{"GET", "/api/messages", ""},
			{"GET", "/api/messages?cursor=0", ""},
			{"GET", "/api/messages/" + secret, ""},
		} {
			p := stranger.Refused(http.StatusNotFound, "tenant_not_found", c.method, c.path, c.body, apptest.ForTenant(ofAda))
			require.NotContains(t, p.Detail, ofAda, name)
		}
		// The same with the tenant in the query, and an id in one's own tenant.
		stranger.Refused(http.StatusNotFound, "tenant_not_found", "GET", "/api/messages?tenant_id="+ofAda, nil)
		stranger.Refused(http.StatusNotFound, "message_not_found", "GET", "/api/messages/"+secret, nil, apptest.ForTenant(ofBob))
		stranger.Refused(http.StatusBadRequest, "tenant_mismatch", "GET", "/api/messages?tenant_id="+ofAda, nil, apptest.ForTenant(ofBob))
		require.Len(t, stranger.History(ofBob, 50), 1)
		require.Empty(t, stranger.Page(ofBob, "cursor=1").Data)
		var page apptest.TenantPage
		stranger.Want(http.StatusOK, &page, "GET", "/api/tenants", nil)
		require.Len(t, page.Data, 1, name)
		require.Equal(t, ofBob, page.Data[0].ID)
		// Another tenant's id as a cursor is just a place in the order.
		stranger.Want(http.StatusOK, &page, "GET", "/api/tenants?cursor="+ofAda, nil)
		for _, tenant := range page.Data {
			require.Equal(t, ofBob, tenant.ID)
		}
	}

	// A caller that belongs to one tenant need not name it, and cannot manage it.
	page := apptest.Page{}
	eve.Want(http.StatusOK, &page, "GET", "/api/messages", nil)
	require.Len(t, page.Data, 1)
	require.Equal(t, ofBob, page.Data[0].TenantID)
	eve.Refused(http.StatusForbidden, "", "DELETE", "/api/tenants/"+ofBob, nil)
	eve.Refused(http.StatusForbidden, "", "PUT", "/api/tenants/"+ofBob+"/config/concurrency", `{"workers":9}`)
	bob.Refused(http.StatusBadRequest, "tenant_required", "GET", "/api/messages", nil)

	// Viewers read.
	require.Len(t, vic.History(ofAda, 50), 1)
	vic.Want(http.StatusOK, nil, "GET", path, nil)
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/api/messages", `{"payload":1}`},
		{"POST", "/api/messages/batch", `{"messages":[{"payload":1}]}`},
		{"POST", "/api/tenants", `{"name":"x"}`},
		{"DELETE", path, ""},
		{"PATCH", path, `{"name":"x"}`},
		{"PUT", path + "/config/concurrency", `{"workers":9}`},
		{"GET", "/api/users", ""},
		{"POST", "/api/users", `{}`},
	} {
		vic.Refused(http.StatusForbidden, "", c.method, c.path, c.body, apptest.ForTenant(ofAda))
	}

	// Admins may everything, and nothing above left a trace.
	require.Len(t, root.History(ofAda, 50), 1)
	var tenant apptest.Tenant
	root.Want(http.StatusOK, &tenant, "GET", path, nil)
	require.Equal(t, "of Ada", tenant.Name)
	require.Equal(t, "active", tenant.Status)
	require.Equal(t, 3, tenant.Workers)
	ada.Publish(ofAda, `"second"`)
	ada.Stored(ofAda, 2)
}

// A tenant_id in a body or in a message means nothing.
func TestTenantInTheBodyMeansNothing(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	one, other := app.CreateTenant("one", 0).ID, app.CreateTenant("other", 0).ID
	app.Publish(one, `{"tenant_id":"`+other+`"}`)
	app.Put(apptest.QueueName(one), "", `{"tenant_id":"`+other+`"}`)
	app.Stored(one, 2)
	app.Refused(http.StatusUnprocessableEntity, "", "POST", "/api/messages", `{"payload":1,"tenant_id":"`+other+`"}`, apptest.ForTenant(one))
	app.Stored(other, 0)
}
