package tests

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/tests/apptest"
)

type auditLine struct {
	ID    string
	Actor struct {
		Kind    string
		UserID  string `json:"user_id"`
		KeyID   string `json:"key_id"`
		LinkID  string `json:"portal_link_id"`
		Address string
	}
	Action    string
	TenantID  string `json:"tenant_id"`
	Target    string
	RequestID string `json:"request_id"`
	Before    map[string]any
	After     map[string]any
}

type auditPage struct {
	Data       []auditLine
	NextCursor string `json:"next_cursor"`
}

// Every change is in the audit log, with who made it and what it was before; the owner
// sees what concerns its tenants and nothing else, and no secret is in it.
func TestAuditLog(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret(), func(c *config.Config) { c.Delivery.AllowPrivate = true })
	for email, role := range map[string]string{"root@example.com": "admin", "ada@example.com": "member", "bob@example.com": "member"} {
		app.AddUser(email, role, "")
	}
	root, ada, bob := app.LoggedIn("root@example.com"), app.LoggedIn("ada@example.com"), app.LoggedIn("bob@example.com")
	bob.CreateTenant("of Bob", 1)

	tenant := ada.CreateTenant("of Ada", 2).ID
	ada.Resize(tenant, 5)
	ada.Want(http.StatusOK, nil, "PATCH", "/tenants/"+tenant, `{"name":"renamed"}`)
	root.Want(http.StatusAccepted, nil, "DELETE", "/consumers/"+tenant, nil)
	ada.Want(http.StatusAccepted, nil, "POST", "/consumers/"+tenant, nil)
	const canary = "canary-3f9a"
	e := ada.CreateEndpoint(tenant, "http://127.0.0.1:1/hook?token="+canary, map[string]any{"headers": map[string]string{"X-Key": canary}})
	ada.ChangeEndpoint(&e, map[string]any{"rate": 7})
	ada.Tell(&e, "hold")
	ada.Tell(&e, "resume")
	ada.Tell(&e, "rotate-secret")
	ada.DeleteEndpoint(&e)
	ada.Publish(tenant, `"`+canary+`"`)
	ada.Stored(tenant, 1)
	ada.Delete(tenant)

	audit := func(c *apptest.Client, query string) auditPage {
		var page auditPage
		answer := c.Want(http.StatusOK, &page, "GET", "/audit"+query, nil)
		require.NotContains(t, string(answer.Body), canary)
		return page
	}
	lines := audit(ada, "?tenant_id="+tenant).Data
	var actions []string
	for _, line := range lines {
		actions = append(actions, line.Action)
		require.Equal(t, tenant, line.TenantID)
		require.Equal(t, "user", line.Actor.Kind)
		require.NotEmpty(t, line.Actor.Address)
		require.NotEmpty(t, line.RequestID)
	}
	require.Equal(t, []string{
		"tenant.delete", "endpoint.delete", "endpoint.rotate_secret", "endpoint.resume", "endpoint.hold", "endpoint.change", "endpoint.create",
		"consumer.start", "consumer.stop", "tenant.change", "tenant.workers", "tenant.create",
	}, actions)
	workers, stop, change := lines[10], lines[8], lines[5]
	require.Equal(t, map[string]any{"workers": 2.0}, workers.Before)
	require.Equal(t, map[string]any{"workers": 5.0}, workers.After)
	require.NotEqual(t, workers.Actor.UserID, stop.Actor.UserID, "the admin stopped it")
	require.Equal(t, e.ID, change.Target)
	require.Equal(t, map[string]any{"rate": 7.0}, change.After)

	// Users, and logins.
	var user struct{ ID string }
	root.Want(http.StatusCreated, &user, "POST", "/users", `{"name":"Eve","email":"eve@example.com","password":"`+canary+` mumble orbit"}`)
	root.Want(http.StatusOK, nil, "PATCH", "/users/"+user.ID, `{"password":"`+canary+` gravel orbit"}`)
	root.Want(http.StatusOK, nil, "PATCH", "/users/"+user.ID, `{"role":"viewer","limits":{"tenants":1}}`)
	ada.Refused(http.StatusUnauthorized, "invalid_credentials", "POST", "/login", `{"email":"eve@example.com","password":"`+canary+`"}`)
	root.Want(http.StatusNoContent, nil, "DELETE", "/users/"+user.ID, nil)
	users := audit(root, "?limit=5").Data
	actions = nil
	for _, line := range users {
		actions = append(actions, line.Action)
	}
	require.Equal(t, []string{"user.delete", "login.failed", "user.change", "user.password", "user.create"}, actions)
	require.Equal(t, "anonymous", users[1].Actor.Kind)
	require.Equal(t, "eve@example.com", users[1].Target)
	require.Equal(t, map[string]any{"role": "viewer", "limits.tenants": 1.0}, users[2].After)
	require.Equal(t, map[string]any{"role": "member"}, users[2].Before)
	require.Len(t, audit(ada, "?action=login").Data, 1)

	// API keys, and commands.
	another := ada.CreateTenant("another", 1).ID
	key := ada.CreateAPIKey(another, "publish", "read", "manage")
	byKey := app.By(&key)
	byKey.Resize(another, 3)
	byKey.Refused(http.StatusForbidden, "key_not_accepted", "GET", "/audit", nil)
	ada.Want(http.StatusNoContent, nil, "DELETE", key.Path(), nil)
	ofKeys := audit(ada, "?limit=3").Data
	require.Equal(t, []string{"api_key.revoke", "tenant.workers", "api_key.create"}, []string{ofKeys[0].Action, ofKeys[1].Action, ofKeys[2].Action})
	require.Equal(t, "key", ofKeys[1].Actor.Kind)
	require.Equal(t, key.ID, ofKeys[1].Actor.KeyID)
	require.Equal(t, ofKeys[0].Actor.UserID, ofKeys[1].Actor.UserID, "it is the owner's")
	require.Equal(t, []any{"publish", "read", "manage"}, ofKeys[2].After["scopes"])
	command := func(args ...string) string {
		text, err := app.Command(args...)
		require.NoError(t, err)
		return text
	}
	command("user", "add", "--email", "late@example.com", "--password", canary+" mumble orbit")
	text := command("audit", "--action", "user.create")
	require.Contains(t, text, "command")
	require.NotContains(t, text, canary)
	require.Len(t, strings.Split(strings.TrimSpace(text), "\n"), 3, "the head, and two users")
	require.Contains(t, command("audit", "--json", "--actor", "ada@example.com", "--tenant", another, "--limit", "1"), `"action":"api_key.revoke"`)
	_, err := app.Command("audit", "--tenant", "x")
	require.ErrorContains(t, err, "--tenant")

	// Page by page, by action and by actor.
	page := audit(ada, "?limit=5&tenant_id="+tenant)
	require.Equal(t, lines[:5], page.Data)
	require.Equal(t, lines[5:], audit(ada, "?tenant_id="+tenant+"&cursor="+page.NextCursor).Data)
	require.Len(t, audit(root, "?action=endpoint.").Data, 6)
	require.Len(t, audit(root, "?action=consumer.stop").Data, 1)
	require.Len(t, audit(root, "?action=consumer.&actor="+stop.Actor.UserID).Data, 1)

	for _, line := range audit(bob, "").Data {
		require.NotEqual(t, tenant, line.TenantID)
	}
	require.Empty(t, audit(bob, "?tenant_id="+tenant).Data)
	for _, query := range []string{"cursor=x", "limit=0", "limit=1001", "tenant_id=x", "actor=x", "action=" + strings.Repeat("x", 200)} {
		require.Equal(t, http.StatusBadRequest, ada.Call("GET", "/audit?"+query, nil).Status, query)
	}
}

