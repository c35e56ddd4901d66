package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// root is the repository.
const root = ".."

var (
	code = regexp.MustCompile("`([^`]+)`")
	// pathLike is a file or a directory of the repository; a name with * stands
	// for several.
	pathLike = regexp.MustCompile(`^[A-Za-z0-9_.*-]+(/[A-Za-z0-9_.*-]+)*(/|\.(go|md|sql|yml|yaml|json))$`)
	// goName is a function, a type, or a method as Type.Method.
	goName = regexp.MustCompile(`^(\w+\.)?([A-Za-z]\w+)$`)
)

// The map is true: whatever CONTRIBUTING.md and docs/architecture.md name exists.
func TestPathsExist(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"CONTRIBUTING.md", "docs/architecture.md"} {
		for _, path := range pathsIn(t, page) {
			found, err := filepath.Glob(filepath.Join(root, path))
			require.NoError(t, err, path)
			assert.NotEmpty(t, found, "%s names %s", page, path)
		}
	}
}

// CONTRIBUTING.md names every package.
func TestEveryPackageIsListed(t *testing.T) {
	t.Parallel()
	listed := pathsIn(t, "CONTRIBUTING.md")
	for _, dir := range packages(t) {
		assert.True(t, slices.Contains(listed, dir+"/"), "CONTRIBUTING.md does not list %s/", dir)
	}
}

// In docs/architecture.md the names after a file are in that file.
func TestNamesExist(t *testing.T) {
	t.Parallel()
	file := ""
	for _, match := range code.FindAllStringSubmatch(read(t, "docs/architecture.md"), -1) {
		name := match[1]
		switch {
		case pathLike.MatchString(name):
			file = name
		case strings.HasSuffix(file, ".go") && goName.MatchString(name):
			word := goName.FindStringSubmatch(name)[2]
			found := regexp.MustCompile(`\b` + word + `\b`).MatchString(read(t, file))
			assert.True(t, found, "docs/architecture.md names %s in %s", name, file)
		}
	}
}

// pathsIn returns the paths that a page names: in `code`, and at the beginning
// of the lines of its fenced blocks.
func pathsIn(t *testing.T, page string) []string {
	t.Helper()
	var paths []string
	fenced := false
	for line := range strings.Lines(read(t, page)) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
			continue
		}
		var candidates []string
		if fenced {
			candidates = strings.Fields(line)
			candidates = candidates[:min(len(candidates), 1)]
		} else {
			for _, match := range code.FindAllStringSubmatch(line, -1) {
				candidates = append(candidates, match[1])
			}
		}
		for _, candidate := range candidates {
			if pathLike.MatchString(candidate) {
				paths = append(paths, candidate)
			}
		}
	}
	return paths
}

// packages returns the directories with Go files, but for the modules of their
// own.
func packages(t *testing.T) []string {
	t.Helper()
	var dirs []string
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			hidden := relative != "." && strings.HasPrefix(name, ".")
			_, statErr := os.Stat(filepath.Join(path, "go.mod"))
			if hidden || name == "vendor" || name == "testdata" || relative != "." && statErr == nil {
				return filepath.SkipDir
			}
			return nil
		}
		if dir := filepath.ToSlash(filepath.Dir(relative)); dir != "." && strings.HasSuffix(name, ".go") && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
		return nil
	}))
	return dirs
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	return string(text)
}
