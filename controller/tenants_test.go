package controller

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/model"
)

func TestCreateTenant(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.do("POST", "/api/tenants", ` {"name": "Acme", "description":"d","status":"inactive","workers":7,"retention_days":30}`, "Idempotency-Key: k 1")
	require.Equal(t, http.StatusCreated, got.status)
	require.Equal(t, "/api/tenants/"+tenantID.String(), got.header.Get("Location"))
	require.Empty(t, got.header.Get("Idempotent-Replayed"))
	require.JSONEq(t, `{"id":"0197a3a2-7d2c-7c3e-8f7e-0242ac120002","tenant_id":"0197a3a2-7d2c-7c3e-8f7e-0242ac120002",
		"name":"Acme","description":"","status":"active","workers":3,"stopped":false,"retention_days":0,"external_id":null,"metadata":{},"user_id":"0197a3a2-0000-7000-8000-000000000001",
		"created_at":"2026-11-21T10:00:00Z","updated_at":"2026-11-21T10:00:00Z"}`, got.body)
	require.Equal(t, domain.IdempotencyKey{
		Key: "k 1", Hash: sha256.Sum256([]byte(`{"name":"Acme","description":"d","status":"inactive","workers":7,"retention_days":30}`)),
	}, a.fakes.key)
	require.Equal(t, domain.NewTenant{Name: "Acme", Description: "d", Status: "inactive", Workers: new(7), RetentionDays: new(30)}, a.fakes.newTenant)

	got = a.do("POST", "/tenants", `{"tenant_name":"Other"}`, "Content-Type:")
	require.Equal(t, http.StatusCreated, got.status)
	require.Equal(t, "/tenants/"+tenantID.String(), got.header.Get("Location"))
	require.Equal(t, domain.NewTenant{Name: "Other"}, a.fakes.newTenant)
	require.Empty(t, a.fakes.key.Key)
}

func TestCreateTenantReplayedAndProvisioning(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.fakes.replayed = true
	a.fakes.tenant.Status = domain.TenantProvisioning
	a.fakes.tenant.OwnerID = uuid.Nil
	got := a.do("POST", "/api/tenants", `{"name":"Acme"}`, "Idempotency-Key: k")
	require.Equal(t, http.StatusAccepted, got.status)
	require.Equal(t, "true", got.header.Get("Idempotent-Replayed"))
	require.NotEmpty(t, got.header.Get("Location"))
	tenant := decodeReply[model.Tenant](t, got)
	require.Equal(t, "provisioning", tenant.Status)
	require.Nil(t, tenant.UserID)
}

func TestDeleteTenant(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.fakes.tenant.Status = domain.TenantDeleting
	got := a.do("DELETE", "/api/tenants/"+tenantID.String(), "")
	require.Equal(t, http.StatusAccepted, got.status)
	require.Equal(t, "deleting", decodeReply[model.Tenant](t, got).Status)

	a.fakes.tenant.Status, a.fakes.tenant.Discarded = domain.TenantDeleted, 42
	got = a.do("DELETE", "/api/tenants/"+tenantID.String(), "")
	require.Equal(t, http.StatusNoContent, got.status)
	require.Equal(t, "42", got.header.Get("Lanekeeper-Discarded"))
	require.Empty(t, got.body)
}

func TestChangeTenant(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	path := "/api/tenants/" + tenantID.String()
	got := a.do("PATCH", path, `{"tenant_name":"New","status":"inactive"}`)
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "inactive", decodeReply[model.Tenant](t, got).Status)
	require.Equal(t, "New", *a.fakes.tenantChange.Name)
	require.Nil(t, a.fakes.tenantChange.Description)
	require.Equal(t, http.StatusOK, a.do("PATCH", path, `{}`).status)

	got = a.do("PUT", path+"/config/concurrency", `{"workers": 5}`)
	require.Equal(t, http.StatusOK, got.status)
	require.JSONEq(t, `{"tenant_id":"`+tenantID.String()+`","workers":5}`, got.body)
}

