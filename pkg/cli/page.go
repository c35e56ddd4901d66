package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// WritePage writes docs/cli.md: all commands, with what their help says.
func WritePage(out io.Writer) error {
	var b strings.Builder
	b.WriteString("<!-- make generate writes this page: change pkg/cli instead. -->\n\n# The command line\n\n")
	root := New(Options{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard})
	b.WriteString(root.Long + "\n\n" +
		"Exit status 0 is success, 1 a failure, 2 a wrong call; why is on standard error. `-h` works everywhere.\n\n")
	fmt.Fprintf(&b, "All that call the API take `--url` (%s; %s unless given), and `--key` (%s) or `--token` (%s); all that are about one tenant take `-t, --tenant` (%s), which a key of a tenant does without for messages and dead letters.\n\n",
		urlVariable, defaultURL, keyVariable, tokenVariable, tenantVariable)
	fmt.Fprintf(&b, "Flags of all that read the configuration:\n\n")
	writeFlags(&b, root.PersistentFlags())
	for _, group := range groups(root) {
		fmt.Fprintf(&b, "\n## %s\n", group.title)
		for _, c := range group.commands {
			writeCommand(&b, c)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err //nolint:wrapcheck // of the output
}

func writeCommand(b *strings.Builder, c *cobra.Command) {
	if c.HasAvailableSubCommands() {
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				writeCommand(b, sub)
			}
		}
		return
	}
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	fmt.Fprintf(b, "\n### `%s`\n\n%s\n\n```\n%s\n```\n", strings.TrimSuffix(c.UseLine(), " [flags]"), text, c.Example)
	own, _ := flagsOf(c)
	if shown := visible(own); shown.HasFlags() {
		b.WriteByte('\n')
		writeFlags(b, shown)
	}
}

// visible returns the flags without -h, which all have.
func visible(flags *pflag.FlagSet) *pflag.FlagSet {
	shown := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && !f.Hidden {
			shown.AddFlag(f)
		}
	})
	return shown
}

func writeFlags(b *strings.Builder, flags *pflag.FlagSet) {
	b.WriteString("| Flag | |\n|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if kind != "" {
			name += " " + strings.ToUpper(kind)
		}
		switch f.DefValue {
		case "", "0", "[]", "false", "0s":
		default:
			usage += "; `" + f.DefValue + "` unless given"
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", name, strings.ReplaceAll(usage, "|", `\|`))
	})
}
