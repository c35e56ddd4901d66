package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

const hookURL = "https://example.com/hook"

// All that may be said of an endpoint is answered as it was said, and a change leaves
// alone what it says nothing of.
func TestEndpointsAreKept(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 0).ID
	app.Publish(tenant, `1`)
	app.Stored(tenant, 1)

	plain := app.CreateEndpoint(tenant, hookURL, nil)
	require.Equal(t, tenant, plain.TenantID)
	require.True(t, strings.HasPrefix(plain.Secret, "whsec_"))
	require.Equal(t, []string{"5s", "5m", "30m", "2h", "5h", "10h", "10h"}, plain.Retry.Schedule)
	require.Equal(t, []any{5000, 0, "none", []string{}, []int{}, map[string]string{}}, []any{plain.TimeoutMS, plain.Rate, plain.Ordering, plain.Types, plain.Retry.Final, plain.Headers})
	require.Nil(t, plain.Concurrency)
	require.Nil(t, plain.OnFailure)
	require.Nil(t, plain.ExternalID)
	require.Equal(t, []int64{0, 1, 1, 0}, []int64{plain.Lag, plain.SettledSeq, plain.LastSeq, plain.Open})

	full := app.CreateEndpoint(tenant, hookURL, map[string]any{
		"description": "for\nOrders", "external_id": "erp/1 ä", "types": []string{"order.*", "*"}, "timeout_ms": 15000, "concurrency": 7, "rate": 9,
		"ordering": "fifo", "on_failure": "skip", "retry": map[string]any{"schedule": []string{"1s", "1h30m", "72h"}, "final": []int{404}},
		"headers": map[string]string{"x-token": "abc", "Authorization": "Bearer x"}, "secret": "whsec_" + strings.Repeat("A", 32), "from_seq": 1,
	})
	require.Equal(t, "whsec_"+strings.Repeat("A", 32), full.Secret)
	require.Equal(t, map[string]string{"X-Token": "***", "Authorization": "***"}, full.Headers)
	require.Equal(t, []string{"1s", "1h30m", "72h"}, full.Retry.Schedule)
	require.LessOrEqual(t, full.SettledSeq, int64(1))
	held := app.Tell(&full, "hold") // nothing is to leave this machine, and the cursor to stand still
	full.Secret, full.Status, full.Lag, full.SettledSeq = "", "held", held.Lag, held.SettledSeq
	require.Equal(t, full, app.Endpoint(&full), "as it was answered, but without its secret")

	changed := app.ChangeEndpoint(&full, map[string]any{"types": nil, "concurrency": nil, "retry": map[string]any{"final": nil}, "headers": map[string]any{"x-token": nil, "X-More": "1"}})
	want := full
	want.Types, want.Concurrency, want.Headers = []string{}, nil, map[string]string{"Authorization": "***", "X-More": "***"}
	want.Retry.Final = []int{}
	require.Equal(t, want, changed)
	changed = app.ChangeEndpoint(&full, map[string]any{"ordering": "key", "external_id": nil, "retry": nil})
	require.Equal(t, plain.Retry, changed.Retry)
	require.Nil(t, changed.OnFailure)
	require.Nil(t, changed.ExternalID)

	var list struct{ Data []apptest.Endpoint }
	app.Want(http.StatusOK, &list, "GET", apptest.EndpointsPath(tenant), nil)
	require.Len(t, list.Data, 2)
	require.Equal(t, plain.ID, list.Data[0].ID)
	require.Empty(t, list.Data[0].Secret)
	require.Equal(t, 0, app.DeleteEndpoint(&plain))
	app.Refused(missing, "endpoint_not_found", "GET", plain.Path(), nil)
	app.Refused(missing, "endpoint_not_found", "DELETE", plain.Path(), nil)
}

