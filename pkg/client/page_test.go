package client_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// What docs/clients.md shows is part of the examples, which are compiled.
func TestPageShowsExamples(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/clients.md")
	require.NoError(t, err)
	examples, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	indented := regexp.MustCompile(`(?m)^\s+`)
	all := indented.ReplaceAllString(string(examples), "")
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		require.Contains(t, all, indented.ReplaceAllString(block[1], ""))
	}
}
