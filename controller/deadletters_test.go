package controller

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func someLetter(seq int64, body string) domain.DeadLetter {
	return domain.DeadLetter{
		Seq: seq, TenantID: tenantID, MessageID: "order-1", Body: []byte(body), Reason: domain.ReasonInvalidPayload,
		Error: "it is <not> JSON", Attempts: 1, CreatedAt: someTime,
	}
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	require.JSONEq(t, `{"data":[],"next_cursor":"","last_cursor":"0"}`, a.do("GET", "/api/dead-letters", "").body)
	require.Equal(t, domain.DeadLetterQuery{TenantID: tenantID, Limit: 50}, a.fakes.letterQuery)

	a.fakes.letters = []domain.DeadLetter{someLetter(16, `{"text": "<hello>", "n": 1.0}`), someLetter(17, "not json \xff")}
	a.fakes.letters[1].ReplayedAt = someTime
	a.fakes.letters[1].Headers = map[string]any{"x": []any{"y", map[string]any{"base64": "/w=="}}, "n": 1}
	a.fakes.more = true
	got := a.do("GET", "/dead-letters?cursor=15&limit=2&replayed=true", "", "Authorization: lodger")
	require.Equal(t, http.StatusOK, got.status, got.body)
	require.Equal(t, domain.DeadLetterQuery{TenantID: tenantID, After: 15, Limit: 2, Replayed: true}, a.fakes.letterQuery)
	common := `"tenant_id":"` + tenantID.String() + `","message_id":"order-1","reason":"invalid_payload","error":"it is <not> JSON","attempts":1,"created_at":"2026-11-21T10:00:00Z"`
	nothing := `"endpoint_id":null,"seq":null,`
	first := `{` + nothing + `"id":16,"body":{"text":"<hello>","n":1.0},"headers":{},"replayed_at":null,` + common + `}`
	second := `{` + nothing + `"id":17,"body_base64":"bm90IGpzb24g/w==","headers":{"x":["y",{"base64":"/w=="}],"n":1},"replayed_at":"2026-11-21T10:00:00Z",` + common + `}`
	require.JSONEq(t, `{"data":[`+first+`,`+second+`],"next_cursor":"17","last_cursor":"17"}`, got.body)
	require.Contains(t, got.body, `1.0`, "numbers stay as they are")

	require.JSONEq(t, second, a.do("GET", "/api/dead-letters/17", "").body)
	a.fakes.letters[0].EndpointID, a.fakes.letters[0].MessageSeq = otherID, 1842
	require.Contains(t, a.do("GET", "/api/dead-letters/16", "").body, `"endpoint_id":"`+otherID.String()+`","seq":1842`)
	a.problem(a.do("GET", "/api/dead-letters/18", ""), http.StatusNotFound, "dead_letter_not_found")
	for _, id := range []string{"x", "-1", "1.0", tenantID.String(), "99999999999999999999"} {
		a.problem(a.do("GET", "/api/dead-letters/"+id, ""), http.StatusBadRequest, "invalid_id")
	}
	got = a.do("GET", "/dead-letters?reason=delivery_failed&endpoint_id="+otherID.String()+"&from=2026-11-21T10:00:00Z&to=2026-11-22T10:00:00%2B01:00", "")
	require.Equal(t, http.StatusOK, got.status, got.body)
	require.Equal(t, domain.DeadLetterQuery{TenantID: tenantID, Limit: 50, Filter: domain.DeadLetterFilter{
		Reason: domain.ReasonDeliveryFailed, EndpointID: otherID, From: someTime, To: someTime.Add(23 * time.Hour),
	}}, a.fakes.letterQuery)
	for _, query := range []string{
		"cursor=", "cursor=x", "cursor=-1", "limit=0", "limit=1001", "replayed=", "replayed=1", "replayed=true&replayed=true",
		"reason=", "reason=x", "reason=unknown&reason=unknown", "endpoint_id=", "endpoint_id=1", "endpoint_id=00000000-0000-0000-0000-000000000000",
		"from=", "from=yesterday", "from=2026-11-21", "to=0001-01-01T00:00:00Z", "from=2026-11-21T10:00:00Z&to=2026-11-21T10:00:00Z",
	} {
		a.problem(a.do("GET", "/api/dead-letters?"+query, ""), http.StatusBadRequest, "invalid_query")
	}
}