func TestEndpointsByExternalID(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant, other := app.CreateTenant("one", 0).ID, app.CreateTenant("other", 0).ID
	path := apptest.EndpointsPath(tenant) + "/by-external-id/erp%2F1"
	var first, second apptest.Endpoint
	app.Want(http.StatusCreated, &first, "PUT", path, map[string]any{"url": hookURL, "rate": 5, "headers": map[string]string{"A": "1", "B": "2"}})
	require.Equal(t, "erp/1", *first.ExternalID)
	require.NotEmpty(t, first.Secret)
	app.Want(http.StatusOK, &second, "PUT", path, map[string]any{"url": hookURL, "headers": map[string]string{"A": "***"}})
	require.Equal(t, first.ID, second.ID)
	require.Zero(t, second.Rate)
	require.Equal(t, map[string]string{"A": "***"}, second.Headers)
	require.Empty(t, second.Secret)
	app.Refused(http.StatusConflict, "external_id_taken", "POST", apptest.EndpointsPath(tenant), map[string]any{"url": hookURL, "external_id": "erp/1"})
	app.CreateEndpoint(other, hookURL, map[string]any{"external_id": "erp/1"})
	app.Refused(invalid, "", "PUT", path, map[string]any{"url": hookURL, "external_id": "another"})
	app.Refused(invalid, "", "PUT", apptest.EndpointsPath(tenant)+"/by-external-id/"+strings.Repeat("x", 201), map[string]any{"url": hookURL})

	// The same, when they come at once.
	done := make(chan int, 10)
	for i := range cap(done) {
		go func() {
			answer, err := app.Send(t.Context(), "PUT", apptest.EndpointsPath(tenant)+"/by-external-id/crm", map[string]any{"url": fmt.Sprint(hookURL, i)})
			if err != nil {
				t.Error(err)
			}
			done <- answer.Status
		}()
	}
	statuses := make(map[int]int)
	for range cap(done) {
		statuses[<-done]++
	}
	require.Equal(t, map[int]int{http.StatusCreated: 1, http.StatusOK: 9}, statuses)
}

func TestEndpointsWithAKey(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 0).ID
	path, body := apptest.EndpointsPath(tenant), map[string]any{"url": hookURL}
	var first, again apptest.Endpoint
	app.Want(http.StatusCreated, &first, "POST", path, body, apptest.WithKey("k"))
	answer := app.Want(http.StatusCreated, &again, "POST", path, body, apptest.WithKey("k"))
	require.Equal(t, "true", answer.Header.Get("Idempotent-Replayed"))
	require.Equal(t, first, again)
	require.Equal(t, first.Path(), answer.Header.Get("Location"))
	app.Refused(invalid, "idempotency_key_reused", "POST", path, map[string]any{"url": hookURL + "2"}, apptest.WithKey("k"))
	require.Equal(t, 1, apptest.QueryRow[int](app.Probes, `SELECT count(*)::int FROM endpoints`))
}

