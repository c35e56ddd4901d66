package tests

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/tests/apptest"
)

func packed(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// requirePacked requires an answer to be compressed, once, and returns its content.
func requirePacked(t *testing.T, answer *apptest.Answer) []byte {
	t.Helper()
	require.Equal(t, []string{"gzip"}, answer.Header.Values("Content-Encoding"))
	r, err := gzip.NewReader(bytes.NewReader(answer.Body))
	require.NoError(t, err)
	content, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Less(t, len(answer.Body), len(content))
	return content
}

// What is sent compressed is stored as if it were not, within the same limits, and what
// is asked for compressed has the same content.
func TestCompression(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, func(c *config.Config) { c.Metrics.Public = true })
	tenant := app.CreateTenant("tenant", 0).ID
	send := func(status int, path, body, media string) {
		t.Helper()
		answer := app.Call("POST", path, packed(t, body), apptest.ForTenant(tenant), apptest.Header{"Content-Encoding", "gzip"}, apptest.Header{"Content-Type", media})
		require.Equal(t, status, answer.Status, "%.300s", answer.Body)
	}
	send(http.StatusAccepted, "/api/messages", `{"payload":{"text":"one"}}`, "application/json")
	send(http.StatusAccepted, "/api/messages/batch", `{"messages":[{"payload":{"text":"two"}}]}`, "application/json")
	send(http.StatusAccepted, "/api/messages/batch", strings.Repeat(`{"text":"a line"}`+"\n", 500), "application/x-ndjson")
	history := app.Stored(tenant, 502)
	require.JSONEq(t, `{"text":"one"}`, string(history[0].Payload))
	require.JSONEq(t, `{"text":"a line"}`, string(history[501].Payload))

	// 1 GiB of blanks in 1 MiB.
	send(http.StatusRequestEntityTooLarge, "/api/messages/batch", strings.Repeat(" ", 1<<30), "application/json")
	app.Refused(http.StatusUnsupportedMediaType, "unsupported_encoding", "POST", "/api/messages", packed(t, `{"payload":1}`), apptest.ForTenant(tenant), apptest.Header{"Content-Encoding", "gzip, gzip"})
	app.Refused(http.StatusBadRequest, "body_not_gzip", "POST", "/api/messages", `{"payload":1}`, apptest.ForTenant(tenant), apptest.Header{"Content-Encoding", "gzip"})

	please := apptest.Header{"Accept-Encoding", "gzip"}
	for _, path := range []string{"/api/messages?cursor=0&limit=500", "/api/usage?format=csv&limit=1", "/openapi.json", "/swagger/index.html", "/metrics"} {
		got := app.Call("GET", path, nil, apptest.ForTenant(tenant), please)
		require.Equal(t, http.StatusOK, got.Status, path)
		if strings.HasPrefix(path, "/api/usage") {
			require.Empty(t, got.Header.Get("Content-Encoding"), "it is short")
			continue
		}
		content := requirePacked(t, got)
		if path != "/metrics" { // which go on counting
			plain := app.Call("GET", path, nil, apptest.ForTenant(tenant), apptest.Header{"Accept-Encoding", "identity"})
			require.Empty(t, plain.Header.Get("Content-Encoding"))
			require.Equal(t, string(plain.Body), string(content), path)
		} else {
			require.Contains(t, string(content), "lanekeeper_")
		}
	}

	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, app.URL()+"/api/messages/stream?cursor=0&tenant_id="+tenant, http.NoBody)
	require.NoError(t, err)
	request.Header.Set("Accept-Encoding", "gzip")
	stream, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer stream.Body.Close()
	require.Equal(t, "text/event-stream", strings.Split(stream.Header.Get("Content-Type"), ";")[0])
	require.Empty(t, stream.Header.Get("Content-Encoding"))
}
