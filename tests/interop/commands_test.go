//go:build interop

package interop

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// commandLimit is how long a command may take: what is installed comes from elsewhere.
const commandLimit = 5 * time.Minute

// output runs a command that has to succeed, and returns what it prints.
func output(t *testing.T, dir string, command ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandLimit)
	defer cancel()
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s\n%s", strings.Join(command, " "), out)
	return string(out)
}

// install returns a directory with packages from npm.
func install(t *testing.T, packages ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	installInto(t, dir, packages...)
	return dir
}

func installInto(t *testing.T, dir string, packages ...string) {
	t.Helper()
	output(t, dir, append([]string{"npm", "install", "--no-audit", "--no-fund", "--no-save", "--prefer-offline"}, packages...)...)
}
