package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"lanekeeper/config"
	"lanekeeper/pkg/cli/terminal"
)

// What Main returns for the exit status.
const (
	statusDone   = 0
	statusFailed = 1
	statusUsage  = 2
)

// Options are what the command line runs in.
type Options struct {
	In       io.Reader
	Out, Err io.Writer
	// Read reads the configuration from a file; nil for config.Read.
	Read func(path string) (config.Config, error)
}

// Main runs the command that args name and returns the exit status: 0, 1 when it
// failed, 2 when it was called wrongly. Why is one line on Err.
func Main(ctx context.Context, o Options, args []string) int {
	err := Run(ctx, o, args)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	usage, wrong := errors.AsType[*usageError](err)
	switch {
	case err == nil:
		return statusDone
	case wrong:
		fmt.Fprintf(o.Err, "%s: %v\nSee %s -h.\n", usage.command, usage.err, usage.command)
		return statusUsage
	}
	var lines []string
	for line := range strings.Lines(err.Error()) {
		lines = append(lines, terminal.Clean(strings.TrimSuffix(line, "\n")))
	}
	fmt.Fprintln(o.Err, "lanekeeper:", strings.Join(lines, "\n"))
	return statusFailed
}

// Run runs the command that args name.
func Run(ctx context.Context, o Options, args []string) error {
	root := New(o) //nolint:contextcheck // commands get the context of ExecuteContext
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

// New returns the tree of all commands.
func New(o Options) *cobra.Command {
	if o.Read == nil {
		o.Read = config.Read
	}
	a := &app{Options: o}
	serve := serve(a)
	root := &cobra.Command{
		Use:   "lanekeeper",
		Short: "A messaging service in which every tenant has a lane of its own",
		Long: "Lanekeeper is a multi-tenant messaging service. Without a command it serves.\n\n" +
			"Commands that work on the servers read the configuration. Those that call a running\n" +
			"service find it with --url and --key, or LANEKEEPER_URL and LANEKEEPER_API_KEY.",
		Example:           "lanekeeper --config config/config.yaml serve\nTENANT=$(lanekeeper tenants create Acme -o id)\nlanekeeper publish -t $TENANT '{\"text\":\"hello\"}'\nlanekeeper tail -t $TENANT --from 1",
		RunE:              serve.RunE,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetIn(o.In)
	root.SetOut(o.Out)
	root.SetErr(o.Err)
	root.PersistentFlags().StringVar(&a.file, configFlag, os.Getenv("LANEKEEPER_CONFIG"), "configuration `file`; config/config.yaml if it exists")
	add(root, groupService, serve, migrate(a), doctor(a), encrypt(a), healthcheck(a))
	add(root, groupAccess, userGroup(a), tokenCommand(a), keyGroup(a), auditCommand(a))
	add(root, groupMessages, publish(a), tail(a), history(a))
	add(root, groupAPI, explainCommand(a), tenantGroup(a), letterGroup(a), endpointGroup(a), replayCommand(a), overviewCommand(a), fleetCommand(a), portalLink(a), usageCommand(a), meCommand(a))
	add(root, groupOther, demoCommand(a), versionCommand(a), completion())
	root.SetHelpCommand(help())
	root.SetHelpFunc(writeHelp)
	root.SetFlagErrorFunc(flagError)
	finish(root)
	return root
}

// The groups of commands.
const (
	groupService  = "The service"
	groupAccess   = "Users and the audit log, in the database; keys"
	groupMessages = "Messages, by the API"
	groupAPI      = "Tenants, endpoints and more, by the API"
	groupOther    = "Others"
)

// app is what commands have in common.
type app struct {
	Options

	file string // the configuration
}

func add(parent *cobra.Command, group string, commands ...*cobra.Command) {
	parent.AddGroup(&cobra.Group{ID: group, Title: group})
	for _, c := range commands {
		c.GroupID = group
	}
	parent.AddCommand(commands...)
}

// finish makes all commands check their arguments, and those that only have others
// below them say which.
func finish(c *cobra.Command) {
	for _, sub := range c.Commands() {
		finish(sub)
	}
	switch {
	case c.HasSubCommands():
		c.Args = unknownCommand
		c.SuggestionsMinimumDistance = 2
		if !c.Runnable() {
			c.RunE = func(c *cobra.Command, _ []string) error {
				return wrongUse(c, "say what to do: %s", strings.Join(names(c), ", "))
			}
		}
	case c.Args == nil:
		c.Args = checkArguments
	}
}

// names returns the names of the commands below c.
func names(c *cobra.Command) []string {
	var list []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			list = append(list, sub.Name())
		}
	}
	return list
}
