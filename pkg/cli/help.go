package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lanekeeper/pkg/cli/terminal"
)

// widestHelp is how many columns help has at most.
const widestHelp = 100

// writeHelp writes what -h prints.
func writeHelp(c *cobra.Command, _ []string) {
	out := c.OutOrStdout()
	screen := terminal.NewScreen(out)
	columns := screen.Width
	if columns == 0 || columns > widestHelp {
		columns = widestHelp
	}
	describe(out, c, columns)
}

// help is "lanekeeper help COMMAND".
func help() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Print help about a command", Example: "lanekeeper help user add", Hidden: true,
		Args: func(c *cobra.Command, args []string) error {
			found, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return wrongUse(c.Root(), "unknown command %q", strings.Join(args, " "))
			}
			writeHelp(found, nil)
			return nil
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
}

// describe writes all that is to be known of a command.
func describe(out io.Writer, c *cobra.Command, columns int) {
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	fmt.Fprintf(out, "%s\n\nUsage:\n", wrap(text, columns))
	for _, line := range usageLines(c) {
		fmt.Fprintln(out, "  "+line)
	}
	if c.Example != "" {
		fmt.Fprintf(out, "\nExamples:\n")
		for line := range strings.Lines(c.Example) {
			fmt.Fprint(out, "  "+line)
		}
		fmt.Fprintln(out)
	}
	for _, group := range groups(c) {
		fmt.Fprintf(out, "\n%s:\n", group.title)
		for _, sub := range group.commands {
			fmt.Fprintln(out, "  "+hanging(sub.Name(), sub.Short, group.widest, columns-2))
		}
	}
	own, inherited := flagsOf(c)
	if own.HasAvailableFlags() {
		fmt.Fprintf(out, "\nFlags:\n%s", own.FlagUsagesWrapped(columns))
	}
	if inherited.HasAvailableFlags() {
		fmt.Fprintf(out, "\nCommon flags:\n%s", inherited.FlagUsagesWrapped(columns))
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(out, "\n%s COMMAND -h says more.\n", c.CommandPath())
	}
}

// usageLines say how the command is called.
func usageLines(c *cobra.Command) []string {
	var lines []string
	if c.HasAvailableSubCommands() {
		lines = append(lines, c.CommandPath()+" COMMAND")
	}
	if c.HasParent() == c.HasAvailableSubCommands() {
		return lines
	}
	line := c.UseLine()
	if !strings.HasSuffix(line, "[flags]") {
		line += " [flags]"
	}
	return append(lines, line)
}

// flagsOf returns the command's own flags, and those that it has in common with
// others. --config is left out where no configuration is read.
func flagsOf(c *cobra.Command) (own, inherited *pflag.FlagSet) {
	c.InitDefaultHelpFlag()
	own, inherited = pflag.NewFlagSet("", pflag.ContinueOnError), pflag.NewFlagSet("", pflag.ContinueOnError)
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			f.Usage = "print this help"
		}
		own.AddFlag(f)
	})
	c.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name != configFlag || readsConfiguration(c) {
			inherited.AddFlag(f)
		}
	})
	return own, inherited
}

type group struct {
	title    string
	commands []*cobra.Command
	widest   int
}

// groups returns the commands below c as they are listed.
func groups(c *cobra.Command) []group {
	var list []group
	for _, g := range c.Groups() {
		list = append(list, group{title: g.Title})
	}
	for _, sub := range c.Commands() {
		if !sub.IsAvailableCommand() {
			continue
		}
		title := sub.GroupID
		if title == "" {
			title = "Commands"
		}
		at := slices.IndexFunc(list, func(g group) bool { return g.title == title })
		if at < 0 {
			at = len(list)
			list = append(list, group{title: title})
		}
		list[at].commands = append(list[at].commands, sub)
		list[at].widest = max(list[at].widest, len(sub.Name()))
	}
	return list
}

// hanging returns a name and a text beside it, which is wrapped.
func hanging(name, text string, widest, columns int) string {
	const gap = 2
	indent := widest + gap
	lines := strings.Split(wrap(text, max(columns-indent, widest)), "\n")
	return fmt.Sprintf("%-*s", indent, name) + strings.Join(lines, "\n"+strings.Repeat(" ", indent+gap))
}

// wrap breaks lines that are longer; those that begin with a space stay as they are.
func wrap(text string, columns int) string {
	var b strings.Builder
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		if strings.HasPrefix(line, " ") {
			b.WriteString(line)
			continue
		}
		at := 0
		for j, word := range strings.Fields(line) {
			switch {
			case j == 0:
			case at+1+len(word) > columns:
				b.WriteByte('\n')
				at = 0
			default:
				b.WriteByte(' ')
				at++
			}
			b.WriteString(word)
			at += len(word)
		}
	}
	return b.String()
}
