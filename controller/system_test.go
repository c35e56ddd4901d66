package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/model"
)

// loginFunc is a loginService of one function.
type loginFunc func(ctx context.Context, email, password, remote string) (domain.Grant, error)

func (f loginFunc) Login(ctx context.Context, email, password, remote string) (domain.Grant, error) {
	return f(ctx, email, password, remote)
}

func withLogin(f loginFunc) func(*Options) { return func(o *Options) { o.Login = f } }

const credentials = `{"email":"ada@example.com","password":"correct horse battery"}`

func TestLogin(t *testing.T) {
	t.Parallel()
	a := newAPI(t, withLogin(func(_ context.Context, email, password, remote string) (domain.Grant, error) {
		if email != "ada@example.com" || password != "correct horse battery" || remote != "127.0.0.1" {
			return domain.Grant{}, domain.New(domain.ErrUnauthenticated, "invalid_credentials", "Email or password is wrong.")
		}
		return domain.Grant{Token: "a.b.c", ExpiresAt: someTime, User: someUser()}, nil
	}))
	got := a.do("POST", "/api/login", credentials, "Authorization:")
	require.JSONEq(t, `{"token":"a.b.c","token_type":"Bearer","expires_at":"2026-11-21T10:00:00Z","user":{
		"id":"0197a3a2-0000-7000-8000-000000000001","name":"Ada","email":"ada@example.com","role":"member","tenant_id":null,"created_at":"2026-11-21T10:00:00Z","disabled":false,"disabled_at":null,"limits":{}}}`, got.body)
	require.Equal(t, "no-store", got.header.Get("Cache-Control"))

	got = a.do("POST", "/api/login", `{"email":"x","password":"y"}`, "Authorization:")
	a.problem(got, http.StatusUnauthorized, "invalid_credentials")
	require.NotEmpty(t, got.header.Get("WWW-Authenticate"))
	p := a.problem(a.do("POST", "/api/login", `{}`), http.StatusUnprocessableEntity, "invalid_fields")
	require.Len(t, p.Errors, 2)
	a.problem(a.do("POST", "/api/login", `{"email":"x","password":5}`), http.StatusUnprocessableEntity, "invalid_fields")
}

func TestUsers(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.do("POST", "/api/users", `{"name":"Ada","email":"ada@example.com","password":"correct horse battery","role":"member","tenant_id":null}`)
	require.Equal(t, http.StatusCreated, got.status)
	require.Equal(t, "/api/users/"+userID.String(), got.header.Get("Location"))
	require.NotContains(t, got.body, "secret hash")
	require.NotContains(t, got.body, "password")
	require.Empty(t, *a.fakes.userChange.TenantID)

	path := "/api/users/" + userID.String()
	a.do("PATCH", path, `{"name":"Ada"}`)
	require.Nil(t, a.fakes.userChange.TenantID)
	a.do("PATCH", path, `{"tenant_id":"`+tenantID.String()+`"}`)
	require.Equal(t, tenantID.String(), *a.fakes.userChange.TenantID)
	a.do("PATCH", path, `{"disabled":true}`)
	require.True(t, *a.fakes.userChange.Disabled)
	a.do("PATCH", path, `{"disabled":false}`)
	require.False(t, *a.fakes.userChange.Disabled)
	a.problem(a.do("PATCH", path, `{"disabled":"yes"}`), http.StatusUnprocessableEntity, "invalid_fields")
	a.problem(a.do("POST", "/api/users", `{"disabled":true}`), http.StatusUnprocessableEntity, "invalid_fields")
	p := a.problem(a.do("PATCH", path, `{"tenant_id":5,"token_version":0}`), http.StatusUnprocessableEntity, "invalid_fields")
	require.Equal(t, "/tenant_id", p.Errors[0].Pointer)
	require.Equal(t, "/token_version", p.Errors[1].Pointer)
	require.Equal(t, http.StatusNoContent, a.do("DELETE", path, "").status)

	a.fakes.more = true
	page := decodeReply[model.UserPage](t, a.do("GET", "/api/users", ""))
	require.Equal(t, userID.String(), page.NextCursor)
	a.fakes.err = domain.New(domain.ErrConflict, "email_taken", "Taken.")
	a.problem(a.do("POST", "/api/users", `{}`), http.StatusConflict, "email_taken")
}

