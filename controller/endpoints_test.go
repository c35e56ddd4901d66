package controller

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/model"
)

var (
	endpointsPath = "/api/tenants/" + tenantID.String() + "/endpoints"
	endpointPath  = endpointsPath + "/" + endpointID.String()
)

func TestCreateEndpoint(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.do("POST", endpointsPath, `{
		"url": "https://example.com", "description": "d", "external_id": "erp", "types": ["a.*"], "timeout_ms": 100, "concurrency": 5, "rate": 9, "ordering": "fifo",
		"on_failure": "skip", "retry": {"schedule": ["5s"], "final": [404]}, "headers": {"X-A": "1"}, "secret": "whsec_x", "from_seq": 3}`, "Idempotency-Key: k")
	require.Equal(t, http.StatusCreated, got.status, got.body)
	require.Equal(t, endpointPath, got.header.Get("Location"))
	require.Contains(t, got.body, `"secret":"whsec_`)
	s := a.endpoints
	require.Equal(t, "k", s.key.Key)
	require.NotZero(t, s.key.Hash)
	require.Equal(t, domain.EndpointChange{
		URL: domain.SetTo("https://example.com"), Description: domain.SetTo("d"), ExternalID: domain.SetTo("erp"), Types: domain.SetTo([]string{"a.*"}),
		TimeoutMS: domain.SetTo(100), Concurrency: domain.SetTo(5), Rate: domain.SetTo(9), Ordering: domain.SetTo("fifo"), OnFailure: domain.SetTo("skip"),
		RetrySchedule: domain.SetTo([]string{"5s"}), RetryFinal: domain.SetTo([]int{404}), Headers: domain.SetTo(map[string]*string{"X-A": new("1")}),
		Secret: domain.SetTo("whsec_x"), FromSeq: domain.SetTo(3),
	}, s.change)

	s.replayed = true
	got = a.do("POST", strings.TrimPrefix(endpointsPath, "/api"), `{"url":"https://example.com"}`)
	require.Equal(t, "true", got.header.Get("Idempotent-Replayed"))
	require.Equal(t, strings.TrimPrefix(endpointPath, "/api"), got.header.Get("Location"))
	require.Equal(t, domain.EndpointChange{URL: domain.SetTo("https://example.com")}, s.change)
}

// Null stands for the default, and is refused where there is none.
func TestNullsOfEndpoints(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.do("PATCH", endpointPath, `{"external_id":null,"types":null,"timeout_ms":null,"concurrency":null,"rate":null,"on_failure":null,"retry":null,"headers":null}`)
	require.Equal(t, http.StatusOK, got.status, got.body)
	require.Equal(t, domain.EndpointChange{
		ExternalID: domain.Setting[string]{Said: true}, Types: domain.Setting[[]string]{Said: true}, TimeoutMS: domain.Setting[int]{Said: true},
		Concurrency: domain.Setting[int]{Said: true}, Rate: domain.Setting[int]{Said: true}, OnFailure: domain.Setting[string]{Said: true},
		RetrySchedule: domain.Setting[[]string]{Said: true}, RetryFinal: domain.Setting[[]int]{Said: true}, Headers: domain.Setting[map[string]*string]{Said: true},
	}, a.endpoints.change)
	a.do("PATCH", endpointPath, `{"retry":{"final":null},"headers":{"X":null}}`)
	require.Equal(t, domain.EndpointChange{
		RetryFinal: domain.Setting[[]int]{Said: true}, Headers: domain.SetTo(map[string]*string{"X": nil}),
	}, a.endpoints.change)
	for _, field := range []string{"url", "description", "ordering", "secret"} {
		p := a.problem(a.do("PATCH", endpointPath, `{"`+field+`":null}`), http.StatusUnprocessableEntity, "invalid_fields")
		require.Equal(t, "/"+field, p.Errors[0].Pointer)
	}
}

