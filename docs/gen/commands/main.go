// Command commands makes cli.md of the tree of commands. It runs in the directory
// docs, by "go generate".
package main

import (
	"errors"
	"fmt"
	"os"

	"lanekeeper/pkg/cli"
)

func main() {
	if err := write("cli.md"); err != nil {
		fmt.Fprintln(os.Stderr, "commands:", err)
		os.Exit(1)
	}
}

func write(path string) (err error) {
	for _, name := range []string{"LANEKEEPER_CONFIG", "LANEKEEPER_URL", "LANEKEEPER_API_KEY", "LANEKEEPER_TENANT"} {
		if err := os.Unsetenv(name); err != nil { // they are defaults of flags
			return fmt.Errorf("unset %s: %w", name, err)
		}
	}
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("create the page: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return cli.WritePage(file) //nolint:wrapcheck // of the file
}
