package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	// link is one of Markdown to something of the repository.
	link = regexp.MustCompile(`\]\(([^)\s:]*)\)`)
	// dropped is what is not in the anchor of a heading.
	dropped = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// Where a page sends its readers there is something, and headings that it names are there.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(root + "/docs/*.md")
	require.NoError(t, err)
	decisions, err := filepath.Glob(root + "/docs/adr/*.md")
	require.NoError(t, err)
	pages = append(append(pages, decisions...), root+"/README.md", root+"/CONTRIBUTING.md", root+"/SECURITY.md")
	for _, page := range pages {
		for _, match := range link.FindAllStringSubmatch(readFile(t, page), -1) {
			path, anchor, _ := strings.Cut(match[1], "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(target); !assert.NoError(t, err, "%s links to %s", page, match[1]) || anchor == "" {
				continue
			}
			assert.Contains(t, anchors(readFile(t, target)), anchor, "%s links to %s", page, match[1])
		}
	}
}

// anchors returns those of the headings of a page, as they are made for Markdown on the
// web.
func anchors(page string) []string {
	var found []string
	fenced := false
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		if heading := strings.TrimLeft(line, "#"); !fenced && heading != line && strings.HasPrefix(heading, " ") {
			text := dropped.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
			found = append(found, strings.ReplaceAll(text, " ", "-"))
		}
	}
	return found
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// The index has every page.
func TestIndexIsComplete(t *testing.T) {
	t.Parallel()
	index := readFile(t, root+"/docs/README.md")
	pages, err := filepath.Glob(root + "/docs/*.md")
	require.NoError(t, err)
	for _, page := range pages {
		if name := filepath.Base(page); name != "README.md" {
			assert.Contains(t, index, "]("+name+")")
		}
	}
}