// Of each of these one thing is wrong, and the answer points to it.
func TestBadEndpoints(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 0).ID
	there := app.CreateEndpoint(tenant, hookURL, map[string]any{"headers": map[string]string{"A": "1"}})
	there.Secret = ""
	path := apptest.EndpointsPath(tenant)
	quoted := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	patterns := make([]string, 51)
	for i := range patterns {
		patterns[i] = fmt.Sprintf(`"a.n%d"`, i)
	}
	for _, c := range []struct{ field, pointer string }{
		{`"url":null`, "/url"},
		{`"url":7`, "/url"},
		{`"url":""`, "/url"},
		{`"url":"example.com"`, "/url"},
		{`"url":"ftp://example.com"`, "/url"},
		{`"url":"https://user:pass@example.com/"`, "/url"},
		{`"url":"https://example.com/` + strings.Repeat("x", 2000) + `"`, "/url"},
		{`"url":"http://127.0.0.1/"`, "/url"},
		{`"url":"http://10.1.2.3:80/"`, "/url"},
		{`"url":"http://169.254.169.254/"`, "/url"},
		{`"url":"http://[::1]/"`, "/url"},
		{`"url":"http://[fe80::1]/"`, "/url"},
		{`"url":"http://localhost:8080/"`, "/url"},
		{`"url":"http://0x7f.1/"`, "/url"},
		{`"url":"http://a b/"`, "/url"},
		{`"description":` + quoted(2001), "/description"},
		{`"description":"\u0000"`, "/description"},
		{`"description":null`, "/description"},
		{`"external_id":""`, "/external_id"},
		{`"external_id":` + quoted(201), "/external_id"},
		{`"external_id":"\u0001"`, "/external_id"},
		{`"external_id":"\ud800"`, "/external_id"},
		{`"external_id":".."`, "/external_id"},
		{`"external_id":5`, "/external_id"},
		{`"types":"order.*"`, "/types"},
		{`"types":[7]`, "/types"},
		{`"types":{}`, "/types"},
		{`"types":[` + strings.Join(patterns, ",") + `]`, "/types"},
		{`"types":[""]`, "/types/0"},
		{`"types":["a","a..b"]`, "/types/1"},
		{`"types":["or*"]`, "/types/0"},
		{`"types":["a b"]`, "/types/0"},
		{`"types":["a.*","a.*"]`, "/types/1"},
		{`"types":[null]`, "/types/0"},
		{`"types":[` + quoted(129) + `]`, "/types/0"},
		{`"timeout_ms":99`, "/timeout_ms"},
		{`"timeout_ms":15001`, "/timeout_ms"},
		{`"timeout_ms":"5s"`, "/timeout_ms"},
		{`"timeout_ms":100.5`, "/timeout_ms"},
		{`"concurrency":0`, "/concurrency"},
		{`"concurrency":101`, "/concurrency"},
		{`"concurrency":-1`, "/concurrency"},
		{`"concurrency":1e99`, "/concurrency"},
		{`"rate":-1`, "/rate"},
		{`"rate":100001`, "/rate"},
		{`"rate":99999999999999999999`, "/rate"},
		{`"ordering":"lifo"`, "/ordering"},
		{`"ordering":""`, "/ordering"},
		{`"ordering":null`, "/ordering"},
		{`"ordering":"FIFO"`, "/ordering"},
		{`"on_failure":"skip"`, "/on_failure"},
		{`"ordering":"fifo","on_failure":"drop"`, "/on_failure"},
		{`"ordering":"key","on_failure":"block"`, "/on_failure"},
		{`"retry":[]`, "/retry"},
		{`"retry":{"schedule":"5s"}`, "/retry/schedule"},
		{`"retry":{"schedule":[5]}`, "/retry/schedule"},
		{`"retry":{"schedule":["5"]}`, "/retry/schedule/0"},
		{`"retry":{"schedule":["999ms"]}`, "/retry/schedule/0"},
		{`"retry":{"schedule":["5s","72h1s"]}`, "/retry/schedule/1"},
		{`"retry":{"schedule":["-5s"]}`, "/retry/schedule/0"},
		{`"retry":{"schedule":["1d"]}`, "/retry/schedule/0"},
		{`"retry":{"schedule":[` + strings.Repeat(`"5s",`, 30) + `"5s"]}`, "/retry/schedule"},
		{`"retry":{"final":[200]}`, "/retry/final/0"},
		{`"retry":{"final":[404,404]}`, "/retry/final/1"},
		{`"retry":{"final":["404"]}`, "/retry/final"},
		{`"retry":{"Final":[404]}`, "/retry/Final"},
		{`"retry":{"final":[404],"final":[]}`, "/retry/final"},
		{`"retry":{"max_attempts":5}`, "/retry/max_attempts"},
		{`"headers":[]`, "/headers"},
		{`"headers":{"X":1}`, "/headers/X"},
		{`"headers":{"X":"1","x":"2"}`, "/headers/x"},
		{`"headers":{"X":"1","X":"2"}`, "/headers/X"},
		{`"headers":{"":"1"}`, "/headers/"},
		{`"headers":{"a b":"1"}`, "/headers/a b"},
		{`"headers":{"a:b":"1"}`, "/headers/a:b"},
		{`"headers":{"X\r\nY":"1"}`, "/headers/X\r\nY"},
		{`"headers":{"X":"1\r\nY: 2"}`, "/headers/X"},
		{`"headers":{"X":"1\n"}`, "/headers/X"},
		{`"headers":{"X":"\u0000"}`, "/headers/X"},
		{`"headers":{"X":"ä"}`, "/headers/X"},
		{`"headers":{"X":"***"}`, "/headers/X"},
		{`"headers":{"Host":"a"}`, "/headers/Host"},
		{`"headers":{"content-length":"1"}`, "/headers/content-length"},
		{`"headers":{"Transfer-Encoding":"chunked"}`, "/headers/Transfer-Encoding"},
		{`"headers":{"Webhook-Id":"a"}`, "/headers/Webhook-Id"},
		{`"headers":{"webhook-signature":"a"}`, "/headers/webhook-signature"},
		{`"headers":{"Connection":"close"}`, "/headers/Connection"},
		{`"headers":{"lanekeeper-seq":"1"}`, "/headers/lanekeeper-seq"},
		{`"headers":{"X":` + quoted(1001) + `}`, "/headers/X"},
		{`"secret":""`, "/secret"},
		{`"secret":null`, "/secret"},
		{`"secret":"abc"`, "/secret"},
		{`"secret":"whsec_` + strings.Repeat("A", 28) + `"`, "/secret"},
		{`"secret":"whsec_` + strings.Repeat("A", 88) + `"`, "/secret"},
		{`"secret":"whsec_!"`, "/secret"},
		{`"unknown":1`, "/unknown"},
		{`"id":"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`, "/id"},
		{`"status":"held"`, "/status"},
		{`"URL":"https://example.com"`, "/URL"},
	} {
		for _, call := range []struct{ method, path, url string }{{"POST", path, hookURL}, {"PUT", path + "/by-external-id/x", hookURL}, {"PATCH", there.Path(), ""}} {
			body := `{` + c.field + `}`
			if call.url != "" && !strings.HasPrefix(c.field, `"url"`) {
				body = `{"url":"` + call.url + `",` + c.field + `}`
			}
			if call.method == "PUT" && strings.HasPrefix(c.field, `"external_id":`) {
				continue // it comes in the path
			}
			p := app.Refused(invalid, "", call.method, call.path, body)
			require.NotEmpty(t, p.Errors, "%s %s", call.method, body)
			require.Equal(t, c.pointer, p.Errors[0].Pointer, "%s %s", call.method, body)
		}
	}
	for field, pointer := range map[string]string{`"from_seq":0`: "/from_seq", `"from_seq":-1`: "/from_seq", `"from_seq":"1"`: "/from_seq", `"from_seq":null`: "/from_seq"} {
		p := app.Refused(invalid, "", "POST", path, `{"url":"`+hookURL+`",`+field+`}`)
		require.Equal(t, pointer, p.Errors[0].Pointer)
	}
	app.Refused(invalid, "", "PATCH", there.Path(), `{"from_seq":1}`)
	app.Refused(http.StatusConflict, "cursor_ahead", "POST", path, `{"url":"`+hookURL+`","from_seq":2}`)
	for _, body := range []string{`{}`, `[]`, `null`, `"x"`} {
		app.Refused(invalid, "", "POST", path, body)
	}
	for _, body := range []string{``, `{`, "\xff", `{"url":"https://example.com"} x`} {
		app.Refused(bad, "", "POST", path, body)
		app.Refused(bad, "", "PATCH", there.Path(), body)
	}
	app.Refused(tooLarge, "", "POST", path, `{"url":"https://example.com","description":`+quoted(70_000)+`}`)
	app.Refused(unsupported, "", "POST", path, `url=x`, apptest.Header{"Content-Type", "application/x-www-form-urlencoded"})
	many := make(map[string]string)
	for i := range 21 {
		many[fmt.Sprintf("X-%d", i)] = "v"
	}
	app.Refused(invalid, "", "POST", path, map[string]any{"url": hookURL, "headers": many})
	for _, body := range []string{`{"grace":"-1s"}`, `{"grace":"168h1s"}`, `{"grace":"1"}`, `{"grace":5}`, `{"grace":null}`, `{"secret":"x"}`, `{"more":1}`} {
		app.Refused(invalid, "", "POST", there.Path()+"/rotate-secret", body)
	}
	for _, body := range []string{
		`{"from_seq":0}`, `{"from_seq":5,"to_seq":4}`, `{"to_seq":"x"}`, `{"from":"yesterday"}`, `{"from":"2026-11-30T10:00:00Z","to":"2026-11-30T09:00:00Z"}`,
		`{"only":"some"}`, `{"types":["a..b"]}`, `{"types":"a"}`, `{"rate":0}`, `{"rate":10001}`, `{"dry_run":"yes"}`, `{"more":1}`, `[]`,
	} {
		app.Refused(invalid, "", "POST", there.Path()+"/replay", body)
	}
	app.Refused(missing, "", "POST", there.Path()+"/replay", `{}`) // there is nothing in the history
	for _, query := range []string{"status=x", "limit=0", "limit=1001", "cursor=", "cursor=1", "cursor=1-x", "cursor=99999999999999999999-" + tenant, "status=failed&status=failed"} {
		app.Refused(bad, "", "GET", there.Path()+"/attempts?"+query, nil)
	}
	for _, id := range hostileIDs() {
		escaped := strings.NewReplacer("/", "%2F", " ", "%20", "%", "%25", "#", "%23", "?", "%3F").Replace(id)
		answer := app.Call("GET", path+"/"+escaped, nil)
		require.Contains(t, []int{bad, missing, http.StatusRequestURITooLong}, answer.Status, id)
	}
	require.Equal(t, there, app.Endpoint(&there), "nothing of all this changed it")
	require.Equal(t, 1, apptest.QueryRow[int](app.Probes, `SELECT count(*)::int FROM endpoints`))

	// As many as there may be.
	for range 49 {
		app.CreateEndpoint(tenant, hookURL, nil)
	}
	answer := app.Call("POST", path, map[string]string{"url": hookURL})
	require.Equal(t, http.StatusTooManyRequests, answer.Status)
	app.Refused(http.StatusTooManyRequests, "quota_exceeded", "PUT", path+"/by-external-id/x", map[string]string{"url": hookURL})
	app.DeleteEndpoint(&there)
	app.CreateEndpoint(tenant, hookURL, nil)
}