// Every body is shown as what it is.
func TestDeadLetterBodies(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for body, want := range map[string]string{
		`null`: `"body":null`, `"\u0000"`: `"body":"\u0000"`, ` [ 1 ] `: `"body":[1]`, `"\ud800"`: `"body":"\ud800"`,
		``: `"body_base64":""`, `{} {}`: `"body_base64":"e30ge30="`, "\"\xff\"": `"body_base64":"Iv8i"`, "\x00": `"body_base64":"AA=="`,
		strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001): `"body_base64":"W1t`,
	} {
		a.fakes.letters = []domain.DeadLetter{someLetter(1, body)}
		got := a.do("GET", "/api/dead-letters/1", "")
		require.Equal(t, http.StatusOK, got.status)
		require.Contains(t, got.body, want)
		require.Equal(t, strings.Contains(want, "base64"), !strings.Contains(got.body, `"body":`))
	}
}

func TestReplayAndPurge(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, call := range []struct {
		method, path string
		status       int
		answer       string
	}{
		{"POST", "/api/dead-letters/replay", http.StatusAccepted, `{"replayed":2,"skipped":1}`},
		{"DELETE", "/api/dead-letters", http.StatusOK, `{"deleted":3}`},
	} {
		for body, want := range map[string]domain.DeadLetterSelection{
			`{"ids":[17, 18,17]}`:             {Seqs: []int64{17, 18, 17}},
			`{"all":true}`:                    {All: true},
			`{"filter":{"reason":"unknown"}}`: {Filter: domain.DeadLetterFilter{Reason: domain.ReasonUnknown}},
			`{"filter":{"reason":"delivery_failed","endpoint_id":"` + otherID.String() + `","from":"2026-11-21T10:00:00Z","to":"2026-11-21T11:00:00Z"}}`: {
				Filter: domain.DeadLetterFilter{Reason: domain.ReasonDeliveryFailed, EndpointID: otherID, From: someTime, To: someTime.Add(time.Hour)},
			},
		} {
			got := a.do(call.method, call.path, body, "Authorization: member")
			require.Equal(t, call.status, got.status, got.body)
			require.JSONEq(t, call.answer, got.body)
			require.Equal(t, want, a.fakes.selection)
		}
		calls := a.fakes.called()
		for body, pointer := range map[string]string{
			`{}`: "/ids", `{"all":false}`: "/all", `{"all":null}`: "/all", `{"all":"true"}`: "/all", `{"all":true,"ids":[1]}`: "/all",
			`{"ids":[]}`: "/ids", `{"ids":null}`: "/ids", `{"ids":"17"}`: "/ids", `{"ids":["17"]}`: "/ids", `{"ids":[1.5]}`: "/ids",
			`{"ids":[99999999999999999999]}`: "/ids", `{"ids":[1,0]}`: "/ids/1", `{"ids":[-1]}`: "/ids/0", `{"ids":[null]}`: "/ids/0",
			`{"ids":[1` + strings.Repeat(",1", 1000) + `]}`: "/ids", `{"id":1}`: "/id", `[1]`: "",
			`{"filter":{}}`: "/filter", `{"filter":null}`: "/filter", `{"filter":"reason"}`: "/filter", `{"filter":[]}`: "/filter",
			`{"all":true,"filter":{"reason":"unknown"}}`: "/filter", `{"ids":[1],"filter":{"reason":"unknown"}}`: "/filter", `{"ids":[1],"all":true,"filter":{}}`: "/all",
			`{"filter":{"reason":"x"}}`: "/filter/reason", `{"filter":{"reason":null}}`: "/filter/reason", `{"filter":{"reason":7}}`: "/filter/reason",
			`{"filter":{"reason":""}}`: "/filter/reason", `{"filter":{"Reason":"unknown"}}`: "/filter/Reason", `{"filter":{"replayed":true}}`: "/filter/replayed",
			`{"filter":{"reason":"unknown","reason":"unknown"}}`: "/filter/reason", `{"filter":{"endpoint_id":"17"}}`: "/filter/endpoint_id",
			`{"filter":{"from":"yesterday"}}`: "/filter/from", `{"filter":{"to":"0001-01-01T00:00:00Z"}}`: "/filter/to",
			`{"filter":{"from":"2026-11-21T10:00:00Z","to":"2026-11-21T10:00:00Z"}}`: "/filter/to",
		} {
			p := a.problem(a.do(call.method, call.path, body), http.StatusUnprocessableEntity, "invalid_fields")
			require.Equal(t, pointer, p.Errors[0].Pointer, body)
		}
		a.problem(a.do(call.method, call.path, ""), http.StatusBadRequest, "empty_body")
		a.problem(a.do(call.method, call.path, `{"all":true}`, "Authorization: viewer"), http.StatusForbidden, "role_insufficient")
		a.problem(a.do(call.method, call.path, `{"all":true}`, "Authorization: stranger"), http.StatusNotFound, "tenant_not_found")
		a.problem(a.do(call.method, call.path, `{"all":true}`, "X-Tenant-ID:"), http.StatusBadRequest, "tenant_required")
		require.Equal(t, calls, a.fakes.called())
	}
	require.Equal(t, http.StatusOK, a.do("GET", "/api/dead-letters", "", "Authorization: viewer").status)

	a.fakes.tenant.Status = domain.TenantInactive
	a.problem(a.do("POST", "/api/dead-letters/replay", `{"all":true}`), http.StatusConflict, "tenant_inactive")
	require.Equal(t, http.StatusOK, a.do("DELETE", "/api/dead-letters", `{"all":true}`).status)
	a.fakes.err = unavailable("broker_unavailable")
	a.problem(a.do("POST", "/api/dead-letters/replay", `{"all":true}`), http.StatusServiceUnavailable, "broker_unavailable")
}

