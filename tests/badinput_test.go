package tests

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

const (
	bad         = http.StatusBadRequest
	missing     = http.StatusNotFound
	invalid     = http.StatusUnprocessableEntity
	tooLarge    = http.StatusRequestEntityTooLarge
	unsupported = http.StatusUnsupportedMediaType
)

// hostileIDs are texts that are no UUID, or none in its usual form.
func hostileIDs() []string {
	return []string{
		"abc", "1", "-1", "null", "0x0", "'; DROP TABLE tenants; --", "../../etc/passwd", "..%2f..", "%00", "\u202e", "💥",
		"{0197a3a2-7d2c-7c3e-8f7e-0242ac120002}", "urn:uuid:0197a3a2-7d2c-7c3e-8f7e-0242ac120002", "0197a3a27d2c7c3e8f7e0242ac120002",
		"0197a3a2-7d2c-7c3e-8f7e-0242ac12000", "0197a3a2-7d2c-7c3e-8f7e-0242ac1200022", "0197a3a2-7d2c-7c3e-8f7e-0242ac12000g",
		strings.Repeat("a", 2000),
	}
}

func TestBadTenants(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	for _, c := range []struct {
		status int
		body   string
	}{
		{bad, ``},
		{bad, ` `},
		{bad, `{`},
		{bad, `not JSON`},
		{bad, `{"name":"x"} extra`},
		{bad, "\xff"},
		{bad, `{"name":"` + "\xff" + `"}`},
		{invalid, `null`},
		{invalid, `[]`},
		{invalid, `"x"`},
		{invalid, `1`},
		{invalid, `{}`},
		{invalid, `{"name":""}`},
		{invalid, `{"name":"  "}`},
		{invalid, `{"name":null}`},
		{invalid, `{"name":1}`},
		{invalid, `{"name":{}}`},
		{invalid, `{"name":"` + strings.Repeat("x", 201) + `"}`},
		{invalid, `{"name":"nul \u0000"}`},
		{invalid, `{"name":"lone \ud800"}`},
		{invalid, `{"name":"line\nbreak"}`},
		{invalid, `{"Name":"x"}`},
		{invalid, `{"name":"x","name":"y"}`},
		{invalid, `{"name":"x","tenant_name":"y"}`},
		{invalid, `{"name":"x","description":"` + strings.Repeat("x", 2001) + `"}`},
		{invalid, `{"name":"x","description":7}`},
		{invalid, `{"name":"x","status":"deleted"}`},
		{invalid, `{"name":"x","status":""}`},
		{invalid, `{"name":"x","status":"provisioning"}`},
		{invalid, `{"name":"x","workers":0}`},
		{invalid, `{"name":"x","workers":-1}`},
		{invalid, `{"name":"x","workers":101}`},
		{invalid, `{"name":"x","workers":"five"}`},
		{invalid, `{"name":"x","workers":1.5}`},
		{invalid, `{"name":"x","workers":1e99}`},
		{invalid, `{"name":"x","workers":null}`},
		{invalid, `{"name":"x","unknown":1}`},
		{invalid, `{"name":"x","id":"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"}`},
		{tooLarge, `{"name":"` + strings.Repeat("x", 70_000) + `"}`},
	} {
		app.Refused(c.status, "", "POST", "/api/tenants", c.body)
	}
	app.Refused(unsupported, "", "POST", "/api/tenants", `name=x`, apptest.Header{"Content-Type", "application/x-www-form-urlencoded"})
	app.Refused(unsupported, "", "POST", "/api/tenants", `{"name":"x"}`, apptest.Header{"Content-Encoding", "br"})
	app.Refused(bad, "body_not_gzip", "POST", "/api/tenants", `{"name":"x"}`, apptest.Header{"Content-Encoding", "gzip"})
	app.Refused(invalid, "", "POST", "/api/tenants", `{"name":"x"}`, apptest.WithKey(strings.Repeat("k", 256)))
	require.Zero(t, apptest.QueryRow[int](app.Probes, `SELECT count(*) FROM tenants`))
	require.Empty(t, app.Partitions())

	// As much as is allowed is allowed.
	app.CreateTenant(strings.Repeat("ü", 200), 100)
}