func TestWrongFieldsOfEndpoints(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for body, want := range map[string][]string{
		`{"types":"a","rate":"x","concurrency":1.5}`:              {"/types", "/concurrency", "/rate"},
		`{"retry":{"schedule":5,"final":"x","more":1}}`:           {"/retry/schedule", "/retry/final", "/retry/more"},
		`{"retry":{"final":[],"final":[]}}`:                       {"/retry/final"},
		`{"headers":{"X":1,"a/b":[],"Y":"1","Y":"2"}}`:            {"/headers/X", "/headers/a~1b", "/headers/Y"},
		`{"headers":"x","retry":7}`:                               {"/headers", "/retry"},
		`{"external_id":"\ud800"}`:                                {"/external_id"},
		`{"external_id":{}}`:                                      {"/external_id"},
		`{"status":"held"}`:                                       {"/status"},
		`{"from_seq":1}`:                                          {"/from_seq"},
		`{"headers":{` + strings.Repeat(`"X":1,`, 99) + `"X":1}}`: nil,
	} {
		p := a.problem(a.do("PATCH", endpointPath, body), http.StatusUnprocessableEntity, "invalid_fields")
		var pointers []string
		for _, e := range p.Errors {
			pointers = append(pointers, e.Pointer)
		}
		if want == nil {
			require.LessOrEqual(t, len(pointers), 20, "not more than anybody reads")
			continue
		}
		require.ElementsMatch(t, want, pointers, body)
	}
	require.Zero(t, a.fakes.called())
	for _, path := range []string{endpointsPath + "/x", "/api/tenants/x/endpoints", endpointPath + "/replays/x"} {
		a.problem(a.do("GET", path, ""), http.StatusBadRequest, "invalid_id")
	}
}

func TestUpsertEndpoint(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	path, s := endpointsPath+"/by-external-id/a%2Fb%20c", a.endpoints
	got := a.do("PUT", path, `{"url":"https://example.com"}`)
	require.Equal(t, http.StatusOK, got.status)
	require.NotContains(t, got.body, "whsec_")
	require.Equal(t, "a/b c", s.externalID)
	s.fresh = true
	got = a.do("PUT", path, `{"url":"https://example.com"}`)
	require.Equal(t, http.StatusCreated, got.status)
	require.Contains(t, got.body, "whsec_")
	require.Equal(t, endpointPath, got.header.Get("Location"))
}

func TestWhatIsShownOfAnEndpoint(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.do("GET", endpointPath, "")
	require.JSONEq(t, `{
		"id": "`+endpointID.String()+`", "tenant_id": "`+tenantID.String()+`", "external_id": null, "url": "https://example.com/hook", "description": "", "types": [],
		"timeout_ms": 5000, "concurrency": null, "rate": 0, "ordering": "none", "on_failure": null,
		"retry": {"schedule": ["5s", "5m", "30m", "2h", "5h", "10h", "10h"], "final": []}, "headers": {}, "old_secret_until": null, "status": "active", "status_reason": "",
		"lag": 0, "settled_seq": 0, "last_seq": 0, "open": 0, "breaker": {"open": false, "since": null}, "failing_since": null, "reading_stopped": false,
		"created_at": "2026-11-21T10:00:00Z", "updated_at": "2026-11-21T10:00:00Z"}`, got.body)

	s := a.endpoints
	soon := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	e := &s.endpoint
	e.ExternalID, e.Types, e.Concurrency, e.Ordering, e.OnFailure = "erp", []domain.TypePattern{"a.*"}, 5, domain.OrderingFIFO, domain.FailureSkips
	e.Retry = domain.RetryPolicy{Schedule: []time.Duration{time.Second, 90 * time.Minute, 72 * time.Hour, 10 * time.Second, 1500 * time.Millisecond}, Final: []int{404}}
	e.Headers, e.OldSecret, e.OldSecretUntil = map[string]string{"X-A": "not to be seen"}, []byte("old"), soon
	e.Status, e.StatusReason = domain.EndpointDisabled, "the endpoint answered 410 Gone"
	s.progress = domain.EndpointProgress{Settled: 5, Last: 9, Open: 2, Health: domain.EndpointHealth{BreakerOpenedAt: someTime, FailingSince: someTime, ReadingStopped: true}}
	got = a.do("GET", endpointsPath, "")
	require.NotContains(t, got.body, "not to be seen")
	require.NotContains(t, got.body, "whsec_")
	list := decodeReply[model.EndpointList](t, got)
	require.Len(t, list.Data, 1)
	shown := list.Data[0]
	require.Equal(t, []string{"1s", "1h30m", "72h", "10s", "1.5s"}, shown.Retry.Schedule)
	require.Equal(t, map[string]string{"X-A": "***"}, shown.Headers)
	require.Equal(t, soon, *shown.OldSecretUntil)
	require.Equal(t, "skip", *shown.OnFailure)
	require.EqualValues(t, 6, shown.Lag)
	require.Equal(t, model.Breaker{Open: true, Since: &someTime}, shown.Breaker)
	e.Status, e.StatusReason, e.Unreadable = domain.EndpointActive, "", true
	shown = decodeReply[model.Endpoint](t, a.do("GET", endpointPath, ""))
	require.Equal(t, []string{"disabled", domain.StatusUnreadable}, []string{shown.Status, shown.StatusReason})
	e.OldSecretUntil = time.Now().Add(-time.Second)
	require.Nil(t, decodeReply[model.Endpoint](t, a.do("GET", endpointPath, "")).OldSecretUntil, "it does not sign any longer")
}

