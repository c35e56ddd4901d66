// Package version knows which build this program is: from the linker's flags where
// the build gave some, and else from what Go noted down by itself.
//
//	go build -ldflags "-X lanekeeper/pkg/version.version=1.2.3
//	  -X lanekeeper/pkg/version.commit=4f2a... -X lanekeeper/pkg/version.date=2026-11-21T10:00:00Z"
package version