// A change that is refused, or fails, leaves no line.
func TestAuditLogHasOnlyWhatWasDone(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("first", 1).ID
	require.Equal(t, http.StatusUnprocessableEntity, app.Call("PUT", "/tenants/"+tenant+"/config/concurrency", `{"workers":0}`).Status)
	require.Equal(t, http.StatusUnprocessableEntity, app.Call("PATCH", "/tenants/"+tenant, `{"name":""}`).Status)
	app.Call("POST", "/tenants", `{"name":"second"}`, apptest.WithKey("k"))
	app.Call("POST", "/tenants", `{"name":"second"}`, apptest.WithKey("k"))
	var page auditPage
	app.Want(http.StatusOK, &page, "GET", "/audit", nil)
	require.Len(t, page.Data, 2)
	for _, line := range page.Data {
		require.Equal(t, "tenant.create", line.Action)
		require.Equal(t, "open", line.Actor.Kind)
	}
	// The line is written in the transaction of the change: without it there is none.
	app.Exec(`ALTER TABLE audit ADD CONSTRAINT full_up CHECK (action <> 'tenant.workers')`)
	app.ExpectError("request")
	require.Equal(t, http.StatusInternalServerError, app.Call("PUT", "/tenants/"+tenant+"/config/concurrency", `{"workers":9}`).Status)
	var there apptest.Tenant
	app.Want(http.StatusOK, &there, "GET", "/tenants/"+tenant, nil)
	require.Equal(t, 1, there.Workers)
}