func TestEndpointActions(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	s := a.endpoints
	require.Equal(t, "held", decodeReply[model.Endpoint](t, a.do("POST", endpointPath+"/hold", "")).Status)
	require.Equal(t, "active", decodeReply[model.Endpoint](t, a.do("POST", endpointPath+"/resume", "")).Status)
	got := a.do("POST", endpointPath+"/skip", "")
	require.Equal(t, http.StatusOK, got.status)
	require.Contains(t, got.body, `"body":{"a":1}`)
	got = a.do("DELETE", endpointPath, "")
	require.Equal(t, http.StatusNoContent, got.status)
	require.Equal(t, "7", got.header.Get("Lanekeeper-Open"))

	got = a.do("POST", endpointPath+"/rotate-secret", "")
	require.Equal(t, http.StatusOK, got.status, got.body)
	require.Contains(t, got.body, `"secret":"whsec_`)
	require.Equal(t, domain.SecretRotation{}, s.rotation)
	a.do("POST", endpointPath+"/rotate-secret", `{"grace":"1h","secret":"whsec_x"}`)
	require.Equal(t, domain.SecretRotation{Grace: new("1h"), Secret: new("whsec_x")}, s.rotation)

	got = a.do("POST", "/api/messages/"+messageID.String()+"/endpoints/"+endpointID.String()+"/resend", "")
	require.Equal(t, http.StatusAccepted, got.status)
	require.Equal(t, messageID, s.messageID)

	for want, test := range map[string]domain.EndpointTest{
		`{"status":204,"error":"","duration_ms":0}`:                                        {Status: 204},
		`{"status":503,"error":"status 503","duration_ms":1500,"answer":"busy ä"}`:         {Status: 503, Error: "status 503", Duration: 1500 * time.Millisecond, Answer: []byte("busy ä\xe2\x82")},
		`{"status":null,"error":"the address is not allowed","duration_ms":0}`:             {Error: "the address is not allowed"},
		`{"status":200,"error":"","duration_ms":0,"answer_base64":"/wB4"}`:                 {Status: 200, Answer: []byte("\xff\x00x")},
		`{"status":200,"error":"","duration_ms":0,"answer_base64":"4g=="}`:                 {Status: 200, Answer: []byte("\xe2")},
		`{"status":410,"error":"status 410","duration_ms":0,"answer":"a\u0000b</script>"}`: {Status: 410, Error: "status 410", Answer: []byte("a\x00b</script>")},
	} {
		s.test = test
		got = a.do("POST", endpointPath+"/test", "")
		require.Equal(t, http.StatusOK, got.status)
		require.JSONEq(t, want, got.body)
	}
	a.fakes.err = domain.EndpointNotFound()
	for _, call := range []string{"GET ", "DELETE ", "POST /hold", "POST /resume", "POST /skip", "POST /test", "POST /rotate-secret", "GET /attempts", "GET /replays/" + otherID.String()} {
		method, path, _ := strings.Cut(call, " ")
		a.problem(a.do(method, endpointPath+path, ""), http.StatusNotFound, "endpoint_not_found")
	}
}

func TestAttempts(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	s := a.endpoints
	require.JSONEq(t, `{"data":[],"next_cursor":""}`, a.do("GET", endpointPath+"/attempts", "").body)
	require.Equal(t, domain.AttemptQuery{TenantID: tenantID, EndpointID: endpointID, Limit: 50}, s.query)
	at := someTime.Add(123456 * time.Microsecond)
	s.attempts = []domain.Attempt{
		{ID: otherID, EndpointID: endpointID, MessageID: messageID, Seq: 5, Number: 1, At: at, Duration: time.Second, Status: 503, Error: "status 503", Answer: []byte("busy"), NextAt: at.Add(time.Minute)},
		{ID: userID, EndpointID: endpointID, MessageID: messageID, Seq: 5, ReplayID: otherID, Number: 2, Probe: true, At: at.Add(-time.Minute), Error: "timeout"},
	}
	s.more = true
	got := a.do("GET", "/api/messages/"+messageID.String()+"/attempts?status=failed&limit=2", "")
	require.JSONEq(t, `{"data":[
		{"id":"`+otherID.String()+`","endpoint_id":"`+endpointID.String()+`","message_id":"`+messageID.String()+`","seq":5,"replay_id":null,"number":1,"probe":false,
		 "at":"2026-11-21T10:00:00.123456Z","duration_ms":1000,"status":503,"error":"status 503","answer":"busy","next_at":"2026-11-21T10:01:00.123456Z"},
		{"id":"`+userID.String()+`","endpoint_id":"`+endpointID.String()+`","message_id":"`+messageID.String()+`","seq":5,"replay_id":"`+otherID.String()+`","number":2,"probe":true,
		 "at":"2026-11-21T09:59:00.123456Z","duration_ms":0,"status":null,"error":"timeout","next_at":null}],
		"next_cursor":"1795255140123456-`+userID.String()+`"}`, got.body)
	require.Equal(t, domain.AttemptQuery{TenantID: tenantID, MessageID: messageID, Failed: true, Limit: 2}, s.query)
	a.do("GET", endpointPath+"/attempts?status=succeeded&cursor=1795255140123456-"+userID.String(), "")
	require.Equal(t, domain.AttemptQuery{TenantID: tenantID, EndpointID: endpointID, Succeeded: true, BeforeAt: at.Add(-time.Minute), BeforeID: userID, Limit: 50}, s.query)
	a.do("GET", endpointPath+"/attempts?cursor=0", "")
	require.Equal(t, uuid.Nil, s.query.BeforeID)
	for _, query := range []string{"status=", "status=open", "limit=0", "cursor=", "cursor=5", "cursor=-5-" + userID.String(), "cursor=999999999999999999-" + userID.String(), "cursor=5-x"} {
		a.problem(a.do("GET", endpointPath+"/attempts?"+query, ""), http.StatusBadRequest, "invalid_query")
	}
}