func TestProblems(t *testing.T) {
	t.Parallel()
	wait := 1200 * time.Millisecond
	for _, tc := range []struct {
		err        error
		status     int
		code       string
		retryAfter string
	}{
		{domain.New(domain.ErrMalformed, "not_json", "X."), 400, "not_json", ""},
		{domain.New(domain.ErrForbidden, "forbidden", "X."), 403, "forbidden", ""},
		{domain.New(domain.ErrInvalid, "too_deep", "X."), 422, "too_deep", ""},
		{domain.New(domain.ErrLimited, "rate_exceeded", "X.").After(wait), 429, "rate_exceeded", "2"},
		{domain.New(domain.ErrLimited, "rate_exceeded", "X.").After(time.Millisecond), 429, "rate_exceeded", "1"},
		{domain.New(domain.ErrUnavailable, "busy", "X."), 503, "busy", "2"},
		{domain.New(domain.ErrContended, "lock", "lock of internals"), 503, "busy", "2"},
		{fmt.Errorf("wrapped: %w", context.DeadlineExceeded), 503, "timeout", "2"},
		{errors.New("internals"), 500, "internal_error", ""},
		{domain.New(domain.ErrRejected, "22P02", "internals"), 500, "internal_error", ""},
		{domain.New("nonsense", "x", "internals"), 500, "internal_error", ""},
		{domain.Wrap(errors.New("internals"), domain.ErrUnavailable, "busy", "X."), 503, "busy", "2"},
	} {
		a := newAPI(t, withLogin(func(context.Context, string, string, string) (domain.Grant, error) { return domain.Grant{}, tc.err }))
		got := a.do("POST", "/api/login", credentials)
		p := a.problem(got, tc.status, tc.code)
		require.Equal(t, "about:blank", p.Type)
		require.Equal(t, "/api/login", p.Instance)
		require.Equal(t, tc.retryAfter, got.header.Get("Retry-After"))
		require.NotContains(t, got.body, "internals")
		require.Equal(t, tc.status >= 500, strings.Contains(a.logs.String(), `"error":`), a.logs)
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	a := newAPI(t, withLogin(func(context.Context, string, string, string) (domain.Grant, error) { panic("secret mistake") }))
	got := a.do("POST", "/api/login", credentials)
	a.problem(got, http.StatusInternalServerError, "internal_error")
	require.NotContains(t, got.body, "secret")
	require.Contains(t, a.logs.String(), "secret mistake")
	require.Contains(t, a.logs.String(), "goroutine")
	require.Contains(t, a.logs.String(), `"status":500`)
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(o *Options) {
		o.Timeout = 20 * time.Millisecond
		o.Login = loginFunc(func(ctx context.Context, _, _, _ string) (domain.Grant, error) {
			<-ctx.Done()
			return domain.Grant{}, fmt.Errorf("wait: %w", ctx.Err())
		})
	})
	got := a.do("POST", "/api/login", credentials)
	a.problem(got, http.StatusServiceUnavailable, "timeout")
	require.NotEmpty(t, got.header.Get("Retry-After"))
}

func TestClientGone(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	a := newAPI(t, withLogin(func(ctx context.Context, _, _, _ string) (domain.Grant, error) {
		close(begun)
		<-ctx.Done()
		return domain.Grant{}, ctx.Err()
	}))
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+"/api/login", strings.NewReader(credentials))
	require.NoError(t, err)
	go func() {
		<-begun
		cancel()
	}()
	_, err = http.DefaultClient.Do(request) //nolint:bodyclose // there is none
	require.ErrorIs(t, err, context.Canceled)
	require.Eventually(t, func() bool { return strings.Contains(a.logs.String(), `"status":499`) }, 5*time.Second, 5*time.Millisecond)
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, id := range []string{"a", "Trace-1_2.3", strings.Repeat("x", 64)} {
		require.Equal(t, id, a.do("GET", "/api/nope", "", "X-Request-ID: "+id).header.Get("X-Request-ID"))
	}
	for _, id := range []string{strings.Repeat("x", 65), "a b", "ä", `"`, "a;b"} {
		got := a.do("GET", "/healthz", "", "X-Request-ID: "+id).header.Get("X-Request-ID")
		require.NotEqual(t, id, got)
		require.Len(t, got, 36)
	}
}

func TestAccessLogAndMetrics(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []string
	a := newAPI(t, func(o *Options) {
		o.Observe = func(route, method string, status int, seconds float64) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, fmt.Sprintf("%s %s %d %t", method, route, status, seconds > 0))
		}
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "some_metric 1\n") })
	})
	a.do("GET", "/api/messages?tenant_id="+tenantID.String()+"&ticket=geheim", "", "Authorization: member")
	a.do("POST", "/messages", `{"payload":"geheim"}`, "Authorization: stranger")
	a.do("GET", "/nope/"+otherID.String(), "", "Authorization: geheim")
	a.do("BREW", "/healthz", "")
	require.Equal(t, "some_metric 1\n", a.do("GET", "/metrics", "").body)
	a.do("GET", "/swagger/index.html", "")

	require.Equal(t, []string{
		"GET /messages 200 true", "POST /messages 404 true", "GET unmatched 404 true", "other unmatched 405 true",
		"GET /metrics 200 true", "GET /swagger 200 true",
	}, seen)
	require.NotContains(t, a.logs.String(), "geheim")
	lines := strings.Split(strings.TrimSpace(a.logs.String()), "\n")
	require.Len(t, lines, 6)
	var line map[string]any
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &line))
	require.Equal(t, "/api/messages", line["path"])
	require.Equal(t, "/messages", line["route"])
	require.Equal(t, userID.String(), line["caller"])
	require.Equal(t, "INFO", line["level"])
	require.NoError(t, json.Unmarshal([]byte(lines[4]), &line))
	require.Equal(t, "DEBUG", line["level"])
}

