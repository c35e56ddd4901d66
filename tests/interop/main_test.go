//go:build interop

package interop

import (
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

const page = "../../docs/endpoints.md"

func TestMain(m *testing.M) {
	code := m.Run()
	if err := apptest.Cleanup(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// blocks returns what the page about endpoints shows in a language.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	return blocksOf(t, page, language)
}

// blocksOf returns what a page shows in a language: its fenced blocks, in order.
func blocksOf(t *testing.T, page, language string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	var found []string
	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllSubmatch(text, -1) {
		found = append(found, string(match[1]))
	}
	require.NotEmpty(t, found, "the page shows nothing in %s", language)
	return found
}

// block returns the only block of a language.
func block(t *testing.T, language string) string {
	t.Helper()
	found := blocks(t, language)
	require.Len(t, found, 1)
	return found[0]
}
