package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/docs"
	"lanekeeper/docs/openapitest"
	"lanekeeper/domain"
	"lanekeeper/model"
)

// api is the handler behind a real server. Every answer to a route of the
// OpenAPI document is checked against it.
type api struct {
	t      *testing.T
	url    string
	server *httptest.Server
	fakes  *fakeServices

	endpoints *fakeEndpointState
	logs      *syncBuffer
	spec      routers.Router
}

// answer is a response that was read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

func newAPI(t *testing.T, change ...func(*Options)) *api {
	t.Helper()
	fakes, logs := newFakes(), &syncBuffer{}
	endpoints := newFakeEndpoints(fakes)
	o := Options{
		Auth: fakeAuth{}, Login: fakes, Self: fakeSelf{fakes}, Users: fakeUsers{fakes}, APIKeys: fakeAPIKeys{fakes}, Links: fakeLinks{fakes}, Credentials: fakeCredentials{fakes}, Tenants: fakeTenants{fakes},
		Directory: fakes, Messages: fakeMessages{fakes}, Letters: fakeLetters{fakes},
		Endpoints: endpoints, Attempts: fakeAttempts(endpoints), Replays: fakeReplays(endpoints),
		Consumers: fakeConsumers{fakes}, Streams: newFakeStreams(), Tickets: newFakeTickets(), Usage: fakeUsage{fakes}, Overview: fakeOverview{fakes}, Explain: fakeExplain{fakes}, Audit: fakeAudit{fakes}, Owners: fakeUsage{fakes},
		Now: func() time.Time { return someTime },
		Ready: func(context.Context) (string, bool, map[string]string) {
			return "ready", true, map[string]string{"postgres": "up"}
		},
		OpenAPI: docs.OpenAPI,
		Log:     slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&o)
	}
	handler, err := New(o)
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	spec, err := specRouter()
	require.NoError(t, err)
	return &api{t: t, url: server.URL, server: server, fakes: fakes, endpoints: endpoints.state, logs: logs, spec: spec}
}

// The checks of answers know no events yet, and learn it before they begin.
func TestMain(m *testing.M) {
	openapi3filter.RegisterBodyDecoder("text/event-stream", openapi3filter.PlainBodyDecoder)
	goleak.VerifyTestMain(m)
}

func specDocument(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := openapitest.Load()
	require.NoError(t, err)
	return doc
}

// specRouter is made once: it takes longer than most tests.
var specRouter = sync.OnceValues(func() (routers.Router, error) {
	doc, err := openapitest.Load()
	if err != nil {
		return nil, err
	}
	return legacy.NewRouter(doc)
})

// do sends a request as admin; headers are "Name: value", and "Name:" leaves
// the default out.
func (a *api) do(method, path, body string, headers ...string) reply {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), 4*patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, a.url+path, strings.NewReader(body))
	require.NoError(a.t, err)
	request.Header.Set("Authorization", "Bearer admin")
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept-Encoding", "identity") // the client would ask for gzip by itself
	if regexp.MustCompile("/(messages|dead-letters)").MatchString(path) && !strings.Contains(path, "tenant_id=") {
		request.Header.Set("X-Tenant-ID", tenantID.String())
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		if value = strings.TrimSpace(value); value == "" {
			request.Header.Del(name)
		} else if name == "Host" {
			request.Host = value
		} else if request.Header.Get(name) == value {
			request.Header.Add(name, value)
		} else {
			request.Header.Set(name, value)
		}
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(a.t, err)
	defer func() { require.NoError(a.t, response.Body.Close()) }()
	content, err := io.ReadAll(response.Body)
	require.NoError(a.t, err)
	got := reply{response.StatusCode, response.Header, string(content)}
	a.check(request, got)
	return got
}

// check compares an answer with the OpenAPI document.
func (a *api) check(request *http.Request, got reply) {
	a.t.Helper()
	if request.Method == http.MethodHead || request.Method == http.MethodOptions {
		return // which the document does not name
	}
	lookup := request.Clone(context.Background())
	lookup.URL.Scheme, lookup.URL.Host = "", ""
	route, params, err := a.spec.FindRoute(lookup)
	if err != nil {
		system := regexp.MustCompile(`^/(healthz|readyz|metrics|swagger|openapi\.json)`).MatchString(request.URL.Path)
		require.True(a.t, system || got.status == http.StatusNotFound || got.status == http.StatusMethodNotAllowed || got.status == http.StatusForbidden,
			"%s %s is not in the document", request.Method, request.URL.Path)
		return
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: lookup, PathParams: params, Route: route},
		Status:                 got.status,
		Header:                 got.header,
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	input.SetBodyBytes([]byte(got.body))
	require.NoError(a.t, openapi3filter.ValidateResponse(context.Background(), input), "%s %s: %d %s", request.Method, request.URL.Path, got.status, got.body)
}

// problem requires the answer to be a problem document with a status and a
// code, and returns it.
func (a *api) problem(got reply, status int, code string) model.Problem {
	a.t.Helper()
	require.Equal(a.t, status, got.status, got.body)
	require.Equal(a.t, model.ProblemContentType, got.header.Get("Content-Type"))
	var p model.Problem
	require.NoError(a.t, json.Unmarshal([]byte(got.body), &p))
	require.Equal(a.t, code, p.Code, got.body)
	require.Equal(a.t, status, p.Status)
	require.Equal(a.t, http.StatusText(status), p.Title)
	require.NotEmpty(a.t, p.Detail)
	require.Equal(a.t, got.header.Get("X-Request-ID"), p.RequestID)
	return p
}

func decodeReply[T any](t *testing.T, got reply) T {
	t.Helper()
	var v T
	require.NoError(t, json.Unmarshal([]byte(got.body), &v), got.body)
	return v
}

// syncBuffer is a buffer for the log.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func unavailable(code string) error {
	return domain.New(domain.ErrUnavailable, code, "The broker is away.")
}