func TestHealth(t *testing.T) {
	t.Parallel()
	status, ready := "degraded", true
	a := newAPI(t, func(o *Options) {
		o.Ready = func(context.Context) (string, bool, map[string]string) {
			return status, ready, map[string]string{"postgres": "away"}
		}
	})
	require.JSONEq(t, `{"status":"ok"}`, a.do("GET", "/healthz", "", "Authorization:").body)
	got := a.do("GET", "/readyz", "", "Authorization:")
	require.Equal(t, http.StatusOK, got.status)
	require.JSONEq(t, `{"status":"degraded","details":{"postgres":"away"}}`, got.body)
	status, ready = "draining", false
	got = a.do("GET", "/readyz", "")
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Contains(t, got.body, `"draining"`)
	a.problem(a.do("GET", "/api/healthz", ""), http.StatusNotFound, "route_not_found")
	a.problem(a.do("GET", "/metrics", ""), http.StatusNotFound, "route_not_found")
}

func TestSwagger(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(o *Options) { o.OpenAPIHere = []byte(`{"the document of": "Swagger UI"}`) })
	require.Contains(t, a.do("GET", "/swagger/doc.json", "").body, "the document of")
	// Hostile first requests must not spoil the later ones.
	for _, path := range []string{"/swagger/x/swagger-ui.css", "/swagger/xindex.html", "/swagger/index.html/index.css", "/swagger/..%2findex.css"} {
		a.problem(a.do("GET", path, ""), http.StatusNotFound, "route_not_found")
	}
	for _, path := range []string{"/swagger", "/swagger/"} {
		require.Contains(t, a.do("GET", path, "").body, "swagger-ui", path)
	}
	require.Contains(t, a.do("GET", "/swagger/index.html?x=/swagger/x/index.css", "").body, "swagger-ui-bundle.js")
	require.Contains(t, a.do("GET", "/swagger/swagger-initializer.js", "").body, `"/swagger/doc.json"`)
	for file, contentType := range map[string]string{
		"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "javascript", "swagger-ui-standalone-preset.js": "javascript",
		"favicon-32x32.png": "image/png", "index.css": "text/css", "doc.json": "application/json",
	} {
		got := a.do("GET", "/swagger/"+file, "")
		require.Equal(t, http.StatusOK, got.status, file)
		require.NotEmpty(t, got.body, file)
		require.Contains(t, got.header.Get("Content-Type"), contentType)
		require.Contains(t, got.header.Get("Content-Security-Policy"), "default-src 'self'")
	}
	got := a.do("GET", "/openapi.json", "", "Authorization:")
	require.Contains(t, got.body, `"openapi": "3.0.3"`)
	require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"))
	require.Contains(t, got.header.Get("Content-Security-Policy"), "default-src 'none'")
}

func TestOpenMode(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(o *Options) { o.OpenMode, o.Auth = true, fakeAuth{open: true} })
	require.Equal(t, http.StatusOK, a.do("GET", "/api/users", "", "Authorization:").status)
	a.problem(a.do("GET", "/api/users", "", "Authorization: nonsense"), http.StatusUnauthorized, "token_invalid")
	a.problem(a.do("GET", "/api/users", "", "Authorization: viewer"), http.StatusForbidden, "role_insufficient")

	for _, host := range []string{"localhost", "LOCALHOST:8080", "127.0.0.1", "127.5.6.7:1", "[::1]:8080", "[::1]"} {
		require.Equal(t, http.StatusOK, a.do("GET", "/api/tenants", "", "Authorization:", "Host: "+host).status, host)
	}
	for _, host := range []string{"evil.example", "localhost.evil.example", "192.168.0.1:8080", "0.0.0.0", "127.0.0.1.nip.io:80", "[::]", "128.0.0.1"} {
		a.problem(a.do("GET", "/api/tenants", "", "Authorization:", "Host: "+host), http.StatusForbidden, "host_not_allowed")
		a.problem(a.do("GET", "/nope", "", "Authorization:", "Host: "+host), http.StatusForbidden, "host_not_allowed")
	}
	create := func(headers ...string) reply {
		return a.do("POST", "/api/tenants", `{"name":"x"}`, append(headers, "Authorization:", "Content-Type:")...)
	}
	a.problem(create("Sec-Fetch-Site: cross-site"), http.StatusForbidden, "origin_not_allowed")
	a.problem(create("Origin: https://evil.example"), http.StatusForbidden, "origin_not_allowed")
	require.Equal(t, http.StatusCreated, create("Sec-Fetch-Site: same-origin", "Origin: "+a.url).status)
	require.Equal(t, http.StatusCreated, create().status)
}
