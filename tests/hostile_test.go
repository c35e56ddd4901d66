package tests

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// Whatever is sent is answered within 6 seconds, by a problem document that says
// what is wrong with it, also where it never gets as far as a route.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	const host = "Host: localhost\r\n"
	post := func(headers, body string) string {
		return "POST /login HTTP/1.1\r\n" + host + "Content-Type: application/json\r\n" + headers + "\r\n" + body
	}
	for name, tc := range map[string]struct {
		text   string
		status int
		code   string
	}{
		"garbage":              {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "malformed_request"},
		"words":                {"HELO example.com\r\n\r\n", 400, "malformed_request"},
		"no host":              {"GET /healthz HTTP/1.1\r\n\r\n", 400, "malformed_request"},
		"two hosts":            {"GET /healthz HTTP/1.1\r\n" + host + host + "\r\n", 400, "malformed_request"},
		"host with a slash":    {"GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "malformed_request"},
		"HTTP/3.0":             {"GET /healthz HTTP/3.0\r\n" + host + "\r\n", 505, "http_version_unknown"},
		"HTTP/2 in clear":      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, ""},
		"no version":           {"GET /healthz\r\n\r\n", 400, "malformed_request"},
		"NUL in the path":      {"GET /tenants/\x00 HTTP/1.1\r\n" + host + "\r\n", 400, "malformed_request"},
		"NUL in a header":      {"GET /healthz HTTP/1.1\r\n" + host + "A: \x00\r\n\r\n", 400, "malformed_request"},
		"escaped NUL":          {"GET /tenants/%00 HTTP/1.1\r\n" + host + "\r\n", 400, "invalid_id"},
		"bad escape":           {"GET /tenants/%zz HTTP/1.1\r\n" + host + "\r\n", 400, "malformed_request"},
		"space before colon":   {"GET /healthz HTTP/1.1\r\n" + host + "A : b\r\n\r\n", 400, "malformed_request"},
		"no colon":             {"GET /healthz HTTP/1.1\r\n" + host + "A\r\n\r\n", 400, "malformed_request"},
		"another's URL":        {"GET http://evil.example/healthz HTTP/1.1\r\n" + host + "\r\n", 403, "host_not_allowed"},
		"connect":              {"CONNECT localhost:22 HTTP/1.1\r\n" + host + "\r\n", 0, ""},
		"connect with a path":  {"CONNECT /tenants HTTP/1.1\r\n" + host + "\r\n", 405, "method_not_allowed"},
		"trace":                {"TRACE /tenants HTTP/1.1\r\n" + host + "\r\n", 405, "method_not_allowed"},
		"options of all":       {"OPTIONS * HTTP/1.1\r\n" + host + "\r\n", 404, "route_not_found"},
		"invented method":      {"X-Y-Z /tenants HTTP/1.1\r\n" + host + "\r\n", 405, "method_not_allowed"},
		"two lengths":          {post("Content-Length: 2\r\nContent-Length: 3\r\n", "{} "), 400, "malformed_request"},
		"negative length":      {post("Content-Length: -1\r\n", ""), 400, "malformed_request"},
		"length in hex":        {post("Content-Length: 0x2\r\n", "{}"), 400, "malformed_request"},
		"length of 2^64":       {post("Content-Length: 18446744073709551618\r\n", "{}"), 400, "malformed_request"},
		"unknown encoding":     {post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 501, "transfer_encoding_unknown"},
		"two encodings":        {post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501, "transfer_encoding_unknown"},
		"encoding twice":       {post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"), 501, "transfer_encoding_unknown"},
		"chunk without size":   {post("Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"), 400, "body_unreadable"},
		"chunk of 2^64":        {post("Transfer-Encoding: chunked\r\n", "10000000000000002\r\n{}\r\n0\r\n\r\n"), 400, "body_unreadable"},
		"long chunk extension": {post("Transfer-Encoding: chunked\r\n", "2;"+strings.Repeat("x", 10_000)+"\r\n{}\r\n0\r\n\r\n"), 400, "body_unreadable"},
		"trailers":             {post("Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n"+strings.Repeat("A: b\r\n", 5000)+"\r\n"), 400, "body_unreadable"},
		"not compressed":       {post("Content-Encoding: gzip\r\nContent-Length: 2\r\n", "{}"), 400, "body_not_gzip"},
		"compressed by br":     {post("Content-Encoding: br\r\nContent-Length: 2\r\n", "{}"), 415, "unsupported_encoding"},
		"expects much":         {post("Content-Length: 2\r\nExpect: 200-ok\r\n", "{}"), 417, "expectation_unknown"},
		"long path":            {"GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\n" + host + "\r\n", 414, "uri_too_long"},
		"long query":           {"GET /tenants?limit=" + strings.Repeat("1", 20_000) + " HTTP/1.1\r\n" + host + "\r\n", 414, "uri_too_long"},
		"longer query":         {"GET /tenants?limit=" + strings.Repeat("1", 40_000) + " HTTP/1.1\r\n" + host + "\r\n", 431, "headers_too_large"},
		"many headers":         {"GET /healthz HTTP/1.1\r\n" + host + strings.Repeat("A: b\r\n", 1000) + "\r\n", 431, "too_many_headers"},
		"large header":         {"GET /healthz HTTP/1.1\r\n" + host + "A: " + strings.Repeat("b", 33_000) + "\r\n\r\n", 431, "headers_too_large"},
		"endless header":       {"GET /healthz HTTP/1.1\r\n" + host + "A: " + strings.Repeat("b", 1_000_000), 431, "headers_too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			conn := connect(t, app.Client, "127.0.0.1")
			require.NoError(t, conn.SetDeadline(begun.Add(20*time.Second)))
			go func() { _, _ = io.WriteString(conn, tc.text) }()
			response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodGet})
			require.NoError(t, err)
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			require.Less(t, time.Since(begun), 6*time.Second)
			var p apptest.Problem
			require.NoError(t, json.Unmarshal(body, &p), "%s", body)
			require.Equal(t, "application/problem+json", response.Header.Get("Content-Type"))
			require.Equal(t, response.StatusCode, p.Status)
			require.NotEmpty(t, p.RequestID)
			require.NotEmpty(t, p.Detail)
			require.Less(t, p.Status, 600)
			require.GreaterOrEqual(t, p.Status, 400)
			if tc.status != 0 {
				require.Equal(t, tc.status, p.Status, "%s", body)
				require.Equal(t, tc.code, p.Code)
			}
		})
	}
}

