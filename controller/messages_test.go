package controller

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/model"
)

func TestPublish(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, payload := range []string{
		`{"text":"hello"}`, `null`, `0`, `-0`, `1e999999`, `12345678901234567890.10`, `"\u0000"`, `"\ud800"`, `[]`, `true`,
		`{"a":1,"a":2}`, `"ünï <>&"`, strings.Repeat("[", 5000) + strings.Repeat("]", 5000), `[ 1 , 2 ]`,
	} {
		a.fakes.submissions = nil
		got := a.do("POST", "/api/messages", `{ "payload" : `+payload+" \n}", "Idempotency-Key: order 1")
		require.Equal(t, http.StatusAccepted, got.status, got.body)
		require.JSONEq(t, `{"id":"`+messageID.String()+`","tenant_id":"`+tenantID.String()+`","status":"accepted"}`, got.body)
		require.Equal(t, []domain.Submission{{Payload: []byte(payload), IdempotencyKey: "order 1"}}, a.fakes.submissions)
	}
	a.fakes.replayed = true
	require.Equal(t, "true", a.do("POST", "/api/messages", `{"payload":1}`).header.Get("Idempotent-Replayed"))
}

func TestPublishBadBodies(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for body, pointer := range map[string]string{
		`{}`:                          "/payload",
		`{"Payload":1}`:               "/Payload",
		`{"payload":1,"payload":2}`:   "/payload",
		`{"payload":1,"tenant_id":1}`: "/tenant_id",
		`[{"payload":1}]`:             "",
	} {
		p := a.problem(a.do("POST", "/api/messages", body), http.StatusUnprocessableEntity, "invalid_fields")
		require.Equal(t, pointer, p.Errors[0].Pointer, body)
	}
	require.Zero(t, a.fakes.called())
}

