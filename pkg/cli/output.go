package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"lanekeeper/pkg/cli/terminal"
)

// The forms of what is printed.
const (
	formatTable = "table"
	formatJSON  = "json"
	formatID    = "id"
	formatURL   = "url"
)

// outputFlag defines -o, with forms besides the usual ones.
func outputFlag(c *cobra.Command, format *string, more ...string) {
	oneOf(c.Flags(), format, "output", "o", "form of what is printed", append([]string{formatTable, formatJSON}, more...)...)
}

// printLines prints one JSON document a line.
func printLines[T any](out io.Writer, list []T, line func(*T) any) error {
	for i := range list {
		if err := printJSON(out, line(&list[i])); err != nil {
			return err
		}
	}
	return nil
}

// printJSON prints a JSON document in one line.
func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// view is how things of a kind are printed.
type view[T any] struct {
	columns []terminal.Column
	row     func(*T) []string
	id      func(*T) string
	// fields are those of one, when it is printed alone.
	fields func(*T) []terminal.Field
}

// list prints at most limit things, or all when that is 0: as JSON one a line and as
// they come, else as a table.
func (v *view[T]) list(out io.Writer, format string, limit int, things iter.Seq2[T, error]) error {
	table := terminal.NewTable(terminal.NewScreen(out), v.columns...)
	n := 0
	for thing, err := range things {
		if err != nil {
			return err
		}
		switch format {
		case formatJSON:
			err = printJSON(out, &thing)
		case formatID:
			_, err = fmt.Fprintln(out, v.id(&thing))
		default:
			table.Add(v.row(&thing)...)
		}
		if err != nil {
			return err //nolint:wrapcheck // of the output
		}
		if n++; n == limit {
			break
		}
	}
	if format == formatTable {
		return table.Flush() //nolint:wrapcheck // of the output
	}
	return nil
}

// one prints one thing.
func (v *view[T]) one(out io.Writer, format string, thing *T) error {
	switch format {
	case formatJSON:
		return printJSON(out, thing)
	case formatID:
		_, err := fmt.Fprintln(out, v.id(thing))
		return err //nolint:wrapcheck // of the output
	}
	return terminal.NewScreen(out).Record(v.fields(thing)...) //nolint:wrapcheck // of the output
}

// each yields the things of a list.
func each[T any](list []T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if err != nil {
			yield(*new(T), err)
			return
		}
		for i := range list {
			if !yield(list[i], nil) {
				return
			}
		}
	}
}

func text[T any](value *T) string {
	if value == nil {
		return ""
	}
	return fmt.Sprint(*value)
}

func number[T int | int64](n T) string { return strconv.FormatInt(int64(n), 10) }

func moment(t *time.Time) string {
	if t == nil {
		return ""
	}
	return timeOr(*t, "")
}
