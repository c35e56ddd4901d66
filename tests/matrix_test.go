package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// Every route, with every kind of caller, and with the other tenant named in every
// place that a request has: the right answer, nothing of another tenant in it, and
// nothing changed.
func TestMatrix(t *testing.T) {
	t.Parallel()
	w := newMatrixWorld(t)
	table := matrixRoutes()
	routes := publishedRoutes(t, w.app.Client)
	for name := range table {
		require.Contains(t, routes, name, "there is no such route")
	}
	for _, name := range routes {
		require.Contains(t, table, name, "say in matrixRoutes what this route is to do")
	}
	w.tickets()
	before := w.state(&w.acme)
	calls := 0
	for _, name := range routes {
		for i := range w.callers {
			calls += w.refusals(name, table[name], &w.callers[i])
		}
		require.Equal(t, before, w.state(&w.acme), "%s: somebody changed what is not theirs", name)
	}
	for _, name := range routes {
		for i := range w.callers {
			calls += w.admissions(name, table[name], &w.callers[i])
		}
	}
	t.Logf("%d routes, %d callers, %d calls", len(routes), len(w.callers), calls)
}

// publishedRoutes returns all routes that the service describes, which the tests of
// package controller compare with those that it has.
func publishedRoutes(t *testing.T, c *apptest.Client) []string {
	t.Helper()
	var document struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	c.Want(http.StatusOK, &document, "GET", "/openapi.json", nil)
	var routes []string
	for path, item := range document.Paths {
		for method := range item {
			routes = append(routes, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(routes)
	return routes
}

// refusal is the answer that a caller is to get; status 0 for one that is let in.
type refusal struct {
	status int
	code   string // "" for any
}

// verdict says what becomes of a call about Acme, or about a tenant that is gone.
func (c *matrixCaller) verdict(r *matrixRoute, gone bool) refusal {
	rank := map[string]int{"viewer": 1, "member": 2, "admin": 3}
	switch {
	case r.role == "":
		return refusal{}
	case c.out:
		return refusal{http.StatusUnauthorized, ""}
	case c.link && r.links == "always":
		return refusal{}
	case c.link && (r.links == "never" || r.scope == "" || r.scope == "provision"):
		return refusal{http.StatusForbidden, "portal_not_accepted"}
	case c.link && !slices.Contains(c.scopes, r.scope):
		return refusal{http.StatusForbidden, "scope_insufficient"}
	case c.key && r.scope == "":
		return refusal{http.StatusForbidden, "key_not_accepted"}
	case c.key && !slices.Contains(c.scopes, r.scope):
		return refusal{http.StatusForbidden, "scope_insufficient"}
	case rank[c.role] < rank[r.role]:
		return refusal{http.StatusForbidden, "role_insufficient"}
	case r.whose == ofTheCaller && !c.everything && c.name != "owner":
		return refusal{http.StatusNotFound, "api_key_not_found"}
	case c.bound && r.creates:
		return refusal{http.StatusForbidden, "tenant_bound"}
	case r.whose == noTenant || r.whose == ofTheCaller:
		return refusal{}
	case gone || !c.reaches && !c.everything:
		return refusal{http.StatusNotFound, "tenant_not_found"}
	case r.manages && !c.manages && !c.everything:
		return refusal{http.StatusForbidden, "forbidden"}
	case r.publishes && c.key && !slices.Contains(c.scopes, "publish"):
		return refusal{http.StatusForbidden, "scope_insufficient"}
	}
	return refusal{}
}

// matrixCall is one request.
type matrixCall struct {
	where, method, path, body string
	headers                   []apptest.Header
}

// call returns a request of the route about b, with the tenant where the route has it.
func (r *matrixRoute) call(name string, b *belongings, fresh int) matrixCall {
	method, path, _ := strings.Cut(name, " ")
	id := map[string]string{"tenant": b.tenant, "message": b.message, "letter": b.letter, "job": b.job, "user": b.user}[r.id]
	key := b.key
	if r.whose == ofTheCaller {
		key = b.ownKey
	}
	if strings.HasPrefix(path, "/tenants/") {
		id = b.tenant
	}
	path = strings.NewReplacer("{id}", id, "{tenant_id}", b.tenant, "{endpoint_id}", b.endpoint, "{replay_id}", b.replay,
		"{key_id}", key, "{external_id}", "matrix", "{message_id}", b.message).Replace(path)
	body := strings.NewReplacer("$letter", b.letter, "$endpoint", b.endpoint, "$tenant", b.tenant, "$fresh", fmt.Sprint("fresh-", fresh)).Replace(r.body)
	call := matrixCall{where: "path", method: method, path: path, body: body}
	if r.whose == byHeader {
		call.where, call.headers = "header", []apptest.Header{apptest.ForTenant(b.tenant)}
	}
	return call
}

// external returns the call with the tenant named by its external id.
func (c matrixCall) external(b *belongings) matrixCall {
	c.path = strings.Replace(c.path, b.tenant, "ext:"+b.canary, 1)
	if len(c.headers) > 0 {
		c.headers = []apptest.Header{apptest.ForTenant("ext:" + b.canary)}
	}
	c.where += " and external id"
	return c
}

// in returns the call with a parameter more in its query.
func (c matrixCall) in(where, query string) matrixCall {
	c.where = where
	c.path += map[bool]string{true: "&", false: "?"}[strings.Contains(c.path, "?")] + query
	return c
}

// naming returns the call with this tenant in its header.
func (c matrixCall) naming(where, tenant string) matrixCall {
	c.where, c.headers = where, []apptest.Header{apptest.ForTenant(tenant)}
	return c
}

// send makes the call, and requires that nothing of the tenant is in the answer but
// what the request itself says.
func (w *matrixWorld) send(who *matrixCaller, c *matrixCall, of *belongings) *apptest.Answer {
	w.t.Helper()
	var body any
	if c.body != "" {
		body = c.body
	}
	answer, err := who.client.Send(w.t.Context(), c.method, "/api"+c.path, body, c.headers...)
	require.NoError(w.t, err, "%s: %s %s: an answer without an end", who.name, c.method, c.path)
	if of != nil {
		asked := fmt.Sprint(c.path, c.body, c.headers)
		for _, trace := range of.traces() {
			if !strings.Contains(asked, trace) {
				require.NotContains(w.t, fmt.Sprint(answer.Header)+string(answer.Body), trace, "%s: %s %s by %s", who.name, c.method, c.path, c.where)
			}
		}
	}
	return answer
}

// refused makes the call, and requires it to be refused like that.
func (w *matrixWorld) refused(who *matrixCaller, c matrixCall, want refusal) {
	w.t.Helper()
	answer := w.send(who, &c, &w.acme)
	p, err := answer.Problem()
	require.NoError(w.t, err, "%s: %s %s by %s", who.name, c.method, c.path, c.where)
	require.Equal(w.t, want.status, p.Status, "%s: %s %s by %s: %s", who.name, c.method, c.path, c.where, answer.Body)
	if want.code != "" {
		require.Equal(w.t, want.code, p.Code, "%s: %s %s by %s", who.name, c.method, c.path, c.where)
	}
	if c.method == http.MethodGet { // the same without a body
		c.method = http.MethodHead
		require.Equal(w.t, want.status, w.send(who, &c, &w.acme).Status, "%s: HEAD %s by %s", who.name, c.path, c.where)
	}
}

// refusals makes the calls that a caller is to be refused, and those with which it
// tries to get at Acme by way of what is its own.
func (w *matrixWorld) refusals(name string, r matrixRoute, who *matrixCaller) (calls int) {
	w.t.Helper()
	refused := func(c matrixCall, want refusal) {
		w.refused(who, c, want)
		calls++
	}
	base := r.call(name, &w.acme, w.fresh)
	if want := who.verdict(&r, false); want.status != 0 {
		refused(base, want)
		if r.whose == byPath || r.whose == byHeader {
			refused(base.external(&w.acme), want)
		}
		if name != "GET /messages/stream" { // nothing else takes a ticket
			refused(base.in(base.where+" and ticket", "ticket="+w.acme.ticket), want)
		}
		if r.whose == byHeader {
			query := base.in("query", "tenant_id="+w.acme.tenant)
			refused(query, want)
			query.headers = nil
			refused(query, want)
		}
	}
	gone := w.acme
	gone.tenant = w.deleted
	if want := who.verdict(&r, true); want.status != 0 {
		c := r.call(name, &gone, w.fresh)
		c.where = "deleted tenant"
		refused(c, want)
	}
	if r.role != "" && !who.out && !who.reaches && !who.everything {
		calls += w.detours(name, r, who)
	}
	return calls
}

// namesMore reports whether the path names something besides the tenant.
func (r *matrixRoute) namesMore(name string) bool {
	return !r.anyID && (r.id == "message" || r.id == "letter" || r.id == "job" || strings.Contains(name, "{endpoint_id}") || strings.Contains(name, "{key_id}"))
}

// detours are calls of a stranger that name Acme, or what it has, beside a tenant of
// the stranger's own. Whatever the answer is, nothing of Acme is in it.
func (w *matrixWorld) detours(name string, r matrixRoute, who *matrixCaller) (calls int) {
	w.t.Helper()
	try := func(c matrixCall, allowed ...int) {
		calls++
		answer := w.send(who, &c, &w.acme)
		require.Less(w.t, answer.Status, 500, "%s: %s %s by %s: %s", who.name, c.method, c.path, c.where, answer.Body)
		if len(allowed) > 0 {
			require.Contains(w.t, allowed, answer.Status, "%s: %s %s by %s: %s", who.name, c.method, c.path, c.where, answer.Body)
		}
	}
	mixed := w.acme // what Acme has, as if it were in the stranger's tenant
	mixed.tenant = who.home
	call := r.call(name, &mixed, w.fresh)
	list := strings.HasPrefix(name, "GET ") && !strings.Contains(name, "{")
	switch {
	case r.whose == noTenant && list:
		for _, query := range []string{"tenant_id=" + w.acme.tenant, "tenant_id=ext:" + w.acme.canary, "external_id=" + w.acme.canary, "metadata." + w.acme.canary + "=" + w.acme.canary, "cursor=" + w.acme.tenant, "cursor=0", "status=active&cursor=0"} {
			try(call.naming("header and query", w.acme.tenant).in("header and query", query))
		}
	case who.home == "" || name == "GET /messages/stream": // tickets has that
	case r.namesMore(name):
		try(call, http.StatusNotFound, http.StatusForbidden)
	case r.whose == byHeader:
		try(call) // with ids in its body, if anywhere
		if list {
			for _, query := range []string{"cursor=" + w.acme.letter, "cursor=" + w.acme.message, "endpoint_id=" + w.acme.endpoint, "cursor=0"} {
				try(call.in("cursor", query))
			}
		}
	}
	if who.home != "" && r.whose == byHeader && who.verdict(&r, true).status == http.StatusNotFound {
		try(call.in("header and query", "tenant_id="+w.acme.tenant), http.StatusBadRequest)
	}
	if strings.HasPrefix(call.body, "{") && (who.home != "" || r.whose == noTenant) {
		object := call.body[1:]
		for _, field := range []string{"tenant_id", "user_id", "id"} {
			call.where, call.body = "body", `{"`+field+`":"`+w.acme.tenant+`",`+object
			try(call, http.StatusUnprocessableEntity, http.StatusNotFound, http.StatusForbidden)
		}
	}
	return calls
}

// tickets opens streams with those that must open none, and that are refused for no
// other reason: they have all the time for their first use.
func (w *matrixWorld) tickets() {
	w.t.Helper()
	nobody := w.app.As("")
	w.acme.ticket, w.other.ticket = w.ticket(w.root, w.acme.tenant), w.ticket(w.root, w.other.tenant)
	w.app.Exec(`UPDATE stream_tickets SET usable_until = expires_at`)
	for name, ticket := range w.outTickets {
		s, err := nobody.TryStream(w.t.Context(), "cursor=0&ticket="+ticket)
		if err == nil {
			s.Close()
		}
		var refused *apptest.RefusedError
		require.ErrorAs(w.t, err, &refused, name)
		require.Equal(w.t, http.StatusUnauthorized, refused.Status, "%s: %s", name, refused.Body)
		p, err := refused.Problem()
		require.NoError(w.t, err)
		require.NotEqual(w.t, "ticket_invalid", p.Code, "%s: its ticket has not expired", name)
		require.NotContains(w.t, string(refused.Body), w.acme.canary)
	}
	nobody.StreamRefused(http.StatusNotFound, "tenant_not_found", "ticket="+w.acme.ticket, apptest.ForTenant(w.other.tenant))
	nobody.StreamRefused(http.StatusNotFound, "tenant_not_found", "ticket="+w.acme.ticket+"&tenant_id="+w.other.tenant)
	nobody.StreamRefused(http.StatusNotFound, "tenant_not_found", "ticket="+w.other.ticket+"&tenant_id="+w.acme.tenant)
	nobody.StreamRefused(http.StatusUnauthorized, "ticket_invalid", "ticket="+w.acme.ticket[1:]+"A")
	// It is for its own tenant, whoever's token comes with it.
	s, err := w.callers[0].client.TryStream(w.t.Context(), "cursor=0&ticket="+w.other.ticket)
	require.NoError(w.t, err)
	defer s.Close()
	event, err := s.Next()
	require.NoError(w.t, err)
	require.Equal(w.t, w.other.tenant, event.Message.TenantID)
}

// admissions makes the call that a caller is to be let in with.
func (w *matrixWorld) admissions(name string, r matrixRoute, who *matrixCaller) (calls int) {
	w.t.Helper()
	if who.verdict(&r, false).status != 0 || r.role == "" && who.name != "no token" { // too many wrong passwords are refused
		return 0
	}
	b := w.freshly(name)
	call := r.call(name, &b, w.fresh)
	if name == "POST /logout" { // ends the caller's tokens
		leaving := *who
		_, leaving.client = w.user(fmt.Sprint("leaving-", w.fresh), who.role, "")
		who = &leaving
	}
	if name == "GET /messages/stream" {
		s, err := who.client.TryStream(w.t.Context(), "cursor=0", call.headers...)
		require.NoError(w.t, err, who.name)
		defer s.Close()
		event, err := s.Next()
		require.NoError(w.t, err, who.name)
		require.Contains(w.t, string(event.Message.Payload), w.acme.canary)
		return 1
	}
	seen := &w.other // of which nobody here may see anything, but those it belongs to
	if who.everything || who.home != "" {
		seen = nil
	}
	answer := w.send(who, &call, seen)
	if name == "DELETE /tenants/{id}/portal-links" { // that of Acme, which all reach who may
		w.renewLinks()
	}
	require.True(w.t, answer.Status < 300 || answer.Status == r.also, "%s: %s: %d %s", who.name, name, answer.Status, answer.Body)
	reaches := who.reaches || who.everything
	if r.shows && answer.Status < 300 && reaches {
		shown := slices.ContainsFunc(w.acme.traces(), func(trace string) bool {
			return !strings.Contains(fmt.Sprint(call.path, call.headers), trace) && strings.Contains(string(answer.Body), trace)
		})
		require.True(w.t, shown, "%s: %s shows nothing: %s", who.name, name, answer.Body)
	}
	if r.shows && !reaches {
		for _, trace := range w.acme.traces() {
			require.NotContains(w.t, string(answer.Body), trace, "%s: %s", who.name, name)
		}
	}
	if answer.Status < 300 && len(answer.Body) > 0 {
		require.True(w.t, json.Valid(answer.Body), "%s: %s", who.name, name)
	}
	return 1
}