func TestDeadLetterGroups(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	require.JSONEq(t, `{"data":[],"others":0,"counted":0,"truncated":false}`, a.do("GET", "/api/dead-letters/groups", "", "Authorization: viewer").body)
	a.fakes.groups = domain.DeadLetterGroups{Counted: 9, Truncated: true, Others: 2, Groups: []domain.DeadLetterGroup{
		{Reason: domain.ReasonDeliveryFailed, EndpointID: otherID, Error: "status 503", Count: 4, First: someTime, Last: someTime.Add(time.Hour), Example: 17},
		{Reason: domain.ReasonInvalidPayload, Error: "not JSON at byte <number>", Count: 3, First: someTime, Last: someTime, Example: 16},
	}}
	got := a.do("GET", "/dead-letters/groups?replayed=true&reason=delivery_failed&endpoint_id="+otherID.String()+"&from=2026-11-21T10:00:00Z", "")
	require.Equal(t, http.StatusOK, got.status, got.body)
	require.JSONEq(t, `{"data":[
		{"reason":"delivery_failed","endpoint_id":"`+otherID.String()+`","error":"status 503","count":4,"first":"2026-11-21T10:00:00Z","last":"2026-11-21T11:00:00Z","example_id":17},
		{"reason":"invalid_payload","endpoint_id":null,"error":"not JSON at byte <number>","count":3,"first":"2026-11-21T10:00:00Z","last":"2026-11-21T10:00:00Z","example_id":16}
	],"others":2,"counted":9,"truncated":true}`, got.body)
	require.Equal(t, domain.DeadLetterQuery{TenantID: tenantID, Replayed: true, Filter: domain.DeadLetterFilter{
		Reason: domain.ReasonDeliveryFailed, EndpointID: otherID, From: someTime,
	}}, a.fakes.letterQuery)
	for _, query := range []string{"replayed=1", "reason=x", "endpoint_id=x", "from=x", "to=", "from=2026-11-21T10:00:00Z&to=2026-11-21T10:00:00Z"} {
		a.problem(a.do("GET", "/api/dead-letters/groups?"+query, ""), http.StatusBadRequest, "invalid_query")
	}
	a.problem(a.do("GET", "/api/dead-letters/groups", "", "Authorization: stranger"), http.StatusNotFound, "tenant_not_found")
	a.fakes.err = unavailable("database_unavailable")
	a.problem(a.do("GET", "/api/dead-letters/groups", ""), http.StatusServiceUnavailable, "database_unavailable")
}