// No route shows or touches endpoints of another tenant.
func TestEndpointsAreIsolated(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret())
	app.AddUser("ada@example.com", "member", "")
	app.AddUser("bob@example.com", "member", "")
	ada, bob := app.LoggedIn("ada@example.com"), app.LoggedIn("bob@example.com")
	ofAda, ofBob := ada.CreateTenant("of Ada", 0).ID, bob.CreateTenant("of Bob", 0).ID
	app.AddUser("vic@example.com", "viewer", ofAda)
	app.AddUser("eve@example.com", "member", ofAda)
	vic, eve := app.LoggedIn("vic@example.com"), app.LoggedIn("eve@example.com")
	nothing := []string{"no.message.has.this.type"} // nothing is to leave this machine
	e := ada.CreateEndpoint(ofAda, hookURL, map[string]any{"external_id": "erp", "types": nothing})
	own := bob.CreateEndpoint(ofBob, hookURL, map[string]any{"types": nothing})
	message := ada.Publish(ofAda, `1`)
	ada.Stored(ofAda, 1)
	e.Secret = ""
	before := ada.Endpoint(&e)

	type call struct{ method, path, body string }
	changes := []call{
		{"PATCH", "", `{"rate":1}`},
		{"DELETE", "", ""},
		{"POST", "/hold", ""},
		{"POST", "/resume", ""},
		{"POST", "/skip", ""},
		{"POST", "/test", ""},
		{"POST", "/rotate-secret", `{}`},
		{"POST", "/replay", `{}`},
		{"DELETE", "/replays/" + e.ID, ""},
	}
	reads := []call{{"GET", "", ""}, {"GET", "/attempts", ""}, {"GET", "/replays/" + e.ID, ""}}
	of := func(tenant, id string) string { return apptest.EndpointsPath(tenant) + "/" + id }
	for _, c := range append(changes, reads...) {
		bob.Refused(missing, "tenant_not_found", c.method, of(ofAda, e.ID)+c.path, c.body)
		// Ids of another tenant are nothing in one's own, nor one's own in theirs.
		p := bob.Refused(missing, "", c.method, of(ofBob, e.ID)+c.path, c.body)
		require.Contains(t, []string{"endpoint_not_found", "replay_not_found"}, p.Code)
		bob.Refused(missing, "tenant_not_found", c.method, of(ofAda, own.ID)+c.path, c.body)
	}
	for _, c := range []call{{"GET", "", ""}, {"POST", "", `{"url":"https://example.com"}`}, {"PUT", "/by-external-id/erp", `{"url":"https://example.com/stolen"}`}} {
		bob.Refused(missing, "tenant_not_found", c.method, apptest.EndpointsPath(ofAda)+c.path, c.body)
	}
	resend := "/api/messages/" + message + "/endpoints/"
	bob.Refused(missing, "tenant_not_found", "POST", resend+e.ID+"/resend", nil, apptest.ForTenant(ofAda))
	bob.Refused(missing, "message_not_found", "POST", resend+own.ID+"/resend", nil, apptest.ForTenant(ofBob))
	bob.Refused(missing, "endpoint_not_found", "POST", resend+e.ID+"/resend", nil, apptest.ForTenant(ofBob))
	bob.Refused(missing, "message_not_found", "GET", "/api/messages/"+message+"/attempts", nil, apptest.ForTenant(ofBob))
	bob.Refused(missing, "tenant_not_found", "GET", "/api/messages/"+message+"/attempts", nil, apptest.ForTenant(ofAda))

	// Who belongs to the tenant reads, and who did not make it changes nothing.
	for _, p := range []*apptest.Client{vic, eve} {
		for _, c := range reads[:2] {
			p.Want(http.StatusOK, nil, c.method, e.Path()+c.path, nil)
		}
		for _, c := range changes {
			p.Refused(http.StatusForbidden, "", c.method, e.Path()+c.path, c.body)
		}
		p.Refused(http.StatusForbidden, "", "POST", apptest.EndpointsPath(ofAda), `{"url":"https://example.com"}`)
	}
	vic.Refused(http.StatusForbidden, "", "POST", resend+e.ID+"/resend", nil)
	after := ada.Endpoint(&e)
	after.Lag, after.SettledSeq, after.Open = before.Lag, before.SettledSeq, before.Open // it is delivered meanwhile
	require.Equal(t, before, after)
}
