package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// image writes a file and returns its path.
func image(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "logo")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestPortal(t *testing.T) {
	t.Parallel()
	c := Default()
	require.NoError(t, c.Validate())
	for logo, begins := range map[string]string{
		"":                                      "",
		image(t, "\x89PNG\r\n\x1a\n..."):        "data:image/png;base64,iVBORw0KGgo",
		image(t, "\xff\xd8\xff\xe0..."):         "data:image/jpeg;base64,",
		image(t, "RIFF....WEBPVP8 ..."):         "data:image/webp;base64,",
		image(t, "<svg xmlns='...'/>"):          "data:image/svg+xml;base64,PHN2ZyB4",
		image(t, "<?xml version='1.0'?><svg/>"): "data:image/svg+xml;base64,",
	} {
		c.Portal = Portal{FrameAncestors: []string{"https://app.example.com"}, Name: "Größe 🚀", Color: "#0A66c2", Logo: logo}
		require.NoError(t, c.Validate())
		url, err := c.Portal.LogoURL()
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(url, begins), url)
	}
	for says, p := range map[string]Portal{
		"portal.frame_ancestors (PORTAL_FRAME_ANCESTORS) must name each": {FrameAncestors: []string{"https://*.example.com"}},
		"portal.frame_ancestors (PORTAL_FRAME_ANCESTORS) must list":      {FrameAncestors: []string{"https://app.example.com/x"}},
		"PORTAL_FRAME_ANCESTORS) must list origins":                      {FrameAncestors: []string{"https://a;script-src"}},
		"portal.name (PORTAL_NAME) must have at most 60":                 {Name: strings.Repeat("x", 61)},
		"PORTAL_NAME) must have":                                         {Name: "a\nb"},
		"portal.color (PORTAL_COLOR) must be":                            {Color: "red"},
		"PORTAL_COLOR) must be":                                          {Color: "#0a66c2;x"},
		"portal.logo (PORTAL_LOGO) names a file that is not there":       {Logo: filepath.Join(t.TempDir(), "none")},
		"portal.logo (PORTAL_LOGO) names a file that cannot be read":     {Logo: t.TempDir()},
		"PORTAL_LOGO) names a file of more than 32 KiB":                  {Logo: image(t, strings.Repeat("x", 32<<10+1))},
		"PORTAL_LOGO) must name a PNG, JPEG, WebP or SVG file":           {Logo: image(t, "<html><script>")},
	} {
		c.Portal = p
		require.ErrorContains(t, c.Validate(), says)
	}
}
