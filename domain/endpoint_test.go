package domain_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestNewEndpoint(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	for _, text := range []string{
		"https://example.com", "http://example.com:8080/a?b=c", "https://[2606:4700::1111]/", "http://10.0.0.1/",
		"https://example.com/" + strings.Repeat("x", domain.MaxEndpointURLLength-20), "HTTPS://EXAMPLE.COM/",
	} {
		e, err := domain.NewEndpoint(id, text, nil)
		require.NoError(t, err, text)
		require.Equal(t, domain.Endpoint{TenantID: id, URL: text, Timeout: domain.DefaultEndpointTimeout}, e)
		require.False(t, e.Paused())
	}
	for _, text := range []string{
		"", "example.com", "/path", "ftp://example.com", "file:///etc/passwd", "gopher://a", "javascript:alert(1)", "http:example.com",
		"http://", "http:///path", "https://:443/", "https://user@example.com", "https://user:pass@example.com", "https://example.com/#a",
		"https://example.com#", "http://exa mple.com", "http://[::1", "http://a\x00b", "http://a/\n", "://a", "http://%zz/",
		"https://example.com/" + strings.Repeat("x", domain.MaxEndpointURLLength-19),
	} {
		_, err := domain.NewEndpoint(id, text, nil)
		require.Equal(t, []string{"/url"}, pointers(t, err), "%q", text)
	}
	for ms, ok := range map[int]bool{-1: false, 0: false, 99: false, 100: true, 15_000: true, 15_001: false, 1 << 62: false} {
		e, err := domain.NewEndpoint(id, "https://example.com", &ms)
		if !ok {
			require.Equal(t, []string{"/timeout_ms"}, pointers(t, err), ms)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, time.Duration(ms)*time.Millisecond, e.Timeout)
	}
	_, err := domain.NewEndpoint(id, "", new(0))
	require.Equal(t, []string{"/url", "/timeout_ms"}, pointers(t, err))
}
