package tests

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/pkg/server"
	"lanekeeper/tests/apptest"
	"lanekeeper/tests/certs"
)

// bootTLS starts the service with a certificate.
func bootTLS(t *testing.T, options ...apptest.Option) (*apptest.App, certs.Pair, certs.Files) {
	t.Helper()
	pair := certs.New(t)
	files := pair.Write(t)
	app := apptest.Boot(t, append(options, func(c *config.Config) { c.TLS = config.TLS{CertFile: files.Certificate, KeyFile: files.Key} })...)
	require.True(t, strings.HasPrefix(app.URL(), "https://"))
	return app, pair, files
}

// Everything works by HTTPS: large bodies, large pages, streams that last and
// come back, and the health check.
func TestHTTPS(t *testing.T) {
	t.Parallel()
	app, pair, _ := bootTLS(t)
	client := app.Trusting(pair.Pool(t))
	tenant := client.CreateTenant("by HTTPS", 1).ID
	stream := client.Stream(tenant, "cursor=0")

	var batch struct {
		Messages []map[string]any `json:"messages"`
	}
	large := strings.Repeat("x", 1_000_000)
	for range 5 {
		batch.Messages = append(batch.Messages, map[string]any{"payload": large})
	}
	answer := client.Want(http.StatusAccepted, nil, "POST", "/messages/batch", batch, apptest.ForTenant(tenant))
	require.Contains(t, string(answer.Body), `"accepted":5`)
	client.Stored(tenant, 5)
	_, err := stream.Take(0, 5)
	require.NoError(t, err)
	page := client.Want(http.StatusOK, nil, "GET", "/messages?limit=10", nil, apptest.ForTenant(tenant))
	require.Greater(t, len(page.Body), 1_000_000)
	client.Publish(tenant, `"later"`)
	_, err = stream.Take(5, 1)
	require.NoError(t, err)
	stream.Close()
	_, err = client.Stream(tenant, "", apptest.LastEventID(5)).Take(5, 1)
	require.NoError(t, err)

	c := app.Config
	c.AppPort = port(t, app)
	require.NoError(t, server.CheckHealth(t.Context(), c))

	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.Replace(app.URL(), "https", "http", 1)+"/readyz", nil)
	require.NoError(t, err)
	plain, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer plain.Body.Close()
	var problem apptest.Problem
	require.NoError(t, json.NewDecoder(plain.Body).Decode(&problem))
	require.Equal(t, "tls_required", problem.Code)
	require.Equal(t, http.StatusBadRequest, problem.Status)
}

// Who does not read his answer is cut, by HTTPS as without, and one that stopped
// to read a stream as well.
func TestHTTPSThatNobodyReads(t *testing.T) {
	t.Parallel()
	app, pair, _ := bootTLS(t)
	client := app.Trusting(pair.Pool(t))
	tenant := client.CreateTenant("large", 1).ID
	for range 8 {
		client.Publish(tenant, `"`+strings.Repeat("x", 1_000_000)+`"`)
	}
	client.Stored(tenant, 8)
	config := &tls.Config{RootCAs: pair.Pool(t), ServerName: "localhost", MinVersion: tls.VersionTLS12}
	for _, path := range []string{"/messages?limit=1000", "/messages/stream?cursor=0"} {
		inner := connect(t, app.At(strings.Replace(app.URL(), "https://", "http://", 1)), "127.0.0.1")
		conn := tls.Client(inner, config)
		_, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: %s\r\n\r\n", path, tenant)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		m := client.Metrics()
		return m.Value("lanekeeper_connections_ended_total", "reason", "answer_unread") == 1 && m.Value("lanekeeper_stream_dropped_total") == 1
	}, 40*time.Second, 100*time.Millisecond, "they are not cut")
	client.Publish(tenant, `"as ever"`)
}

// A new certificate is used from the next connection on; one that is broken
// changes nothing.
func TestCertificateChanges(t *testing.T) {
	t.Parallel()
	app, first, files := bootTLS(t)
	second := certs.New(t)
	served := func() string {
		dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
		conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(app.URL(), "https://"))
		require.NoError(t, err)
		defer conn.Close()
		secure, ok := conn.(*tls.Conn)
		require.True(t, ok)
		return secure.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	require.Equal(t, first.Serial.String(), served())
	second.Replace(t, files)
	require.Eventually(t, func() bool { return served() == second.Serial.String() }, 10*time.Second, 100*time.Millisecond)
	app.Trusting(second.Pool(t)).Want(http.StatusOK, nil, "GET", "/readyz", nil)
}

func TestBrokenCertificate(t *testing.T) {
	t.Parallel()
	first, second := certs.New(t), certs.New(t)
	files := first.Write(t)
	var log bytes.Buffer
	c := config.Default()
	c.AppHost, c.AppPort, c.AdminPort = "127.0.0.1", 0, 0
	c.TLS = config.TLS{CertFile: files.Certificate, KeyFile: second.Write(t).Key}
	_, err := server.New(c, slog.New(slog.NewTextHandler(&log, nil)), io.Discard)
	require.ErrorContains(t, err, "tls.cert_file (TLS_CERT_FILE) and tls.key_file (TLS_KEY_FILE)")
	key, err := os.ReadFile(c.TLS.KeyFile)
	require.NoError(t, err)
	require.NotContains(t, log.String(), string(key))
	// Without certificate nothing was listened on.
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", c.ListenAddress())
	require.NoError(t, err)
	require.NoError(t, listener.Close())
}
