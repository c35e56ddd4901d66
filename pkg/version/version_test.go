package version

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBuild(t *testing.T) {
	t.Parallel()
	require.Equal(t, "devel", build(nil).Version, "nothing is known")
	noted := &debug.BuildInfo{
		Main: debug.Module{Version: "v1.4.0"},
		Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "4f2a0c1b2d3e4f5061728394a5b6c7d8e9f00112"}, {Key: "vcs.time", Value: "2026-11-21T10:00:00Z"}, {Key: "vcs.modified", Value: "true"},
		},
	}
	b := build(noted)
	require.Equal(t, "1.4.0", b.Version)
	require.Contains(t, b.String(), "1.4.0 (commit 4f2a0c1b2d3e, changed, 2026-11-21T10:00:00Z, go1.")
	noted.Main.Version = "(devel)"
	require.Equal(t, "devel", build(noted).Version)
}

//nolint:paralleltest // sets what the linker sets
func TestLinkersFlagsComeFirst(t *testing.T) {
	t.Cleanup(func() { version, commit, date = "", "", "" })
	version, commit, date = "2.0.0", "abc", "2026-12-01T00:00:00Z"
	noted := &debug.BuildInfo{Main: debug.Module{Version: "v1.4.0"}, Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "def"}, {Key: "vcs.modified", Value: "true"}}}
	b := build(noted)
	require.Equal(t, Build{Version: "2.0.0", Commit: "abc", Date: "2026-12-01T00:00:00Z", Go: b.Go, Platform: b.Platform}, b)
	commit += "-dirty"
	require.Equal(t, "abc", build(noted).Commit)
	require.True(t, build(noted).Modified)
}