func TestBadChanges(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("as it was", 4)
	path := "/api/tenants/" + tenant.ID
	for _, body := range []string{
		`{"workers":0}`, `{"workers":-1}`, `{"workers":101}`, `{"workers":"five"}`, `{"workers":5.5}`, `{"workers":null}`, `{}`, `[5]`, `5`,
		`{"workers":5,"more":1}`, `{"Workers":5}`, `{"workers":99999999999999999999}`,
	} {
		app.Refused(invalid, "", "PUT", path+"/config/concurrency", body)
	}
	app.Refused(bad, "", "PUT", path+"/config/concurrency", `{"workers":`)
	for _, body := range []string{
		`{"name":""}`, `{"name":null}`, `{"status":"deleted"}`, `{"status":"deleting"}`, `{"status":1}`, `{"workers":5}`, `{"unknown":1}`, `[]`,
		`{"name":"good","status":"bad"}`, `{"description":"\u0000"}`,
	} {
		app.Refused(invalid, "", "PATCH", path, body)
	}
	var got apptest.Tenant
	app.Want(http.StatusOK, &got, "GET", path, nil)
	require.Equal(t, tenant, got)
	require.InDelta(t, 4, app.Metrics().Value("lanekeeper_workers", "tenant_id", tenant.ID), 0)
}

func TestBadIDs(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 0).ID
	const unknown = "0197a3a2-7d2c-7c3e-8f7e-0242ac120002"
	for _, id := range hostileIDs() {
		escaped := url.PathEscape(id)
		for _, c := range []struct{ method, path, body string }{
			{"GET", "/api/tenants/" + escaped, ""},
			{"PATCH", "/api/tenants/" + escaped, `{}`},
			{"DELETE", "/api/tenants/" + escaped, ""},
			{"PUT", "/api/tenants/" + escaped + "/config/concurrency", `{"workers":5}`},
			{"GET", "/api/messages/" + escaped, ""},
			{"GET", "/api/users/" + escaped, ""},
		} {
			app.Refused(bad, "invalid_id", c.method, c.path, c.body, apptest.ForTenant(tenant))
		}
		app.Refused(bad, "invalid_id", "GET", "/api/messages?tenant_id="+url.QueryEscape(id), nil)
		app.Refused(bad, "invalid_id", "POST", "/api/messages?tenant_id="+url.QueryEscape(id), `{"payload":1}`)
		if strings.IndexFunc(id, func(r rune) bool { return r < 0x20 || r > 0x7e }) < 0 {
			app.Refused(bad, "invalid_id", "GET", "/api/messages", nil, apptest.ForTenant(id))
			app.Refused(bad, "invalid_id", "POST", "/api/messages", `{"payload":1}`, apptest.ForTenant(id))
		}
	}
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/api/tenants/" + unknown, ""},
		{"PATCH", "/api/tenants/" + unknown, `{}`},
		{"DELETE", "/api/tenants/" + unknown, ""},
		{"PUT", "/api/tenants/" + unknown + "/config/concurrency", `{"workers":5}`},
		{"GET", "/api/messages", ""},
		{"POST", "/api/messages", `{"payload":1}`},
	} {
		app.Refused(missing, "tenant_not_found", c.method, c.path, c.body, apptest.ForTenant(unknown))
	}
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/api/messages", ""}, {"POST", "/api/messages", `{"payload":1}`},
	} {
		app.Refused(bad, "tenant_required", c.method, c.path, c.body)
		app.Refused(bad, "", c.method, c.path, c.body, apptest.ForTenant(""))
	}
	app.Refused(missing, "route_not_found", "GET", "/api/nothing", nil)
	app.Refused(missing, "route_not_found", "DELETE", "/api/tenants/", nil)
	app.Refused(http.StatusMethodNotAllowed, "method_not_allowed", "PUT", "/api/tenants", `{}`)
	require.Equal(t, "active", statusOf(app, tenant))
	app.Stored(tenant, 0)
}