// Requests that were sent together are answered in order, and one that is
// refused does not become the beginning of another.
func TestPipelinedRequests(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 1).ID
	conn := connect(t, app.Client, "127.0.0.1")
	require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	var text bytes.Buffer
	const n = 200
	for i := range n {
		body := fmt.Sprintf(`{"payload":%d}`, i)
		fmt.Fprintf(&text, "POST /messages HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", tenant, len(body), body)
	}
	// Who reads this body for a request publishes once more.
	inner := "POST /messages HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: " + tenant + "\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"payload\":\"x\"}"
	fmt.Fprintf(&text, "POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(inner), inner)
	text.WriteString("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	go func() { _, _ = conn.Write(text.Bytes()) }()
	in := bufio.NewReader(conn)
	for i := range n + 2 {
		response, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		want := http.StatusAccepted
		if i == n {
			want = http.StatusNotFound
		} else if i > n {
			want = http.StatusOK
		}
		require.Equal(t, want, response.StatusCode)
	}
	stored := app.Stored(tenant, n)
	require.Equal(t, "0", string(stored[0].Payload))
	require.Equal(t, fmt.Sprint(n-1), string(stored[n-1].Payload))
}

// Who sends a request slowly, or not at all, keeps a connection and nothing
// else, and not for ever.
func TestSlowHeads(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	silent, slow := connect(t, app.Client, "127.0.0.1"), connect(t, app.Client, "127.0.0.1")
	quit := make(chan struct{})
	defer close(quit)
	go func() {
		_, _ = io.WriteString(slow, "GET /healthz HTTP/1.1\r\n")
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = io.WriteString(slow, "A: b\r\n")
			case <-quit:
				return
			}
		}
	}()
	for _, conn := range []net.Conn{silent, slow} {
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(15*time.Second)))
		_, err := io.ReadAll(conn)
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "it is waited for")
	}
}
