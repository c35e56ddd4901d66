package controller

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
)

// bodies are valid bodies for the routes that take one.
var bodies = map[string]string{
	"POST /login":         `{"email":"ada@example.com","password":"correct horse battery"}`,
	"PUT /me/password":    `{"current":"correct horse battery","new":"gravel mumble tax orbit"}`,
	"POST /users":         `{"name":"Ada","email":"ada@example.com","password":"correct horse battery"}`,
	"PATCH /users/{id}":   `{"name":"Ada"}`,
	"POST /tenants":       `{"name":"Acme"}`,
	"PATCH /tenants/{id}": `{"name":"Acme"}`,
	"PUT /tenants/by-external-id/{external_id}": `{"name":"Acme"}`,
	"POST /messages":       `{"payload":{"text":"hello"}}`,
	"POST /messages/batch": `{"messages":[{"payload":1}]}`,

	"POST /dead-letters/replay": `{"all":true}`,
	"DELETE /dead-letters":      `{"ids":[17]}`,

	"PUT /tenants/{id}/config/concurrency": `{"workers":5}`,

	"POST /api-keys":                  `{"name":"shop","scopes":["publish","provision"]}`,
	"POST /tenants/{id}/portal-links": `{"ttl":"1h","scopes":["read"]}`,
	"POST /tenants/{id}/api-keys":     `{"name":"shop","scopes":["read"],"expires_at":"2099-01-01T00:00:00Z"}`,

	"POST /tenants/{id}/endpoints":                             `{"url":"https://example.com/hook"}`,
	"PUT /tenants/{id}/endpoints/by-external-id/{external_id}": `{"url":"https://example.com/hook"}`,
	"PATCH /tenants/{id}/endpoints/{endpoint_id}":              `{"rate":5}`,
	"POST /tenants/{id}/endpoints/{endpoint_id}/rotate-secret": `{"grace":"1h"}`,
	"POST /tenants/{id}/endpoints/{endpoint_id}/replay":        `{"only":"failed"}`,
}

// pathIDs are the ids in paths that are not a tenant's.
var pathIDs = map[string]string{"/dead-letters/{id}": "17", "/dead-letters/jobs/{id}": otherID.String()}

func TestEveryRoute(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	document := specDocument(t)
	require.NoError(t, document.Validate(context.Background()))
	lesser := map[domain.Role]string{domain.RoleAdmin: "member", domain.RoleMember: "viewer"}

	for _, r := range routes(&Options{}) {
		name := r.method + " " + r.path
		for _, prefix := range []string{"", apiPrefix} {
			path := prefix + strings.NewReplacer("{id}", cmp.Or(pathIDs[r.path], tenantID.String()), "{tenant_id}", tenantID.String(),
				"{endpoint_id}", endpointID.String(), "{replay_id}", otherID.String(), "{key_id}", keyID.String(), "{external_id}", "erp", "{message_id}", otherID.String(), "{replica}", "host-1").Replace(r.path)
			send := func(headers ...string) reply { return a.do(r.method, path, bodies[name], headers...) }

			got := send()
			require.Less(t, got.status, 300, "%s: %s", name, got.body)
			if r.role == anyone {
				require.Equal(t, http.StatusOK, send("Authorization:").status)
				continue
			}
			require.Contains(t, []domain.Role{domain.RoleViewer, domain.RoleMember, domain.RoleAdmin}, r.role, name)
			before := a.fakes.called()
			got = send("Authorization:")
			a.problem(got, http.StatusUnauthorized, "token_invalid")
			require.Equal(t, `Bearer realm="lanekeeper"`, got.header.Get("WWW-Authenticate"))
			got = send("Authorization: nonsense")
			a.problem(got, http.StatusUnauthorized, "token_invalid")
			require.Contains(t, got.header.Get("WWW-Authenticate"), `error="invalid_token"`)
			if less, ok := lesser[r.role]; ok {
				a.problem(send("Authorization: "+less), http.StatusForbidden, "role_insufficient")
			}
			for _, scope := range []string{"publish", "read", "manage", "provision"} {
				switch {
				case r.scope == 0:
					a.problem(send("Authorization: "+scope), http.StatusForbidden, "key_not_accepted")
				case r.scope.String() != scope:
					a.problem(send("Authorization: "+scope), http.StatusForbidden, "scope_insufficient")
				}
			}
			if r.role != domain.RoleViewer && r.scope != 0 {
				a.problem(send("Authorization: narrow"), http.StatusForbidden, "role_insufficient")
			}
			links := []string{"link-read", "link-publish", "link-manage"}
			for _, token := range links {
				switch {
				case r.links == middleware.LinkAlways:
				case r.links == middleware.LinkNever, r.scope == 0, r.scope == domain.ScopeProvision:
					a.problem(send("Authorization: "+token), http.StatusForbidden, "portal_not_accepted")
				case token != "link-"+r.scope.String():
					a.problem(send("Authorization: "+token), http.StatusForbidden, "scope_insufficient")
				}
			}
			require.Equal(t, before, a.fakes.called(), name)
			for _, token := range links {
				if r.links == middleware.LinkAlways || r.links == middleware.LinkByScope && token == "link-"+r.scope.String() {
					require.Less(t, send("Authorization: "+token).status, 300, name)
				}
			}
			require.Less(t, send("Authorization: "+string(r.role)).status, 300, name)
			if r.scope != 0 {
				require.Less(t, send("Authorization: "+r.scope.String()).status, 300, name)
			}
		}

		item := document.Paths.Find(r.path)
		require.NotNil(t, item, name)
		operation := item.GetOperation(r.method)
		require.NotNil(t, operation, name)
		if r.role == anyone {
			require.Equal(t, openapi3.NewSecurityRequirements(), operation.Security, name)
		} else {
			require.Nil(t, operation.Security, "%s: it is that of the whole document", name)
		}
		scope, _ := operation.Extensions["x-scope"].(string)
		require.Equal(t, r.scope.String(), scope, name)
		portal, _ := operation.Extensions["x-portal"].(string)
		require.Equal(t, map[middleware.LinkUse]string{middleware.LinkAlways: "always", middleware.LinkNever: "never"}[r.links], portal, name)
		require.False(t, r.role == domain.RoleAdmin && r.scope != 0, "%s: keys may not do what only admins may", name)
		require.Equal(t, r.tenant != noTenant, operation.Parameters.GetByInAndName("header", "X-Tenant-ID") != nil, name)
	}
}