func TestAttemptSummary(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.endpoints.summary = domain.AttemptSummary{
		Since: someTime, Counted: 9, Truncated: true, Succeeded: 7, First: 6, FirstSucceeded: 5, Median: 41 * time.Millisecond, P99: time.Second,
	}
	require.JSONEq(t, `{"since":"2026-11-21T10:00:00Z","truncated":true,"attempts":9,"succeeded":7,"first":6,"first_succeeded":5,"p50_ms":41,"p99_ms":1000}`,
		a.do("GET", endpointPath+"/attempts/summary", "", "Authorization: viewer").body)
	a.fakes.err = unavailable("database_unavailable")
	a.problem(a.do("GET", endpointPath+"/attempts/summary", ""), http.StatusServiceUnavailable, "database_unavailable")
}

func TestReplays(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	s := a.endpoints
	s.replay = domain.Replay{
		ID: otherID, EndpointID: endpointID, State: domain.ReplayRunning, From: 5, To: 9, OnlyFailed: true, Types: []domain.TypePattern{"a.*"},
		Rate: 100, Total: 4, Done: 1, CreatedAt: someTime,
	}
	want := `{"id":"` + otherID.String() + `","endpoint_id":"` + endpointID.String() + `","state":"running","from_seq":5,"to_seq":9,"only":"failed","types":["a.*"],
		"rate":100,"total":4,"done":1,"created_at":"2026-11-21T10:00:00Z","ended_at":null}`
	got := a.do("POST", endpointPath+"/replay", `{"from_seq":5,"to_seq":9,"from":"x","to":"y","only":"failed","types":["a.*"],"rate":100}`)
	require.Equal(t, http.StatusAccepted, got.status, got.body)
	require.Equal(t, endpointPath+"/replays/"+otherID.String(), got.header.Get("Location"))
	require.JSONEq(t, want, got.body)
	require.Equal(t, domain.ReplayRequest{
		FromSeq: new(5), ToSeq: new(9), From: new("x"), To: new("y"), Only: new("failed"), Types: []string{"a.*"}, Rate: new(100),
	}, s.request)
	for _, method := range []string{"GET", "DELETE"} {
		got = a.do(method, endpointPath+"/replays/"+otherID.String(), "")
		require.Equal(t, http.StatusOK, got.status)
		require.JSONEq(t, want, got.body)
	}
	require.JSONEq(t, `{"data":[`+want+`]}`, a.do("GET", endpointPath+"/replays", "", "Authorization: viewer").body)
	s.replay = domain.Replay{EndpointID: endpointID, Total: 4}
	got = a.do("POST", endpointPath+"/replay", `{"dry_run":true,"types":null}`)
	require.Equal(t, http.StatusOK, got.status)
	require.Empty(t, got.header.Get("Location"))
	require.JSONEq(t, `{"id":null,"endpoint_id":"`+endpointID.String()+`","state":"dry_run","from_seq":0,"to_seq":0,"only":"all","types":[],"rate":0,"total":4,"done":0,"created_at":null,"ended_at":null}`, got.body)
	require.Equal(t, domain.ReplayRequest{DryRun: true}, s.request)
	p := a.problem(a.do("POST", endpointPath+"/replay", `{"types":5}`), http.StatusUnprocessableEntity, "invalid_fields")
	require.Equal(t, "/types", p.Errors[0].Pointer)
}
