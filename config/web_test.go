package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// An origin is taken in the one form in which browsers send it, since it is
// compared with that.
func TestOrigins(t *testing.T) {
	t.Parallel()
	c := Default()
	c.JWTSecret = secret
	for _, origin := range []string{"https://app.example.com", "http://localhost:3000", "http://127.0.0.1:8080", "https://[::1]:8443"} {
		c.CORSOrigins = []string{origin}
		require.NoError(t, c.Validate(), origin)
	}
	for _, origin := range []string{
		"*", "https://*", "https://*.example.com", "null", "", "app.example.com", "https://", "https://app.example.com/",
		"https://app.example.com/path", "https://app.example.com?x", "https://app.example.com#x", "https://user@app.example.com",
		"https://App.example.com", "HTTPS://app.example.com", "https://app.example.com:443", "http://app.example.com:80",
		"https://app.example.com:", "https://app.example.com:99999", "ftp://app.example.com", "file:///x", "https://a.example, https://b.example",
	} {
		c.CORSOrigins = []string{"https://fine.example", origin}
		require.ErrorContains(t, c.Validate(), "cors_origins (CORS_ORIGINS) must", origin)
	}
	c.CORSOrigins = []string{"https://app.example.com"}
	c.JWTSecret = ""
	require.ErrorContains(t, c.Validate(), "cors_origins (CORS_ORIGINS) must be empty in open mode")
}

func TestPublicURL(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"http://localhost":          "http://localhost:8080",
		"http://localhost:80/lane/": "http://localhost:80/lane",
		"https://lane.example.com":  "https://lane.example.com",
		"http://u:p@[::1]/?a=b#c":   "http://[::1]:8080",
		"":                          "",
	} {
		require.Equal(t, want, Config{AppURL: given, AppPort: 8080}.PublicURL(), given)
	}
	require.Equal(t, "https://localhost:8443", Config{AppURL: "https://localhost", AppPort: 8443, TLS: TLS{CertFile: "x"}}.PublicURL())
	require.Equal(t, "http://localhost", Config{AppURL: "http://localhost", AppPort: 80}.PublicURL())
}
