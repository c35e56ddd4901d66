package version

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// unknown is the version of a build that was not told any.
const unknown = "devel"

// Set by the linker. The commit has -dirty at its end where the sources differ from it.
//
//nolint:gochecknoglobals // the linker sets nothing else
var version, commit, date string

// Build is which build a program is.
type Build struct {
	// Version is such as 1.2.3, without a v; devel where the build was not told.
	Version string `json:"version"`
	// Commit is the revision of the sources, and Date when that was made, as RFC 3339
	// has it; "" where the build was not told.
	Commit string `json:"commit,omitempty"`
	Date   string `json:"date,omitempty"`
	// Modified reports whether the sources differed from that revision.
	Modified bool `json:"modified,omitempty"`
	// Go is the version of Go, and Platform what it is built for, such as linux/amd64.
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Read returns which build this program is.
func Read() Build {
	info, _ := debug.ReadBuildInfo()
	return build(info)
}

func build(info *debug.BuildInfo) Build {
	b := Build{Version: version, Date: date, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	b.Commit, b.Modified = strings.CutSuffix(commit, "-dirty")
	if info != nil {
		if b.Version == "" && info.Main.Version != "(devel)" {
			b.Version = info.Main.Version
		}
		for _, setting := range info.Settings {
			switch {
			case setting.Key == "vcs.revision" && b.Commit == "":
				b.Commit = setting.Value
			case setting.Key == "vcs.time" && b.Date == "":
				b.Date = setting.Value
			case setting.Key == "vcs.modified" && commit == "":
				b.Modified = setting.Value == "true"
			}
		}
	}
	if b.Version = strings.TrimPrefix(b.Version, "v"); b.Version == "" {
		b.Version = unknown
	}
	return b
}

// String returns what lanekeeper version prints: a line for people.
func (b Build) String() string {
	text := b.Version
	var about []string
	if b.Commit != "" {
		short := b.Commit[:min(len(b.Commit), 12)]
		if b.Modified {
			short += ", changed"
		}
		about = append(about, "commit "+short)
	}
	if b.Date != "" {
		about = append(about, b.Date)
	}
	return text + " (" + strings.Join(append(about, b.Go, b.Platform), ", ") + ")"
}