func TestDeadLetterSummaries(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	require.JSONEq(t, `{"data":[],"next_cursor":""}`, a.do("GET", "/api/dead-letters/summaries", "", "Authorization: viewer").body)
	require.Equal(t, domain.DeadLetterQuery{TenantID: tenantID, Limit: 50}, a.fakes.letterQuery)
	a.fakes.failures = domain.DeadLetterFailures{Next: 16, Failures: []domain.DeadLetterFailure{
		{Seq: 17, MessageID: "order 1", Type: "order.created", Reason: domain.ReasonDeliveryFailed, EndpointID: otherID, Error: "status 503", CreatedAt: someTime, ReplayedAt: someTime},
		{Seq: 16, Reason: domain.ReasonUnknown, CreatedAt: someTime},
	}}
	got := a.do("GET", "/dead-letters/summaries?cursor=18&limit=2&replayed=true&endpoint_id="+otherID.String()+"&error=status+503", "")
	require.JSONEq(t, `{"data":[
		{"id":17,"message_id":"order 1","type":"order.created","reason":"delivery_failed","endpoint_id":"`+otherID.String()+`","error":"status 503","created_at":"2026-11-21T10:00:00Z","replayed_at":"2026-11-21T10:00:00Z"},
		{"id":16,"message_id":"","type":"","reason":"unknown","endpoint_id":null,"error":"","created_at":"2026-11-21T10:00:00Z","replayed_at":null}
	],"next_cursor":"16"}`, got.body)
	require.Equal(t, domain.DeadLetterQuery{TenantID: tenantID, UpTo: 17, Limit: 2, Replayed: true, Filter: domain.DeadLetterFilter{EndpointID: otherID}}, a.fakes.letterQuery)
	require.Equal(t, "status 503", a.fakes.letterShape)
	calls := a.fakes.called()
	require.JSONEq(t, `{"data":[],"next_cursor":""}`, a.do("GET", "/dead-letters/summaries?cursor=1", "").body)
	require.Equal(t, calls, a.fakes.called())
	for _, query := range []string{"cursor=x", "cursor=-1", "limit=0", "limit=1001", "replayed=1", "reason=x", "error=" + strings.Repeat("x", 301)} {
		a.problem(a.do("GET", "/api/dead-letters/summaries?"+query, ""), http.StatusBadRequest, "invalid_query")
	}
	a.problem(a.do("GET", "/api/dead-letters/summaries", "", "Authorization: stranger"), http.StatusNotFound, "tenant_not_found")
}

// What is about many letters is a job.
func TestDeadLetterJobs(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const path = "/api/dead-letters/jobs/"
	job := `{"job_id":"` + otherID.String() + `","tenant_id":"` + tenantID.String() + `","action":"replay","state":"running","total":1001,"done":7,"skipped":1,
		"waits_for":"It waits.","created_at":"2026-11-21T10:00:00Z","ended_at":null}`
	require.JSONEq(t, job, a.do("GET", path+otherID.String(), "", "Authorization: viewer").body)
	require.JSONEq(t, `{"data":[`+job+`]}`, a.do("GET", "/api/dead-letters/jobs", "", "Authorization: viewer").body)
	got := a.do("DELETE", path+otherID.String(), "", "Authorization: member")
	require.Equal(t, http.StatusOK, got.status)
	require.Contains(t, got.body, `"state":"canceled"`)
	require.Contains(t, got.body, `"ended_at":"2026-11-21T10:00:00Z"`)
	a.problem(a.do("DELETE", path+otherID.String(), "", "Authorization: viewer"), http.StatusForbidden, "role_insufficient")
	for _, method := range []string{"GET", "DELETE"} {
		a.problem(a.do(method, path+messageID.String(), ""), http.StatusNotFound, "dead_letter_job_not_found")
		a.problem(a.do(method, path+"17", ""), http.StatusBadRequest, "invalid_id")
		a.problem(a.do(method, path+otherID.String(), "", "Authorization: stranger"), http.StatusNotFound, "tenant_not_found")
	}
	begun := someJob()
	a.fakes.job = &begun
	got = a.do("POST", "/api/dead-letters/replay", `{"filter":{"reason":"unknown"}}`)
	require.Equal(t, http.StatusAccepted, got.status)
	require.JSONEq(t, `{"replayed":0,"skipped":0,"job_id":"`+otherID.String()+`","state":"running","total":1001,"done":7}`, got.body)
	require.Equal(t, path+otherID.String(), got.header.Get("Location"))
	got = a.do("DELETE", "/api/dead-letters", `{"filter":{"reason":"unknown"}}`)
	require.Equal(t, http.StatusAccepted, got.status)
	require.JSONEq(t, job, got.body)
	require.Equal(t, path+otherID.String(), got.header.Get("Location"))
}
