package controller

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// withConsole is a console of one page, with a policy of its own.
func withConsole(o *Options) {
	o.Console = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != consoleRoot {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'")
		w.Header().Del("X-Frame-Options")
		_, _ = w.Write([]byte("a page"))
	})
}

// The console is where the address alone leads, with its own policy; what it does not
// have is a problem document, with that of the API.
func TestConsole(t *testing.T) {
	t.Parallel()
	a := newAPI(t, withConsole)
	ask := func(method, path string) *httptest.ResponseRecorder { // the document of the API does not have these
		w := httptest.NewRecorder()
		a.server.Config.Handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody))
		return w
	}
	for _, path := range []string{"/", "/console"} {
		got := ask("GET", path)
		require.Equal(t, http.StatusFound, got.Code, path)
		require.Equal(t, "/console/", got.Header().Get("Location"))
	}
	page := ask("GET", "/console/")
	require.Equal(t, http.StatusOK, page.Code)
	require.Equal(t, "a page", page.Body.String())
	require.Equal(t, "default-src 'none'; script-src 'self'", page.Header().Get("Content-Security-Policy"))
	require.Empty(t, page.Header().Get("X-Frame-Options"))
	require.NotEmpty(t, page.Header().Get("X-Request-ID"))
	require.Equal(t, http.StatusOK, ask("HEAD", "/console/").Code)

	got := a.do("GET", "/console/gone.js", "")
	a.problem(got, http.StatusNotFound, "route_not_found")
	require.Equal(t, "default-src 'none'; frame-ancestors 'none'", got.header.Get("Content-Security-Policy"))
	require.Equal(t, "DENY", got.header.Get("X-Frame-Options"))
	a.problem(a.do("POST", "/console/", "{}"), http.StatusMethodNotAllowed, "method_not_allowed")
}

// Without a console there is nothing where it would be.
func TestNoConsole(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, path := range []string{"/", "/console", "/console/"} {
		a.problem(a.do("GET", path, ""), http.StatusNotFound, "route_not_found")
	}
}
