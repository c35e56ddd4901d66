package controller

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	"lanekeeper/controller/middleware"
	"lanekeeper/docs"
	"lanekeeper/domain"
)

// plainDo sends a request and returns the answer as it came, also when it is compressed.
func (a *api) plainDo(method, path string, headers ...string) reply {
	a.t.Helper()
	request, err := http.NewRequestWithContext(a.t.Context(), method, a.url+path, http.NoBody)
	require.NoError(a.t, err)
	request.Header.Set("Authorization", "Bearer admin")
	request.Header.Set("X-Tenant-ID", tenantID.String())
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		request.Header.Add(name, value)
	}
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	require.NoError(a.t, err)
	defer func() { require.NoError(a.t, response.Body.Close()) }()
	content, err := io.ReadAll(response.Body)
	require.NoError(a.t, err)
	return reply{response.StatusCode, response.Header, string(content)}
}

// unpacked requires an answer to be compressed, and returns its content.
func unpacked(t *testing.T, got reply) string {
	t.Helper()
	require.Equal(t, "gzip", got.header.Get("Content-Encoding"))
	require.Contains(t, got.header.Values("Vary"), "Accept-Encoding")
	require.Empty(t, got.header.Get("Accept-Ranges"))
	r, err := gzip.NewReader(strings.NewReader(got.body))
	require.NoError(t, err)
	content, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Less(t, len(got.body), len(content))
	return string(content)
}

const gzipPlease = "Accept-Encoding: gzip"

func TestAnswersAreCompressed(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.fakes.tenant.Description = strings.Repeat("long ", 300)
	message := func(payload string) domain.Message {
		return domain.Message{ID: otherID, TenantID: tenantID, Seq: 1, Payload: []byte(payload), CreatedAt: someTime}
	}
	a.fakes.page.Messages = []domain.Message{message(`"` + strings.Repeat("a page ", 30_000) + `"`), message(`2`)}
	for _, path := range []string{"/api/tenants", "/api/tenants/" + tenantID.String(), "/api/messages", "/openapi.json", "/swagger/index.html", "/swagger/swagger-ui.css"} {
		plain := a.plainDo("GET", path)
		require.Equal(t, http.StatusOK, plain.status, path)
		require.Empty(t, plain.header.Get("Content-Encoding"), path)
		packed := a.plainDo("GET", path, gzipPlease)
		require.Equal(t, plain.body, unpacked(t, packed), path)
		require.Equal(t, plain.header.Get("Content-Type"), packed.header.Get("Content-Type"))
		if length := packed.header.Get("Content-Length"); length != "" {
			require.Equal(t, fmt.Sprint(len(packed.body)), length)
		}
		if strings.HasPrefix(path, "/swagger") {
			continue // what serves that knows no HEAD
		}
		head := a.plainDo("HEAD", path, gzipPlease)
		require.Equal(t, []string{"", "gzip"}, []string{head.body, head.header.Get("Content-Encoding")}, path)
		require.Contains(t, []string{"", packed.header.Get("Content-Length")}, head.header.Get("Content-Length"), "not that of what is not compressed")
		require.Equal(t, packed.header.Get("ETag"), head.header.Get("ETag"))
	}

	// What is short, what says so, and what the client does not take.
	for _, path := range []string{"/healthz", "/api/consumers", "/api/nothing"} {
		require.Empty(t, a.plainDo("GET", path, gzipPlease).header.Get("Content-Encoding"), path)
	}
	for accepted, want := range map[string]string{
		"gzip": "gzip", "GZIP": "gzip", "x-gzip": "gzip", "br, gzip;q=0.5, *;q=0": "gzip", "*": "gzip", "gzip; q = 0.001": "gzip", "identity;q=0.5, gzip": "gzip",
		"": "", "br": "", "gzip;q=0": "", "*;q=0": "", "gzip;q=0, *": "", "identity, gzip;q=0.5": "", "gzip;q=x": "", "gzip;q=NaN": "", "gzip;q=2": "", "gzipped": "",
	} {
		got := a.plainDo("GET", "/api/tenants", "Accept-Encoding: "+accepted)
		require.Equal(t, want, got.header.Get("Content-Encoding"), accepted)
	}
	require.Contains(t, a.plainDo("GET", "/openapi.json").header.Values("Vary"), "Accept-Encoding", "caches keep it")
}