func TestDocumentHasNoOtherRoutes(t *testing.T) {
	t.Parallel()
	table := routes(&Options{})
	for path, item := range specDocument(t).Paths.Map() {
		for method := range item.Operations() {
			require.True(t, slices.ContainsFunc(table, func(r route) bool { return r.method == method && r.path == path }), "%s %s", method, path)
		}
	}
}

func TestUnknownRoutes(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, path := range []string{"/", "/nope", "/api", "/api/nope", "/api/api/tenants", "/swagger/nope", "/swagger/../x", "/tenants/" + tenantID.String() + "/nope", "//tenants", "/TENANTS"} {
		a.problem(a.do("GET", path, ""), http.StatusNotFound, "route_not_found")
	}
	for _, path := range []string{"/tenants/", "/api/tenants/", "/api/messages/", "/api/users/"} {
		p := a.problem(a.do("DELETE", path, ""), http.StatusNotFound, "route_not_found")
		require.Contains(t, p.Detail, "slash")
	}
	require.Zero(t, a.fakes.called())
}

func TestWrongMethods(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for path, allow := range map[string]string{
		"/api/tenants":                          "GET HEAD POST",
		"/tenants/" + tenantID.String():         "DELETE GET HEAD PATCH",
		"/api/messages":                         "GET HEAD POST",
		"/api/login":                            "POST",
		"/api/logout":                           "POST",
		"/api/me":                               "GET HEAD",
		"/api/me/password":                      "PUT",
		"/healthz":                              "GET HEAD",
		"/api/users/" + userID.String():         "DELETE GET HEAD PATCH",
		"/api/messages/" + userID.String():      "GET HEAD",
		"/api/messages/stream":                  "GET HEAD",
		"/api/messages/stream/tickets":          "POST",
		"/api/tenants/x/config/concurrency":     "PUT",
		"/api/tenants/x/endpoints":              "GET HEAD POST",
		"/api/tenants/x/endpoints/y":            "DELETE GET HEAD PATCH",
		"/api/tenants/x/endpoints/y/hold":       "POST",
		"/api/consumers":                        "DELETE GET HEAD POST",
		"/consumers/x":                          "DELETE GET HEAD POST",
		"/tenants/not-an-id/config/concurrency": "PUT",
	} {
		for _, method := range []string{"OPTIONS", "TRACE", "PURGE"} {
			got := a.do(method, path, "")
			a.problem(got, http.StatusMethodNotAllowed, "method_not_allowed")
			methods := strings.Split(got.header.Get("Allow"), ", ")
			slices.Sort(methods)
			require.Equal(t, allow, strings.Join(methods, " "), path)
		}
	}
}

func TestHeadIsGetWithoutBody(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, path := range []string{"/healthz", "/readyz", "/api/tenants", "/api/messages", "/api/messages/stream"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodHead, a.url+path, http.NoBody)
		require.NoError(t, err)
		request.Header.Set("Authorization", "admin")
		request.Header.Set("X-Tenant-ID", tenantID.String())
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusOK, response.StatusCode, path)
	}
}

func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	_, err := New(Options{TrustedProxies: []string{"not an address"}})
	require.Error(t, err)

	a := newAPI(t)
	a.do("GET", "/healthz", "", "X-Forwarded-For: 203.0.113.9")
	require.NotContains(t, a.logs.String(), "203.0.113.9")

	a = newAPI(t, func(o *Options) { o.TrustedProxies = []string{"127.0.0.0/8"} })
	a.do("GET", "/healthz", "", "X-Forwarded-For: 203.0.113.9")
	require.Contains(t, a.logs.String(), "203.0.113.9")
}
