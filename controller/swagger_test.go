package controller

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"
)

// asked returns what Swagger UI answers.
func asked(t *testing.T, path string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	ui, err := swaggerUI([]byte(`{"openapi":"3.0.3"}`))
	require.NoError(t, err)
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.GET("/swagger/*file", ui)
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	request.Header = header
	answer := httptest.NewRecorder()
	engine.ServeHTTP(answer, request)
	return answer
}

// The page, and all that it asks for, is there: compressed for those who take that, and the
// same for those who do not.
func TestSwaggerUI(t *testing.T) {
	t.Parallel()
	page := asked(t, "/swagger/index.html", nil)
	names := []string{"index.html", "swagger-initializer.js", "oauth2-redirect.html"}
	for _, match := range regexp.MustCompile(`(?:src|href)="(?:\./)?([a-z0-9.-]+)"`).FindAllStringSubmatch(page.Body.String(), -1) {
		names = append(names, match[1])
	}
	require.Greater(t, len(names), 6)
	for _, name := range names {
		plain := asked(t, "/swagger/"+name, nil)
		require.Equal(t, http.StatusOK, plain.Code, name)
		require.Empty(t, plain.Header().Get("Content-Encoding"), name)
		require.Regexp(t, `^(text/(html|css|javascript); charset=utf-8|image/png)$`, plain.Header().Get("Content-Type"), name)
		packed := asked(t, "/swagger/"+name, http.Header{"Accept-Encoding": {"gzip, br"}})
		require.Equal(t, "gzip", packed.Header().Get("Content-Encoding"), name)
		r, err := gzip.NewReader(bytes.NewReader(packed.Body.Bytes()))
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, plain.Body.Bytes(), content, name)

		tag := packed.Header().Get("ETag")
		require.Equal(t, plain.Header().Get("ETag"), tag, name)
		known := asked(t, "/swagger/"+name, http.Header{"If-None-Match": {tag}})
		require.Equal(t, http.StatusNotModified, known.Code, name)
		require.Empty(t, known.Body.Bytes())
	}
	require.Contains(t, asked(t, "/swagger/swagger-initializer.js", nil).Body.String(), `url: "/swagger/doc.json"`)
	require.JSONEq(t, `{"openapi":"3.0.3"}`, asked(t, "/swagger/doc.json", nil).Body.String())
	require.Equal(t, swaggerIndex, asked(t, "/swagger/", nil).Header().Get("Location"))
	for _, nothing := range []string{"/swagger/nothing.js", "/swagger/index.html.gz", "/swagger/swagger-ui.css.map", "/swagger/..%2findex.html"} {
		require.Equal(t, http.StatusNotFound, asked(t, nothing, nil).Code, nothing)
	}
}
