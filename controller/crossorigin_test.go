package controller

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/docs"
)

const page = "https://app.example.com"

func crossOriginAPI(t *testing.T) *api {
	t.Helper()
	return newAPI(t, func(o *Options) { o.CORSOrigins = []string{page, "http://localhost:3000"} })
}

// preflight asks as a browser does before it sends a request, which is without a
// token.
func (a *api) preflight(path, origin, method string) reply {
	return a.do("OPTIONS", path, "", "Authorization:", "Content-Type:", "X-Tenant-ID:", "Origin: "+origin,
		"Access-Control-Request-Method: "+method, "Access-Control-Request-Headers: authorization,content-type,idempotency-key")
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	a := crossOriginAPI(t)
	for _, path := range []string{"/api/messages", "/messages", "/api/tenants/ext:x", "/nowhere"} {
		got := a.preflight(path, page, "POST")
		require.Equal(t, http.StatusNoContent, got.status, path)
		require.Empty(t, got.body)
		require.Equal(t, page, got.header.Get("Access-Control-Allow-Origin"))
		require.Contains(t, got.header.Values("Vary"), "Origin")
		require.Empty(t, got.header.Get("Access-Control-Allow-Credentials"), "there are no cookies")
		for _, name := range []string{"Authorization", "X-Tenant-Id", "Idempotency-Key", "Last-Event-Id", "Content-Type"} {
			require.Contains(t, got.header.Get("Access-Control-Allow-Headers"), name)
		}
		require.Contains(t, got.header.Get("Access-Control-Allow-Methods"), "DELETE")
	}
	for _, origin := range []string{"https://evil.example", "https://app.example.com.evil.example", "http://app.example.com", "null", "https://app.example.com:8443", "HTTPS://APP.EXAMPLE.COM"} {
		got := a.preflight("/api/messages", origin, "POST")
		a.problem(got, http.StatusForbidden, "origin_not_allowed")
		require.Empty(t, got.header.Get("Access-Control-Allow-Origin"), origin)
	}
}

func TestCrossOriginAnswers(t *testing.T) {
	t.Parallel()
	a := crossOriginAPI(t)
	for _, got := range []reply{
		a.do("GET", "/api/tenants", "", "Origin: "+page),
		a.do("GET", "/api/tenants", "", "Origin: "+page, "Authorization:"), // the page can read why
		a.do("GET", "/nope", "", "Origin: "+page),
	} {
		require.Equal(t, page, got.header.Get("Access-Control-Allow-Origin"))
		require.Contains(t, got.header.Values("Vary"), "Origin")
		for _, name := range []string{"Location", "Retry-After", "Idempotent-Replayed", "Lanekeeper-Discarded", "X-Request-Id"} {
			require.Contains(t, got.header.Get("Access-Control-Expose-Headers"), name)
		}
	}
	a.problem(a.do("GET", "/api/tenants", "", "Origin: "+page, "Authorization:"), http.StatusUnauthorized, "token_invalid")
	// Others are judged by their token, and their pages may not read the answer.
	for _, origin := range []string{"https://evil.example", ""} {
		got := a.do("GET", "/api/tenants", "", "Origin: "+origin)
		require.Equal(t, http.StatusOK, got.status)
		require.Empty(t, got.header.Get("Access-Control-Allow-Origin"))
		require.Contains(t, got.header.Values("Vary"), "Origin")
	}
	without := newAPI(t)
	require.Empty(t, without.do("GET", "/api/tenants", "", "Origin: "+page).header.Get("Access-Control-Allow-Origin"))
	without.problem(without.preflight("/api/messages", page, "POST"), http.StatusMethodNotAllowed, "method_not_allowed")
}

// In open mode the other end of the connection counts, which no header changes.
func TestOpenModeLooksAtThePeer(t *testing.T) {
	t.Parallel()
	ask := func(remote string, headers ...string) (status int, body string) {
		fakes := newFakes()
		handler, err := New(Options{
			Auth: fakeAuth{open: true}, Login: fakes, Users: fakeUsers{fakes}, Tenants: fakeTenants{fakes}, Directory: fakes, Messages: fakeMessages{fakes},
			Letters: fakeLetters{fakes}, Consumers: fakeConsumers{fakes}, Streams: newFakeStreams(), Tickets: newFakeTickets(), OpenAPI: docs.OpenAPI,
			OpenMode: true, OpenModePeers: []netip.Prefix{netip.MustParsePrefix("172.31.88.1/32")}, TrustedProxies: []string{"172.31.88.2", "127.0.0.1"},
			Log: slog.New(slog.DiscardHandler),
		})
		require.NoError(t, err)
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/tenants", nil)
		request.Host, request.RemoteAddr = "localhost", remote
		for i := 0; i < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		return recorder.Code, recorder.Body.String()
	}
	for _, remote := range []string{"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "172.31.88.1:5", "[::ffff:172.31.88.1]:5"} {
		status, _ := ask(remote, "X-Forwarded-For", "203.0.113.7")
		require.Equal(t, http.StatusOK, status, remote)
	}
	for _, remote := range []string{"192.0.2.1:1", "172.31.88.2:1", "172.31.88.10:1", "[2001:db8::1]:1", "[fe80::1%eth0]:1", "0.0.0.0:1", "", "nonsense", "127.0.0.1"} {
		status, body := ask(remote, "X-Forwarded-For", "127.0.0.1", "X-Real-IP", "127.0.0.1", "Forwarded", "for=127.0.0.1")
		require.Equal(t, http.StatusForbidden, status, remote)
		require.Contains(t, body, "peer_not_allowed", remote)
	}
}
