package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageError is about how a command was called.
type usageError struct {
	command string
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func wrongUse(c *cobra.Command, format string, args ...any) error {
	return &usageError{c.CommandPath(), fmt.Errorf(format, args...)} //nolint:err113 // says what is wrong
}

// checkArguments compares the arguments with those that Use names: NAME must be
// there, [NAME] may, and [NAME...] may be several.
func checkArguments(c *cobra.Command, args []string) error {
	expected := strings.Fields(c.Use)[1:]
	several := len(expected) > 0 && strings.HasSuffix(expected[len(expected)-1], "...]")
	for i, name := range expected {
		if i >= len(args) && !strings.HasPrefix(name, "[") {
			return wrongUse(c, "%s is missing", name)
		}
		if i < len(args) && args[i] == "" {
			return wrongUse(c, "%s is empty", strings.Trim(name, "[]"))
		}
	}
	if len(args) > len(expected) && !several {
		return wrongUse(c, "unexpected argument %q", args[len(expected)])
	}
	return nil
}

// unknownCommand refuses what is no command below c.
func unknownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if similar := c.SuggestionsFor(args[0]); len(similar) > 0 {
		return wrongUse(c, "unknown command %q; is it %s?", args[0], strings.Join(similar, " or "))
	}
	return wrongUse(c, "unknown command %q", args[0])
}

// flagError says what is wrong with flags, and how long ones are written.
func flagError(c *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		if name, _, _ := strings.Cut(unknown.GetSpecifiedShortnames(), "="); c.Flag(name) != nil {
			return wrongUse(c, "unknown flag -%s; write --%s", name, name)
		}
	}
	return wrongUse(c, "%w", err)
}

// require marks flags without which the command does nothing.
func require(c *cobra.Command, flags ...string) {
	check := c.Args
	if check == nil {
		check = checkArguments
	}
	c.Args = func(c *cobra.Command, args []string) error {
		for _, name := range flags {
			if f := c.Flag(name); f.Value.String() == "" {
				return wrongUse(c, "--%s is missing", name)
			}
		}
		return check(c, args)
	}
	for _, name := range flags {
		f := c.Flag(name)
		f.Usage += " (required)"
	}
}

// choice is a flag with one of several values.
type choice struct {
	value   *string
	choices []string
}

// oneOf defines a flag with one of several values, of which the first is the default.
func oneOf(flags *pflag.FlagSet, value *string, name, short, usage string, choices ...string) {
	*value = choices[0]
	flags.VarP(&choice{value, choices}, name, short, usage+": "+strings.Join(choices, ", "))
}

func (c *choice) String() string { return *c.value }
func (c *choice) Type() string   { return "word" }

func (c *choice) Set(text string) error {
	if !slices.Contains(c.choices, text) {
		return fmt.Errorf("must be %s", strings.Join(c.choices, " or ")) //nolint:err113 // says what is wrong
	}
	*c.value = text
	return nil
}