func TestBadQueries(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 0).ID
	for _, query := range []string{
		"cursor=abc", "cursor=-1", "cursor=", "cursor=1.5", "cursor=+1", "cursor=%201", "cursor=9223372036854775808", "cursor=1&cursor=2", "cursor=0x10",
		"limit=0", "limit=-1", "limit=abc", "limit=100000", "limit=", "limit=1e2", "limit=10&limit=20", "limit=99999999999999999999",
		"order=up", "order=", "order=DESC", "order=asc&order=desc", "cursor=%zz", "limit=10;order=asc",
	} {
		app.Refused(bad, "invalid_query", "GET", "/api/messages?"+query, nil, apptest.ForTenant(tenant))
	}
	for _, query := range []string{"cursor=abc", "cursor=-1", "cursor=", "limit=0", "limit=-1", "limit=abc", "limit=100000", "status=gone", "status=deleted"} {
		app.Refused(bad, "invalid_query", "GET", "/api/tenants?"+query, nil)
	}
}

func TestBadMessages(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 0).ID
	for _, c := range []struct {
		status int
		body   string
	}{
		{bad, ``},
		{bad, `{`},
		{bad, `{"payload":}`},
		{bad, `{"payload":01}`},
		{bad, `{"payload":NaN}`},
		{bad, "{\"payload\":\"\xff\"}"},
		{bad, `{"payload":1}{}`},
		{invalid, `{}`},
		{invalid, `[]`},
		{invalid, `"payload"`},
		{invalid, `null`},
		{invalid, `{"payload":1,"extra":2}`},
		{invalid, `{"Payload":1}`},
		{invalid, `{"payload":1,"payload":2}`},
		{invalid, `{"payload":"\u0000"}`},
		{invalid, `{"payload":{"a\u0000":1}}`},
		{invalid, `{"payload":"\ud83d"}`},
		{invalid, `{"payload":"\ude80\ud83d"}`},
		{invalid, `{"payload":1e999999}`},
		{invalid, `{"payload":-1e-999999}`},
		{invalid, `{"payload":[1e131071,1e131071]}`},
		{invalid, `{"payload":[` + strings.Repeat(`1e131071,`, 8000) + `1]}`},
		{invalid, `{"payload":[` + strings.Repeat(`1e999,`, 4000) + `1]}`},
		{invalid, `{"payload":` + strings.Repeat("[", 129) + strings.Repeat("]", 129) + `}`},
		{invalid, `{"payload":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`},
		{invalid, `{"payload":` + strings.Repeat("[", 1_000_000) + strings.Repeat("]", 1_000_000) + `}`},
		{tooLarge, `{"payload":"` + strings.Repeat("x", 1<<20) + `"}`},
		{tooLarge, `{"payload":"` + strings.Repeat("x", 17<<20) + `"}`},
	} {
		app.Refused(c.status, "", "POST", "/api/messages", c.body, apptest.ForTenant(tenant))
	}
	app.Refused(unsupported, "", "POST", "/api/messages", `1`, apptest.ForTenant(tenant), ndjson())
	app.Refused(unsupported, "", "POST", "/api/messages", `{"payload":1}`, apptest.ForTenant(tenant), apptest.Header{"Content-Type", "text/plain"})
	for _, key := range []string{"", strings.Repeat("k", 256), "tab\there", "ümlaut"} {
		app.Refused(invalid, "", "POST", "/api/messages", `{"payload":1}`, apptest.ForTenant(tenant), apptest.WithKey(key))
	}
	app.Publish(tenant, `"only this"`)
	require.JSONEq(t, `"only this"`, string(app.Stored(tenant, 1)[0].Payload))
	app.RequireNoDeadLetters(tenant)
}