func TestListTenants(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.do("GET", "/api/tenants", "")
	page := decodeReply[model.TenantPage](t, got)
	require.Len(t, page.Data, 1)
	require.Empty(t, page.NextCursor)
	require.Equal(t, tenantID.String(), page.LastCursor)
	require.Equal(t, domain.TenantQuery{Limit: 50}, a.fakes.tenantQuery)

	a.fakes.more = true
	page = decodeReply[model.TenantPage](t, a.do("GET", "/api/tenants?limit=1&status=inactive&cursor=0", ""))
	require.Equal(t, tenantID.String(), page.NextCursor)
	require.Equal(t, domain.TenantQuery{Limit: 1, Statuses: []domain.TenantStatus{domain.TenantInactive}}, a.fakes.tenantQuery)

	got = a.do("GET", "/api/tenants?limit=1000&cursor="+otherID.String(), "")
	require.JSONEq(t, `{"data":[],"next_cursor":"","last_cursor":"`+otherID.String()+`"}`, got.body)
	require.Equal(t, otherID, a.fakes.tenantQuery.After)
}

func TestBadTenantBodies(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	path := "/api/tenants/" + tenantID.String()
	long := strings.Repeat("ä", domain.MaxTenantNameLength+1)
	for _, tc := range []struct {
		method, path, body, pointer string
	}{
		{"POST", "/api/tenants", `{}`, "/name"},
		{"POST", "/api/tenants", `{"name":""}`, "/name"},
		{"POST", "/api/tenants", `{"name":"  "}`, "/name"},
		{"POST", "/api/tenants", `{"name":"a\u0000b"}`, "/name"},
		{"POST", "/api/tenants", `{"name":"a\ud800"}`, "/name"},
		{"POST", "/api/tenants", `{"name":"` + long + `"}`, "/name"},
		{"POST", "/api/tenants", `{"name":5}`, "/name"},
		{"POST", "/api/tenants", `{"name":null}`, "/name"},
		{"POST", "/api/tenants", `{"name":["x"]}`, "/name"},
		{"POST", "/api/tenants", `{"Name":"x"}`, "/Name"},
		{"POST", "/api/tenants", `{"name":"x","name":"y"}`, "/name"},
		{"POST", "/api/tenants", `{"name":"x","tenant_name":"y"}`, "/tenant_name"},
		{"POST", "/api/tenants", `{"name":"x","id":"` + tenantID.String() + `"}`, "/id"},
		{"POST", "/api/tenants", `{"name":"x","a/b~c":1}`, "/a~1b~0c"},
		{"POST", "/api/tenants", `{"name":"x","status":""}`, "/status"},
		{"POST", "/api/tenants", `{"name":"x","status":"deleted"}`, "/status"},
		{"POST", "/api/tenants", `{"name":"x","status":true}`, "/status"},
		{"POST", "/api/tenants", `{"name":"x","description":7}`, "/description"},
		{"POST", "/api/tenants", `{"name":"x","description":"` + strings.Repeat("x", 2001) + `"}`, "/description"},
		{"POST", "/api/tenants", `{"name":"x","workers":0}`, "/workers"},
		{"POST", "/api/tenants", `{"name":"x","workers":101}`, "/workers"},
		{"POST", "/api/tenants", `{"name":"x","retention_days":-1}`, "/retention_days"},
		{"POST", "/api/tenants", `{"name":"x","retention_days":3651}`, "/retention_days"},
		{"POST", "/api/tenants", `{"name":"x","retention_days":null}`, "/retention_days"},
		{"PATCH", path, `{"retention_days":0.5}`, "/retention_days"},
		{"PATCH", path, `{"retention_days":3651}`, "/retention_days"},
		{"POST", "/api/tenants", `[]`, ""},
		{"POST", "/api/tenants", `"name"`, ""},
		{"POST", "/api/tenants", `null`, ""},
		{"PATCH", path, `{"workers":5}`, "/workers"},
		{"PATCH", path, `{"name":""}`, "/name"},
		{"PATCH", path, `{"description":null}`, "/description"},
		{"PATCH", path, `{"status":"provisioning"}`, "/status"},
		{"PUT", path + "/config/concurrency", `{}`, "/workers"},
		{"PUT", path + "/config/concurrency", `{"workers":0}`, "/workers"},
		{"PUT", path + "/config/concurrency", `{"workers":-1}`, "/workers"},
		{"PUT", path + "/config/concurrency", `{"workers":101}`, "/workers"},
		{"PUT", path + "/config/concurrency", `{"workers":"five"}`, "/workers"},
		{"PUT", path + "/config/concurrency", `{"workers":"5"}`, "/workers"},
		{"PUT", path + "/config/concurrency", `{"workers":2.5}`, "/workers"},
		{"PUT", path + "/config/concurrency", `{"workers":1e1}`, "/workers"},
		{"PUT", path + "/config/concurrency", `{"workers":99999999999999999999}`, "/workers"},
		{"PUT", path + "/config/concurrency", `{"workers":null}`, "/workers"},
		{"PUT", path + "/config/concurrency", `{"workers":true}`, "/workers"},
		{"PUT", path + "/config/concurrency", `5`, ""},
	} {
		p := a.problem(a.do(tc.method, tc.path, tc.body), http.StatusUnprocessableEntity, "invalid_fields")
		require.Len(t, p.Errors, 1, tc.body)
		require.Equal(t, tc.pointer, p.Errors[0].Pointer, tc.body)
		require.NotEmpty(t, p.Errors[0].Message)
	}
}

