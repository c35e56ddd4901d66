package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/tests/apptest"
)

// Every example of openapi.json works as it is, all parameters of an operation at once:
// only ids of what is there, and the address of a receiver, take the place of those that
// it shows.
func TestExamplesWork(t *testing.T) {
	t.Parallel()
	unlimited := func(c *config.Config) { c.Limits.TenantsPerMinute = 0 }
	m := &matrixWorld{t: t, app: apptest.Boot(t, apptest.WithSecret(), apptest.Delivering(), apptest.ManagingUsers(t), unlimited)}
	w := &propertyWorld{matrixWorld: m, operations: propertyOperations(t)}
	m.app.AddUser("root@example.com", "admin", "")
	m.root = m.app.LoggedIn("root@example.com")
	m.ada = m.root // who owns everything
	m.acme = m.furnish(m.root, "canary-acme")
	// Somebody is created, logs in, and changes the password; somebody else logs out.
	first := []string{"createUser", "login", "changePassword"}
	_, leaving := m.user("leaving", "viewer", "")
	place := func(o propertyOperation) int {
		if i := slices.Index(first, o.document.OperationID); i >= 0 {
			return i
		}
		if o.method == http.MethodDelete { // when nobody needs it any more
			return len(first) + 1
		}
		return len(first)
	}
	slices.SortStableFunc(w.operations, func(a, b propertyOperation) int { return place(a) - place(b) })
	caller := m.root
	for i := range w.operations {
		o := &w.operations[i]
		r := exampleRequest(t, o)
		client := caller
		if o.document.OperationID == "logout" {
			client = leaving
		}
		answer := w.send(client, o, &r)
		require.True(t, answer.Status < 300 || answer.Status == o.route.also, "%s: %v\n%d %s", o.name, &r, answer.Status, answer.Body)
		require.NoError(t, w.check(o, &r, answer), "%s: %v", o.name, &r)
		switch o.document.OperationID {
		case "login":
			var token struct{ Token string }
			require.NoError(t, json.Unmarshal(answer.Body, &token))
			caller = m.app.As("Bearer " + token.Token)
		case "changePassword":
			require.Equal(t, http.StatusUnauthorized, caller.Call("GET", "/api/me", nil).Status, "all tokens end")
			caller = m.root
		}
	}
	require.Equal(t, http.StatusUnauthorized, leaving.Call("GET", "/api/me", nil).Status)
}

// exampleRequest returns the request that the examples of an operation make, with
// $tenant and the like for what is there.
func exampleRequest(t *testing.T, o *propertyOperation) propertyRequest {
	t.Helper()
	r := propertyRequest{method: o.method, path: o.path}
	real := map[string]string{"X-Tenant-ID": "$tenant", "tenant_id": "$tenant", "endpoint_id": "$endpoint", "ticket": "$ticket"}
	var query []string
	for _, ref := range o.document.Parameters {
		p := ref.Value
		require.NotNil(t, p.Example, "%s: %s has no example", o.name, p.Name)
		value, ok := real[p.Name]
		if !ok {
			value = fmt.Sprint(p.Example)
		}
		switch p.In {
		case openapi3.ParameterInHeader:
			r.headers = append(r.headers, apptest.Header{p.Name, value})
		case openapi3.ParameterInQuery:
			query = append(query, p.Name+"="+strings.ReplaceAll(url.QueryEscape(value), "%24", "$"))
		}
	}
	r.query = strings.Join(query, "&")
	if o.document.RequestBody != nil {
		example := o.document.RequestBody.Value.Content.Get("application/json").Example
		require.NotNil(t, example, "%s: its body has no example", o.name)
		body, err := json.Marshal(example)
		require.NoError(t, err)
		text := strings.ReplaceAll(string(body), "https://example.com/hooks/orders", "http://127.0.0.1:1/hooks/orders")
		r.body = &text
	}
	return r
}
