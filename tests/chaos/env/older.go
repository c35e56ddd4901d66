package env

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// olderVersion is the last commit before endpoints read the history: what an
// endpoint did not take waited in retry tiers.
const olderVersion = "1126ab97b028d36bbaba3d851bd95f8ae6b6fdec"

var errNoOlderVersion = errors.New("the repository does not have the earlier version (is it a shallow clone? then `git fetch --unshallow`)")

// BuildOlder builds the service as it was before endpoints read the history, out of
// the repository that this is run in, and returns where it is.
func BuildOlder(ctx context.Context, s *Shared) (string, error) {
	program, source := filepath.Join(s.Work, "lanekeeper-older"), filepath.Join(s.Work, "older")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	s.Say("building the service of %.10s", olderVersion)
	if err := os.MkdirAll(source, 0o700); err != nil {
		return "", fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(source)
	// The checkout may belong to another user.
	const script = `git -c safe.directory='*' archive "$1" | tar -x -C "$2"`
	if text, err := exec.CommandContext(ctx, "bash", "-c", "set -o pipefail; "+script, "bash", olderVersion, source).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s: %w: %s", errNoOlderVersion, olderVersion, err, strings.TrimSpace(string(text)))
	}
	line := slices.Concat(outside(), []string{"go", "build", "-trimpath", "-buildvcs=false", "-o", program, "."})
	build := exec.CommandContext(ctx, line[0], line[1:]...)
	build.Dir = source
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the service of %s: %w\n%s", olderVersion, err, text)
	}
	return program, nil
}