func TestManyFieldErrors(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	p := a.problem(a.do("POST", "/api/tenants", `{"name":1,"status":2,"nope":3}`), http.StatusUnprocessableEntity, "invalid_fields")
	require.Len(t, p.Errors, 3)

	var body strings.Builder
	body.WriteString(`{"x":0`)
	for range 1000 {
		body.WriteString(`,"` + strings.Repeat("y", 40) + `":1`)
	}
	p = a.problem(a.do("POST", "/api/tenants", body.String()+"}"), http.StatusUnprocessableEntity, "invalid_fields")
	require.Len(t, p.Errors, maxFieldErrors)
}

func TestBadDocuments(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, path := range []string{"/api/tenants", "/api/login", "/api/users", "/api/messages", "/api/messages/batch"} {
		for name, tc := range map[string]struct {
			body, code string
			status     int
		}{
			"empty":            {"", "empty_body", 400},
			"only space":       {" \n", "empty_body", 400},
			"not JSON":         {"hello", "not_json", 400},
			"cut off":          {`{"name":"x"`, "not_json", 400},
			"trailing":         {`{"name":"x"} x`, "not_json", 400},
			"two documents":    {`{"name":"x"}{"name":"y"}`, "not_json", 400},
			"trailing comma":   {`{"name":"x",}`, "not_json", 400},
			"comment":          {`{"name":"x"/* */}`, "not_json", 400},
			"byte order mark":  {"\ufeff{}", "not_json", 400},
			"bare NaN":         {`{"name":NaN}`, "not_json", 400},
			"not UTF-8":        {"{\"name\":\"\xff\"}", "invalid_utf8", 400},
			"control in text":  {"{\"name\":\"a\x01\"}", "not_json", 400},
			"deep":             {strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001), "too_deep", 422},
			"deep and cut off": {strings.Repeat(`{"a":`, 20_000)[:60_000], "too_deep", 422},
		} {
			p := a.problem(a.do("POST", path, tc.body), tc.status, tc.code)
			require.NotContains(t, p.Detail, "Unmarshal", name)
		}
	}
	require.Zero(t, a.fakes.called())
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, contentType := range []string{"text/plain", "application/x-www-form-urlencoded", "application/xml", "application/json; charset=latin1", "application/x-ndjson", ";", "application/json; charset"} {
		a.problem(a.do("POST", "/api/tenants", `{"name":"x"}`, "Content-Type: "+contentType), http.StatusUnsupportedMediaType, "unsupported_media_type")
	}
	a.problem(a.do("POST", "/api/tenants", `{"name":"x"}`, "Content-Encoding: br"), http.StatusUnsupportedMediaType, "unsupported_encoding")
	for _, contentType := range []string{"application/json; charset=UTF-8", "Application/JSON", ""} {
		require.Equal(t, http.StatusCreated, a.do("POST", "/api/tenants", `{"name":"x"}`, "Content-Type: "+contentType).status)
	}
}