// Each way in refuses the same, says where it is, and takes the rest of a batch.
func TestBadEnvelopes(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 0).ID
	headers := func(n int) string {
		var members []string
		for i := range n {
			members = append(members, fmt.Sprintf(`"name-%d":"x"`, i))
		}
		return `{` + strings.Join(members, ",") + `}`
	}
	var messages, pointers []string
	for _, c := range []struct{ fields, pointer string }{
		{`"type":null`, "/type"},
		{`"type":1`, "/type"},
		{`"type":["a"]`, "/type"},
		{`"type":"order created"`, "/type"},
		{`"type":"order.*"`, "/type"},
		{`"type":"\u00fc"`, "/type"},
		{`"type":"\u0000"`, "/type"},
		{`"type":"\ud83d"`, "/type"},
		{`"type":"` + strings.Repeat("t", 129) + `"`, "/type"},
		{`"type":"a","type":"a"`, "/type"},
		{`"Type":"a"`, "/Type"},
		{`"ordering_key":null`, "/ordering_key"},
		{`"ordering_key":7`, "/ordering_key"},
		{`"ordering_key":"a\u0000"`, "/ordering_key"},
		{`"ordering_key":"a\nb"`, "/ordering_key"},
		{`"ordering_key":"\u0085"`, "/ordering_key"},
		{`"ordering_key":"` + strings.Repeat("ü", 65) + `"`, "/ordering_key"},
		{`"headers":null`, "/headers"},
		{`"headers":[]`, "/headers"},
		{`"headers":"a"`, "/headers"},
		{`"headers":` + headers(21), "/headers"},
		{`"headers":` + headers(1000), "/headers"},
		{`"headers":{"a":1}`, "/headers/a"},
		{`"headers":{"a":null}`, "/headers/a"},
		{`"headers":{"a":{}}`, "/headers/a"},
		{`"headers":{"a":"1","a":"2"}`, "/headers/a"},
		{`"headers":{"":"1"}`, "/headers/"},
		{`"headers":{"a b":"1"}`, "/headers/a b"},
		{`"headers":{"a:b/c":"1"}`, "/headers/a:b~1c"},
		{`"headers":{"` + strings.Repeat("n", 129) + `":"1"}`, "/headers/" + strings.Repeat("n", 91) + "..."},
		{`"headers":{"a":"` + strings.Repeat("v", 1001) + `"}`, "/headers/a"},
		{`"headers":{"a":"` + strings.Repeat("v", 100_000) + `"}`, "/headers/a"},
		{`"headers":{"a":"x\r\ny"}`, "/headers/a"},
		{`"headers":{"a":"\u0000"}`, "/headers/a"},
		{`"headers":{"a":"\udead"}`, "/headers/a"},
		// These would make the broker put the message elsewhere, or are its own.
		{`"headers":{"CC":"x"}`, "/headers/CC"},
		{`"headers":{"bcc":"x"}`, "/headers/bcc"},
		{`"headers":{"x-ordering-key":"x"}`, "/headers/x-ordering-key"},
		{`"headers":{"X-Death":"x"}`, "/headers/X-Death"},
		{`"headers":{"x-published-ms":"1"}`, "/headers/x-published-ms"},
		{`"headers":{"timestamp_in_ms":"1"}`, "/headers/timestamp_in_ms"},
	} {
		message := `{"payload":1,` + c.fields + `}`
		p := app.Refused(invalid, "invalid_fields", "POST", "/api/messages", message, apptest.ForTenant(tenant))
		require.Equal(t, c.pointer, p.Errors[0].Pointer, message)
		messages, pointers = append(messages, message), append(pointers, c.pointer)
	}
	messages = append(messages, `{"payload":"this one"}`)
	for body, way := range map[string][]apptest.Header{
		`{"messages":[` + strings.Join(messages, ",") + `]}`: {apptest.ForTenant(tenant)},
		strings.Join(messages, "\n"):                         {apptest.ForTenant(tenant), ndjson()},
	} {
		var result struct {
			Results []struct {
				Status string `json:"status"`
				Error  struct {
					Status int                        `json:"status"`
					Errors []struct{ Pointer string } `json:"errors"`
				} `json:"error"`
			} `json:"results"`
		}
		path := "/api/messages/batch"
		if len(way) > 1 {
			path += "?envelope=true"
		}
		app.Want(http.StatusMultiStatus, &result, "POST", path, body, way...)
		for i, pointer := range pointers {
			require.Equal(t, invalid, result.Results[i].Error.Status)
			require.Equal(t, pointer, result.Results[i].Error.Errors[0].Pointer, messages[i])
		}
		require.Equal(t, "accepted", result.Results[len(pointers)].Status)
	}
	for _, query := range []string{"envelope=", "envelope=yes", "envelope=true&envelope=false"} {
		app.Refused(bad, "invalid_query", "POST", "/api/messages/batch?"+query, "1", apptest.ForTenant(tenant), ndjson())
	}
	app.Refused(bad, "invalid_query", "POST", "/api/messages/batch?envelope=true", `{"messages":[{"payload":1}]}`, apptest.ForTenant(tenant))
	app.Stored(tenant, 2)
	app.RequireNoDeadLetters(tenant)
}
