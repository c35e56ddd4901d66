package apptest

import (
	"strings"

	"lanekeeper/config"
	"lanekeeper/pkg/cli"
)

// Command runs a command of the program, in this process and with the service's
// configuration, and returns what it printed.
func (a *App) Command(args ...string) (string, error) {
	var out strings.Builder
	err := cli.Run(a.t.Context(), cli.Options{
		In: strings.NewReader(""), Out: &out, Err: a.t.Output(),
		Read: func(string) (config.Config, error) { return a.Config, nil },
	}, args)
	return out.String(), err //nolint:wrapcheck // the error is what is tested
}