func TestBadIDs(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	id := tenantID.String()
	for _, bad := range []string{
		"1", "x", "%20", "..%2f..%2fetc%2fpasswd", "%00", id + "0", id[:35], "{" + id + "}", "urn:uuid:" + id,
		strings.ReplaceAll(id, "-", ""), "'%3B%20DROP%20TABLE%20tenants%3B--", "%F0%9F%92%A9", strings.Repeat("a", 5000),
		id[:35] + "%00", id[:35] + "g", "%ff",
	} {
		for _, route := range []struct{ method, path string }{
			{"GET", "/api/tenants/"},
			{"DELETE", "/tenants/"},
			{"PATCH", "/tenants/"},
			{"GET", "/api/users/"},
			{"DELETE", "/api/users/"},
			{"GET", "/api/messages/"},
			{"GET", "/consumers/"},
			{"DELETE", "/api/consumers/"},
			{"POST", "/api/consumers/"},
		} {
			a.problem(a.do(route.method, route.path+bad, `{}`), http.StatusBadRequest, "invalid_id")
		}
		a.problem(a.do("PUT", "/api/tenants/"+bad+"/config/concurrency", `{"workers":5}`), http.StatusBadRequest, "invalid_id")
		p := a.problem(a.do("GET", "/api/messages?tenant_id="+bad, ""), http.StatusBadRequest, "invalid_id")
		require.Equal(t, "tenant_id", p.Errors[0].Pointer)
	}
	require.Zero(t, a.fakes.called())
	upper := strings.ToUpper(id)
	require.Equal(t, http.StatusOK, a.do("GET", "/api/messages", "", "X-Tenant-ID: "+upper).status)
}

func TestBadQueries(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for path, queries := range map[string]map[string]string{
		"/api/tenants": {
			"cursor=":      "cursor",
			"cursor=abc":   "cursor",
			"cursor=-1":    "cursor",
			"status=":      "status",
			"status=gone":  "status",
			"limit=0":      "limit",
			"limit=100000": "limit",
		},
		"/api/consumers": {"cursor=1": "cursor", "limit=0": "limit", "cursor=": "cursor"},
		"/api/users":     {"cursor=1": "cursor", "limit=1001": "limit"},
		"/api/messages": {
			"cursor=":                     "cursor",
			"cursor=abc":                  "cursor",
			"cursor=-1":                   "cursor",
			"cursor=%2B1":                 "cursor",
			"cursor=1.0":                  "cursor",
			"cursor=0x1":                  "cursor",
			"cursor=9223372036854775808":  "cursor",
			"cursor=99999999999999999999": "cursor",
			"cursor=1&cursor=1":           "cursor",
			"limit=":                      "limit",
			"limit=0":                     "limit",
			"limit=-1":                    "limit",
			"limit=abc":                   "limit",
			"limit=100000":                "limit",
			"limit=5&limit=6":             "limit",
			"order=up":                    "order",
			"order=DESC":                  "order",
			"order=":                      "order",
		},
	} {
		for query, pointer := range queries {
			p := a.problem(a.do("GET", path+"?"+query, ""), http.StatusBadRequest, "invalid_query")
			require.Equal(t, pointer, p.Errors[0].Pointer, query)
		}
	}
	a.problem(a.do("GET", "/api/messages?cursor=%zz", ""), http.StatusBadRequest, "invalid_query")
	a.problem(a.do("GET", "/api/messages?cursor=1;limit=5", ""), http.StatusBadRequest, "invalid_query")
	require.Zero(t, a.fakes.called())
}

func TestBadIdempotencyKeys(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, path := range []string{"/api/tenants", "/api/messages"} {
		p := a.problem(a.do("POST", path, `{}`, "Idempotency-Key: "+strings.Repeat("k", 256)), http.StatusUnprocessableEntity, "invalid_fields")
		require.Equal(t, "Idempotency-Key", p.Errors[0].Pointer)
		a.problem(a.do("POST", path, `{}`, "Idempotency-Key: schlüssel"), http.StatusUnprocessableEntity, "invalid_fields")
		a.problem(a.do("POST", path, `{}`, "Idempotency-Key: k", "Idempotency-Key: k"), http.StatusBadRequest, "repeated_header")
	}
	require.Zero(t, a.fakes.called())
}