// What is known is not sent again, and parts are parts of what is not compressed.
func TestCompressedAnswersAndCaches(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("a style sheet ", 1000)
	engine := gin.New()
	engine.GET("/", middleware.Compress(middleware.NewPackers(), true), func(c *gin.Context) {
		c.Header("ETag", `"tag"`)
		http.ServeContent(c.Writer, c.Request, "a.css", time.Time{}, strings.NewReader(content))
	})
	get := func(headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		for _, header := range headers {
			name, value, _ := strings.Cut(header, ": ")
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		engine.ServeHTTP(w, r)
		return w
	}
	packed := get(gzipPlease)
	require.Equal(t, "gzip", packed.Header().Get("Content-Encoding"))
	require.Equal(t, `W/"tag"`, packed.Header().Get("ETag"), "other bytes have no tag that says that they are the same")
	for _, tag := range []string{`"tag"`, `W/"tag"`} {
		known := get(gzipPlease, "If-None-Match: "+tag)
		require.Equal(t, http.StatusNotModified, known.Code)
		require.Empty(t, known.Header().Get("Content-Encoding"))
	}
	part := get(gzipPlease, "Range: bytes=0-4999")
	require.Equal(t, http.StatusPartialContent, part.Code)
	require.Empty(t, part.Header().Get("Content-Encoding"))
	require.Equal(t, content[:5000], part.Body.String())
}

// Streams and metrics are never compressed, and only so many answers at a time are.
func TestStreamsAreNotCompressed(t *testing.T) {
	t.Parallel()
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, strings.Repeat("once ", 1000))
	})
	a := newAPI(t, func(o *Options) { o.Metrics = metrics })
	require.Equal(t, strings.Repeat("once ", 1000), a.plainDo("GET", "/metrics", gzipPlease).body)

	r := a.dial(t)
	r.begin("GET", "/messages/stream", gzipPlease)
	response, err := http.ReadResponse(r.in, nil)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Empty(t, response.Header.Get("Content-Encoding"))
	require.Empty(t, response.Header.Values("Vary"))
}

// An answer that breaks off is no whole one, compressed or not.
func TestCompressedAnswersThatBreakOff(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	random := make([]byte, 300_000) // else all of it would be held back
	_, _ = rand.Read(random)
	noise := base64.StdEncoding.EncodeToString(random)
	large := domain.HistoryPage{Messages: []domain.Message{{ID: otherID, TenantID: tenantID, Seq: 1, Payload: []byte(`"` + noise + `"`)}}, More: true}
	a.fakes.parts, a.fakes.partErr = []domain.HistoryPage{large}, domain.New(domain.ErrUnavailable, "database_unavailable", "Away.")
	for range 40 { // none of them keeps what compresses
		r := a.dial(t)
		r.begin("GET", "/messages", gzipPlease)
		response, err := http.ReadResponse(r.in, nil)
		require.NoError(t, err)
		require.Equal(t, "gzip", response.Header.Get("Content-Encoding"))
		_, err = io.ReadAll(response.Body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		_ = response.Body.Close() // says the same
	}
}

// Publishing one message costs no more memory than without compression, for clients
// that do not ask for it, and hardly more for those that do.
func BenchmarkPublishEncodings(b *testing.B) {
	handler, err := New(Options{
		Auth: fakeAuth{open: true}, Directory: newFakes(), Messages: fakeMessages{newFakes()}, OpenAPI: docs.OpenAPI, Log: slog.New(slog.DiscardHandler),
		Ready: func(context.Context) (string, bool, map[string]string) { return "ready", true, nil },
	})
	require.NoError(b, err)
	packed := gzipped(b, `{"payload":{"text":"hello"}}`)
	for name, headers := range map[string][2]string{"none": {}, "accepted": {"Accept-Encoding", "gzip"}, "sent": {"Content-Encoding", "gzip"}} {
		body := `{"payload":{"text":"hello"}}`
		if name == "sent" {
			body = packed
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				request := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/messages", strings.NewReader(body))
				request.Header.Set("X-Tenant-ID", tenantID.String())
				if headers[0] != "" {
					request.Header.Set(headers[0], headers[1])
				}
				recorder := httptest.NewRecorder()
				handler.ServeHTTP(recorder, request)
				if recorder.Code != http.StatusAccepted {
					b.Fatal(recorder.Code, recorder.Body.String())
				}
			}
		})
	}
}
