package server

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/model"
	"lanekeeper/pkg/httpconn"
	"lanekeeper/pkg/metrics"
)

// A client that opens thousands of connections does not fill the log, while every
// answer that was cut is in it.
func TestConnectionsThatEndAreLogged(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	m := metrics.New(metrics.Options{})
	events := newConnectionEvents(m, slog.New(slog.NewTextHandler(&out, nil)))
	peer := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	for range 1000 {
		events.ended(httpconn.Event{Reason: httpconn.IdleAddress, Remote: peer})
	}
	require.Equal(t, 1, strings.Count(out.String(), "\n"))
	out.Reset()
	for _, request := range []string{"a", "b"} {
		events.ended(httpconn.Event{Reason: httpconn.Unread, Remote: peer, Request: request, Written: 7})
	}
	require.Equal(t, 2, strings.Count(out.String(), "\n"))
	require.Contains(t, out.String(), "request_id=a")
	require.Contains(t, out.String(), "bytes=7")
}

func TestRefusalsAreProblems(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := refusals{metrics.New(metrics.Options{}), slog.New(slog.NewTextHandler(&out, nil))}
	codes := make(map[string]bool)
	for _, status := range []int{400, 417, 431, httpconn.StatusPlainHTTP, 501, 503, 505} {
		contentType, body := r.body(status, &net.TCPAddr{})
		if status == httpconn.StatusPlainHTTP {
			status = http.StatusBadRequest
		}
		require.Equal(t, model.ProblemContentType, contentType)
		var p model.Problem
		require.NoError(t, json.Unmarshal(body, &p))
		require.Equal(t, status, p.Status)
		require.Equal(t, http.StatusText(status), p.Title)
		codes[p.Code] = true
	}
	require.Len(t, codes, 7)
}

// Proxies may have as many connections as there may be in all.
func TestProxyNetworks(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.TrustedProxies = []string{"10.0.0.0/8", "::1", "192.168.1.1"}
	require.NoError(t, c.Validate())
	proxies := networks(c.TrustedProxies)
	require.Len(t, proxies, 3)
	require.Equal(t, "192.168.1.1/32", proxies[2].String())
	require.Greater(t, fileLimit(), fewestConnections)
}
