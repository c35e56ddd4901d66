package controller

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func someEndpoint() domain.Endpoint {
	return domain.Endpoint{
		TenantID: tenantID, URL: "https://example.com/hook?a=b&c=d", Timeout: 2500 * time.Millisecond, Version: 7,
		Secret: []byte("0123456789abcdef0123456789abcdef"), CreatedAt: someTime, UpdatedAt: someTime,
	}
}

func (f fakeEndpoints) Put(_ context.Context, _ domain.Principal, id uuid.UUID, change domain.EndpointChange) (domain.Endpoint, bool, error) {
	err := f.record(func() { f.endpointChange = change })
	if err == nil {
		_, err = domain.NewEndpoint(id, change.URL, change.TimeoutMS)
	}
	return f.endpoint, f.fresh, err
}

func (f fakeEndpoints) Get(context.Context, domain.Principal, uuid.UUID) (domain.Endpoint, error) {
	return f.endpoint, f.record(func() {})
}

func (f fakeEndpoints) Delete(context.Context, domain.Principal, uuid.UUID) error {
	return f.record(func() {})
}

func (f fakeEndpoints) Test(context.Context, domain.Principal, uuid.UUID) (domain.TransmitResult, time.Duration, error) {
	return f.transmitted, 1234 * time.Microsecond, f.record(func() {})
}

func TestEndpoint(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	path := "/api/tenants/" + tenantID.String() + "/endpoint"
	known := `{"tenant_id":"` + tenantID.String() + `","url":"https://example.com/hook?a=b&c=d","timeout_ms":2500,"status":"active",
		"created_at":"2026-11-21T10:00:00Z","updated_at":"2026-11-21T10:00:00Z"}`
	got := a.do("PUT", path, `{"url":"https://example.com/hook","timeout_ms":100,"rotate_secret":true}`)
	require.Equal(t, http.StatusOK, got.status)
	require.JSONEq(t, known, got.body)
	require.Equal(t, domain.EndpointChange{URL: "https://example.com/hook", TimeoutMS: new(100), RotateSecret: true}, a.fakes.endpointChange)

	a.fakes.fresh = true
	got = a.do("PUT", path, `{"url":"https://example.com/hook"}`)
	require.Contains(t, got.body, `"secret":"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="`)
	require.Equal(t, domain.EndpointChange{URL: "https://example.com/hook"}, a.fakes.endpointChange)
	require.Equal(t, "no-store", got.header.Get("Cache-Control"))
	require.NotContains(t, a.logs.String(), "whsec_")

	require.JSONEq(t, known, a.do("GET", path, "").body)
	a.fakes.endpoint.PausedReason = "gone"
	require.Contains(t, a.do("GET", path, "").body, `"status":"paused","paused_reason":"gone"`)
	got = a.do("DELETE", path, "")
	require.Equal(t, http.StatusNoContent, got.status)
	require.Empty(t, got.body)

	for _, body := range []string{`{"url":"ftp://example.com"}`, `{"url":"https://u:p@example.com"}`, `{"url":""}`, `{"url":"example.com"}`} {
		p := a.problem(a.do("PUT", path, body), http.StatusUnprocessableEntity, "invalid_fields")
		require.Equal(t, "/url", p.Errors[0].Pointer)
	}
	a.fakes.err = domain.EndpointNotFound()
	for _, method := range []string{"GET", "DELETE"} {
		a.problem(a.do(method, path, ""), http.StatusNotFound, "endpoint_not_found")
	}
}

func TestTestEndpoint(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	path := "/api/tenants/" + tenantID.String() + "/endpoint/test"
	for want, result := range map[string]domain.TransmitResult{
		`{"status":204,"error":"","duration_ms":1}`:                            {Status: 204},
		`{"status":410,"error":"status 410","duration_ms":1}`:                  {Status: 410, Gone: true, Err: errors.New("status 410")},
		`{"status":null,"error":"the address is not allowed","duration_ms":1}`: {Err: errors.New("the address is not allowed")},
	} {
		a.fakes.transmitted = result
		got := a.do("POST", path, "")
		require.Equal(t, http.StatusOK, got.status)
		require.JSONEq(t, want, got.body)
	}
}
