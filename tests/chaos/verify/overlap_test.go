package verify

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/chaos/report"
)

// Work of two processes for one tenant that touches is seen, and nothing else.
func TestOverlaps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		one, other string
		killed     map[string]int64
		found      int
	}{
		"one after the other": {"begin 1 10 a\nend 1 20\n", "begin 1 21 a\nend 1 30\n", nil, 0},
		"different tenants":   {"begin 1 10 a\nend 1 20\n", "begin 1 15 b\nend 1 30\n", nil, 0},
		"at once":             {"begin 1 10 a b\nend 1 20\n", "begin 1 19 c b\nend 1 30\n", nil, 1},
		"within":              {"begin 1 10 a\nbegin 2 12 a\nend 2 13\nend 1 40\n", "begin 1 20 a\nend 1 30\n", nil, 1},
		"killed before":       {"begin 1 10 a\nend 1 11\nbegin 2 15 a\nen", "begin 1 21 a\nend 1 30\n", map[string]int64{"1": 20}, 0},
		"killed after":        {"begin 1 10 a\nend 1 11\nbegin 2 15 a\n", "begin 1 21 a\nend 1 30\n", map[string]int64{"1": 25}, 1},
		"never ended":         {"begin 1 10 a\n", "begin 1 21 a\nend 1 30\n", nil, 1},
	} {
		path := filepath.Join(t.TempDir(), "record")
		require.NoError(t, os.WriteFile(path+".1", []byte(c.one), 0o600))
		require.NoError(t, os.WriteFile(path+".2", []byte(c.other), 0o600))
		spans, calls, err := readSpans(path, c.killed, false)
		require.NoError(t, err, name)
		require.Positive(t, calls, name)
		require.Len(t, overlaps(spans), c.found, name)
	}
}

// Where only what was stored counts, work that failed or did not end is none.
func TestOverlapsOfStoring(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		one   string
		found int
	}{
		"stored":      {"begin 1 10 a\nend 1 25\n", 1},
		"failed":      {"begin 1 10 a\nend 1 25 failed\n", 0},
		"never ended": {"begin 1 10 a\n", 0},
	} {
		path := filepath.Join(t.TempDir(), "record")
		require.NoError(t, os.WriteFile(path+".1", []byte(c.one), 0o600))
		require.NoError(t, os.WriteFile(path+".2", []byte("begin 1 20 a\nend 1 30\n"), 0o600))
		spans, _, err := readSpans(path, nil, true)
		require.NoError(t, err, name)
		require.Len(t, overlaps(spans), c.found, name)
	}
}

// Whatever others do during one transaction, it is late once.
func TestLateWorkCountsOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record")
	require.NoError(t, os.WriteFile(path+".1", []byte("begin 1 10 a\nend 1 50\nbegin 2 51 a\nend 2 52\n"), 0o600))
	require.NoError(t, os.WriteFile(path+".2", []byte("begin 1 20 a\nend 1 30\nbegin 2 31 a\nend 2 40\n"), 0o600))
	for allowed, holds := range []bool{false, true} {
		r := &report.Result{}
		require.NoError(t, CheckStoring(r, path, nil, allowed))
		require.Equal(t, holds, r.Holds())
	}
}