func TestPublishRefused(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.fakes.err = unavailable("broker_unavailable")
	got := a.do("POST", "/api/messages", `{"payload":1}`)
	a.problem(got, http.StatusServiceUnavailable, "broker_unavailable")
	require.Equal(t, "2", got.header.Get("Retry-After"))
	a.fakes.err = nil

	a.fakes.tenant.Status = domain.TenantInactive
	a.problem(a.do("POST", "/api/messages", `{"payload":1}`), http.StatusConflict, "tenant_inactive")
	require.Equal(t, http.StatusOK, a.do("GET", "/api/messages", "").status)
	a.fakes.tenant.Status = domain.TenantProvisioning
	a.problem(a.do("POST", "/api/messages", `{"payload":1}`), http.StatusServiceUnavailable, "tenant_provisioning")
	for _, gone := range []domain.TenantStatus{domain.TenantDeleting, domain.TenantDeleted} {
		a.fakes.tenant.Status = gone
		a.problem(a.do("POST", "/api/messages", `{"payload":1}`), http.StatusNotFound, "tenant_not_found")
		a.problem(a.do("GET", "/api/messages", ""), http.StatusNotFound, "tenant_not_found")
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	require.JSONEq(t, `{"data":[],"next_cursor":"","last_cursor":"0"}`, a.do("GET", "/api/messages", "").body)
	require.Equal(t, domain.HistoryQuery{TenantID: tenantID, Limit: 50}, a.fakes.historyQuery)
	require.JSONEq(t, `{"data":[],"next_cursor":"","last_cursor":"0"}`, a.do("GET", "/messages?cursor=123&order=desc&limit=1000", "").body)
	require.Equal(t, domain.HistoryQuery{TenantID: tenantID, Cursor: 123, HasCursor: true, Limit: 1000, Descending: true}, a.fakes.historyQuery)

	a.fakes.page = domain.HistoryPage{Messages: []domain.Message{
		{ID: messageID, TenantID: tenantID, Seq: 455, Payload: []byte(`{"n":1.50,"t":"<&>"}`), CreatedAt: someTime},
		{ID: otherID, TenantID: tenantID, Seq: 456, Payload: []byte(`null`), CreatedAt: someTime},
	}, More: true}
	got := a.do("GET", "/messages?cursor=454", "")
	require.Contains(t, got.body, `"payload":{"n":1.50,"t":"<&>"}`)
	page := decodeReply[model.MessagePage](t, got)
	require.Equal(t, "456", page.NextCursor)
	require.Equal(t, "456", page.LastCursor)
	a.fakes.page.More = false
	page = decodeReply[model.MessagePage](t, a.do("GET", "/messages?cursor=454", ""))
	require.Empty(t, page.NextCursor)
	require.Equal(t, "456", page.LastCursor)
}

func TestExpiredCursor(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.fakes.err = fmt.Errorf("read history: %w", domain.CursorExpired())
	a.problem(a.do("GET", "/api/messages?cursor=5", ""), http.StatusGone, "cursor_expired")
}

func TestGetMessage(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.do("GET", "/api/messages/"+messageID.String(), "")
	require.Equal(t, http.StatusOK, got.status)
	require.Contains(t, got.body, `"payload":{"text":"<hello> & 1.0"}`)
	require.Contains(t, got.body, `"seq":1`)
	require.Contains(t, got.body, `"deliveries":[]`)
	a.endpoints.deliveries = []domain.MessageDelivery{
		{EndpointID: endpointID, State: domain.DeliveryRetrying, Attempts: 2, LastStatus: 503, NextAt: someTime},
		{EndpointID: otherID, State: domain.DeliveryPassed},
	}
	got = a.do("GET", "/api/messages/"+messageID.String(), "")
	detail := decodeReply[model.MessageDetail](t, got)
	require.Equal(t, []model.MessageDelivery{
		{EndpointID: endpointID.String(), State: "retrying", Attempts: 2, LastStatus: new(503), NextAttemptAt: &someTime}, {EndpointID: otherID.String(), State: "passed"},
	}, detail.Deliveries)
	require.Equal(t, messageID.String(), detail.ID)

	a.fakes.err = domain.MessageNotFound()
	a.problem(a.do("GET", "/api/messages/"+messageID.String(), ""), http.StatusNotFound, "message_not_found")
}

func TestTenantSelection(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, tc := range []struct {
		name    string
		query   string
		headers []string
		status  int
		code    string
	}{
		{"missing", "", []string{"X-Tenant-ID:"}, 400, "tenant_required"},
		{"deduced", "", []string{"X-Tenant-ID:", "Authorization: lodger"}, 200, ""},
		{"belongs to it", "", []string{"Authorization: lodger"}, 200, ""},
		{"owns it", "", []string{"Authorization: viewer"}, 200, ""},
		{"stranger", "", []string{"Authorization: stranger"}, 404, "tenant_not_found"},
		{"query", "?tenant_id=" + tenantID.String(), []string{"X-Tenant-ID:"}, 200, ""},
		{"both alike", "?tenant_id=" + strings.ToUpper(tenantID.String()), nil, 200, ""},
		{"both", "?tenant_id=" + otherID.String(), []string{"X-Tenant-ID: " + tenantID.String()}, 400, "tenant_mismatch"},
		{"unknown", "", []string{"X-Tenant-ID: " + otherID.String()}, 404, "tenant_not_found"},
		{"lodger elsewhere", "", []string{"X-Tenant-ID: " + otherID.String(), "Authorization: lodger"}, 404, "tenant_not_found"},
		{"not an id", "", []string{"X-Tenant-ID: 1 OR 1=1"}, 400, "invalid_id"},
		{"nil id", "", []string{"X-Tenant-ID: " + uuid.Nil.String()}, 400, "invalid_id"},
		{"twice", "", []string{"X-Tenant-ID: " + tenantID.String(), "X-Tenant-ID: " + tenantID.String()}, 400, "repeated_header"},
		{"query twice", "?tenant_id=x&tenant_id=x", []string{"X-Tenant-ID:"}, 400, "invalid_query"},
		{"empty query", "?tenant_id=", nil, 400, "invalid_id"},
	} {
		headers := tc.headers
		if strings.HasPrefix(tc.name, "both") {
			headers = []string{"X-Tenant-ID: " + tenantID.String(), "X-Request-ID: both"}
		}
		got := a.do("GET", "/api/messages"+tc.query, "", headers...)
		if tc.code == "" {
			require.Equal(t, tc.status, got.status, "%s: %s", tc.name, got.body)
			continue
		}
		a.problem(got, tc.status, tc.code)
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.do("POST", "/api/messages/batch", `{"messages":[{"payload":{"a":1}},{"payload":null,"idempotency_key":"k"}, {"idempotency_key":"l","payload":"x"}]}`)
	require.Equal(t, http.StatusAccepted, got.status)
	require.Equal(t, []domain.Submission{{Payload: []byte(`{"a":1}`)}, {Payload: []byte(`null`), IdempotencyKey: "k"}, {Payload: []byte(`"x"`), IdempotencyKey: "l"}}, a.fakes.submissions)
	result := decodeReply[model.BatchResult](t, got)
	require.Equal(t, 3, result.Accepted)
	require.Zero(t, result.Rejected)
	require.Equal(t, model.BatchItem{Index: 2, ID: messageID.String(), Status: "accepted"}, result.Results[2])

	a.fakes.submissions = nil
	got = a.do("POST", "/messages/batch", "\n{\"a\":1}\r\n\n \t\n null\n\"x\"", "Content-Type: application/x-ndjson")
	require.Equal(t, http.StatusAccepted, got.status)
	require.Equal(t, []domain.Submission{{Payload: []byte(`{"a":1}`)}, {Payload: []byte(`null`)}, {Payload: []byte(`"x"`)}}, a.fakes.submissions)
}

// What messages have besides their payloads is handed on, whichever way they come.
func TestEnvelopesAreRead(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	want := domain.Submission{Payload: []byte(`{"a":1}`), Type: "order.created", OrderingKey: "order-1", Headers: map[string]string{"source": "shop"}}
	const message = `{"payload":{"a":1},"type":"order.created","ordering_key":"order-1","headers":{"source":"shop"}}`
	require.Equal(t, http.StatusAccepted, a.do("POST", "/api/messages", message).status)
	require.Equal(t, http.StatusAccepted, a.do("POST", "/api/messages/batch", `{"messages":[`+message+`]}`).status)
	require.Equal(t, http.StatusAccepted, a.do("POST", "/api/messages/batch?envelope=true", message+"\n\n  "+message, "Content-Type: application/x-ndjson").status)
	require.Equal(t, []domain.Submission{want, want, want, want}, a.fakes.submissions)

	a.fakes.submissions = nil
	for _, query := range []string{"", "?envelope=false"} {
		require.Equal(t, http.StatusAccepted, a.do("POST", "/api/messages/batch"+query, message, "Content-Type: application/x-ndjson").status)
	}
	require.Equal(t, http.StatusAccepted, a.do("POST", "/api/messages", `{"payload":1,"type":"","ordering_key":"","headers":{}}`).status)
	bare := domain.Submission{Payload: []byte(message)}
	require.Equal(t, []domain.Submission{bare, bare, {Payload: []byte(`1`)}}, a.fakes.submissions)

	a.fakes.submissions = nil
	for _, query := range []string{"envelope=", "envelope=1", "envelope=TRUE", "envelope=true&envelope=true"} {
		a.problem(a.do("POST", "/api/messages/batch?"+query, message, "Content-Type: application/x-ndjson"), http.StatusBadRequest, "invalid_query")
	}
	p := a.problem(a.do("POST", "/api/messages/batch?envelope=true", `{"messages":[`+message+`]}`), http.StatusBadRequest, "invalid_query")
	require.Equal(t, "envelope", p.Errors[0].Pointer)
	require.Empty(t, a.fakes.submissions)

	got := a.do("POST", "/api/messages/batch?envelope=true", `{"payload":1,"idempotency_key":"k"}
		1
		{"type":"t"}
		{"payload":1,"headers":{"a":1}}
		{"payload":
		{"payload":2}`, "Content-Type: application/x-ndjson")
	require.Equal(t, http.StatusMultiStatus, got.status)
	result := decodeReply[model.BatchResult](t, got)
	require.Equal(t, 2, result.Accepted)
	for index, pointer := range map[int]string{1: "", 2: "/payload", 3: "/headers/a"} {
		require.Equal(t, pointer, result.Results[index].Error.Errors[0].Pointer)
	}
	require.Equal(t, "not_json", result.Results[4].Error.Code)
	require.Equal(t, []domain.Submission{{Payload: []byte(`1`), IdempotencyKey: "k"}, {Payload: []byte(`2`)}}, a.fakes.submissions)
}

func TestBatchWithBadItems(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.do("POST", "/api/messages/batch", `{"messages":[1,{"payload":1},{},{"payload":2,"x":1},{"payload":3,"idempotency_key":""},{"payload":4,"idempotency_key":5},{"payload":5}]}`)
	require.Equal(t, http.StatusMultiStatus, got.status)
	result := decodeReply[model.BatchResult](t, got)
	require.Equal(t, 2, result.Accepted)
	require.Equal(t, 5, result.Rejected)
	for index, pointer := range map[int]string{0: "", 2: "/payload", 3: "/x", 4: "/idempotency_key", 5: "/idempotency_key"} {
		item := result.Results[index]
		require.Equal(t, index, item.Index)
		require.Equal(t, "rejected", item.Status)
		require.Equal(t, http.StatusUnprocessableEntity, item.Error.Status)
		require.Equal(t, "invalid_fields", item.Error.Code)
		require.Equal(t, pointer, item.Error.Errors[0].Pointer)
	}
	require.Equal(t, "accepted", result.Results[6].Status)
	require.Len(t, a.fakes.submissions, 2)

	a.fakes.submissions = nil
	got = a.do("POST", "/api/messages/batch", "1\nnope\n\"\xff\"\n"+strings.Repeat("[", 10_001)+"\n{} {}\n2\n", "Content-Type: application/x-ndjson")
	require.Equal(t, http.StatusMultiStatus, got.status)
	result = decodeReply[model.BatchResult](t, got)
	require.Len(t, result.Results, 6)
	for index, code := range map[int]string{1: "not_json", 2: "invalid_utf8", 3: "too_deep", 4: "not_json"} {
		require.Equal(t, code, result.Results[index].Error.Code)
		require.Equal(t, http.StatusUnprocessableEntity, result.Results[index].Error.Status)
	}
	require.Len(t, a.fakes.submissions, 2)

	got = a.do("POST", "/api/messages/batch", "nope", "Content-Type: application/x-ndjson")
	require.Equal(t, http.StatusMultiStatus, got.status)
	require.Len(t, a.fakes.submissions, 2)
}

func TestBatchLimits(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	batch := func(n int) string { return `{"messages":[` + strings.Repeat(`{"payload":1},`, n-1) + `{"payload":1}]}` }
	require.Equal(t, http.StatusAccepted, a.do("POST", "/api/messages/batch", batch(1000)).status)
	require.Equal(t, http.StatusAccepted, a.do("POST", "/api/messages/batch", strings.Repeat("1\n\n", 1000), "Content-Type: application/x-ndjson").status)
	require.Len(t, a.fakes.submissions, 2000)
	for _, body := range []string{batch(1001), `{"messages":[]}`, `{"messages":{}}`, `{"messages":null}`} {
		p := a.problem(a.do("POST", "/api/messages/batch", body), http.StatusUnprocessableEntity, "invalid_fields")
		require.Equal(t, "/messages", p.Errors[0].Pointer)
	}
	for body, pointer := range map[string]string{`{}`: "/messages", `[{"payload":1}]`: "", `{"messages":[],"x":1}`: "/x"} {
		p := a.problem(a.do("POST", "/api/messages/batch", body), http.StatusUnprocessableEntity, "invalid_fields")
		require.Equal(t, pointer, p.Errors[0].Pointer, body)
	}
	for _, body := range []string{"", "\n \n", strings.Repeat("1\n", 1001)} {
		a.problem(a.do("POST", "/api/messages/batch", body, "Content-Type: application/x-ndjson"), http.StatusUnprocessableEntity, "invalid_fields")
	}
	a.problem(a.do("POST", "/api/messages/batch", batch(1), "Idempotency-Key: k"), http.StatusBadRequest, "key_not_for_batch")
	require.Len(t, a.fakes.submissions, 2000)
}

func TestBatchRefusals(t *testing.T) {
	t.Parallel()
	all := func(errs ...error) func([]domain.Submission) []domain.Receipt {
		return func(s []domain.Submission) []domain.Receipt {
			receipts := make([]domain.Receipt, len(s))
			for i := range receipts {
				receipts[i] = domain.Receipt{ID: messageID, Err: errs[i%len(errs)]}
			}
			return receipts
		}
	}
	full := domain.New(domain.ErrLimited, "backlog_full", "Too much is waiting.")
	for name, tc := range map[string]struct {
		publish func([]domain.Submission) []domain.Receipt
		status  int
		code    string
	}{
		"all unavailable":   {all(unavailable("broker_unavailable"), fmt.Errorf("publish: %w", unavailable("unconfirmed"))), 503, "broker_unavailable"},
		"all limited":       {all(full), 429, "backlog_full"},
		"all unexpected":    {all(errors.New("secret"), errors.New("other")), 500, "internal_error"},
		"some unavailable":  {all(nil, unavailable("broker_unavailable")), 207, ""},
		"different reasons": {all(full, unavailable("broker_unavailable")), 207, ""},
		"all too large":     {all(domain.New(domain.ErrTooLarge, "payload_too_large", "Too large.")), 207, ""},
		"some unexpected":   {all(nil, errors.New("secret cause")), 207, ""},
		"too few receipts":  {func([]domain.Submission) []domain.Receipt { return nil }, 500, "internal_error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t)
			a.fakes.publish = tc.publish
			got := a.do("POST", "/api/messages/batch", `{"messages":[{"payload":1},{"payload":2}]}`)
			require.NotContains(t, got.body, "secret")
			if tc.code != "" {
				a.problem(got, tc.status, tc.code)
				require.Equal(t, tc.status == 503 || tc.status == 429, got.header.Get("Retry-After") != "")
				return
			}
			require.Equal(t, tc.status, got.status)
			result := decodeReply[model.BatchResult](t, got)
			require.Equal(t, messageID.String(), result.Results[1].ID)
			if name == "some unexpected" {
				require.Equal(t, http.StatusInternalServerError, result.Results[1].Error.Status)
				require.Contains(t, a.logs.String(), "secret cause")
			}
		})
	}

	a := newAPI(t)
	a.fakes.tenant.Status = domain.TenantInactive
	a.problem(a.do("POST", "/api/messages/batch", `{"messages":[{"payload":1},{"payload":2}]}`), http.StatusConflict, "tenant_inactive")
}

// What cannot be accepted is not even looked at: to refuse must cost less than to
// accept.
func TestRefusedBeforeTheBodyIsRead(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.fakes.admit = domain.New(domain.ErrLimited, "rate_exceeded", "Too fast.").After(time.Second)
	for _, path := range []string{"/api/messages", "/api/messages/batch"} {
		got := a.do("POST", path, "no JSON")
		a.problem(got, http.StatusTooManyRequests, "rate_exceeded")
		require.Equal(t, "1", got.header.Get("Retry-After"))
	}
	require.Empty(t, a.fakes.submissions)
}

func TestBodySizes(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	text := func(n int) string { return `{"payload":"` + strings.Repeat("x", n) + `"}` }
	require.Equal(t, http.StatusAccepted, a.do("POST", "/api/messages", text(largeBody-14)).status)
	a.problem(a.do("POST", "/api/messages", text(largeBody-13)), http.StatusRequestEntityTooLarge, "body_too_large")
	a.problem(a.do("POST", "/api/messages/batch", text(largeBody)), http.StatusRequestEntityTooLarge, "body_too_large")
	a.problem(a.do("POST", "/api/tenants", text(smallBody)), http.StatusRequestEntityTooLarge, "body_too_large")
	a.problem(a.do("POST", "/api/login", text(smallBody)), http.StatusRequestEntityTooLarge, "body_too_large")
}
