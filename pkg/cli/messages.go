package cli

import (
	"bufio"
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lanekeeper/pkg/cli/terminal"
	"lanekeeper/pkg/client"
)

const (
	formatLines   = "lines"
	formatPayload = "payload"

	// historyLimit is how many messages history prints unless said otherwise.
	historyLimit = 50
	// tailRetry is how long tail tries to reach a service at the beginning.
	tailRetry = 30 * time.Second
)

func messageOutput(c *cobra.Command, format *string) {
	oneOf(c.Flags(), format, "output", "o", "form of what is printed", formatLines, formatJSON, formatPayload)
}

func history(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "history", Short: "Print stored messages, the oldest first",
		Example: "lanekeeper history -t $TENANT --from 1001 --limit 100\nlanekeeper history -t $TENANT --newest --limit 5\nlanekeeper history -t $TENANT --limit 0 -o json > messages.ndjson",
	}
	conn := connect(c)
	conn.ofTenant(c, ofKey)
	var format string
	messageOutput(c, &format)
	from := c.Flags().Int64("from", 0, "`seq` of the first message to print; of the oldest that is kept unless given")
	limit := c.Flags().Int("limit", historyLimit, "how many at most; 0 for all")
	newest := c.Flags().Bool("newest", false, "the newest first")
	return calling(c, conn, func(ctx context.Context, cl *client.Client, _ []string) error {
		o := client.HistoryOptions{After: max(*from-1, 0), Limit: *limit, Descending: *newest}
		if *newest && *from > 0 {
			o.Before = *from + 1
		}
		_, err := printMessages(a, format, false, cl.History(ctx, o))
		return err
	})
}

func tail(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "tail", Short: "Follow messages as they are stored, until Ctrl-C",
		Long: "Follow messages as they are stored, until Ctrl-C. A connection that is lost is made anew, and\n" +
			"nothing is skipped or repeated, also when the service is started again meanwhile. At the end\n" +
			"it says how to go on.",
		Example: "lanekeeper tail -t $TENANT\nlanekeeper tail -t $TENANT --from 1 -o json | jq .payload",
	}
	conn := connect(c)
	conn.ofTenant(c, ofKey)
	conn.retryFor = tailRetry
	var format string
	messageOutput(c, &format)
	from := c.Flags().Int64("from", 0, "`seq` of the first message to print; the next one to be stored unless given")
	limit := c.Flags().Int("limit", 0, "how many messages to wait for; 0 for any number")
	conn.tellAttempts(note(a))
	return calling(c, conn, func(ctx context.Context, cl *client.Client, _ []string) error {
		o := client.StreamOptions{After: client.Now}
		if c.Flag("from").Changed {
			o.After = max(*from-1, 0)
		}
		seq, err := printMessages(a, format, true, first(*limit, cl.Stream(ctx, o)))
		if ctx.Err() != nil {
			if seq > 0 {
				note(a)("go on with --from %d", seq+1)
			}
			return nil // that is how it ends
		}
		return err
	})
}

// first yields at most so many; all when it is 0.
func first[T any](limit int, things iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		n := 0
		for thing, err := range things {
			if n++; !yield(thing, err) || n == limit {
				return
			}
		}
	}
}

// printMessages prints messages as they come, each at once when live. It returns the seq
// of the last one.
func printMessages(a *app, format string, live bool, messages iter.Seq2[client.Message, error]) (seq int64, err error) {
	screen := terminal.NewScreen(a.Out)
	out := bufio.NewWriter(a.Out)
	for m, err := range messages {
		if err != nil {
			if flushed := out.Flush(); flushed != nil {
				return seq, fmt.Errorf("print: %w", flushed)
			}
			return seq, err
		}
		switch format {
		case formatJSON:
			err = printJSON(out, &m)
		case formatPayload:
			_, err = fmt.Fprintf(out, "%s\n", shown(screen, string(m.Payload)))
		default:
			_, err = fmt.Fprintln(out, messageLine(screen, &m))
		}
		if err == nil && live {
			err = out.Flush()
		}
		if err != nil {
			return seq, fmt.Errorf("print: %w", err)
		}
		seq = m.Seq
	}
	if err := out.Flush(); err != nil {
		return seq, fmt.Errorf("print: %w", err)
	}
	return seq, nil
}

// messageLine is a message in a line that fits the screen.
func messageLine(screen terminal.Screen, m *client.Message) string {
	const clock = "15:04:05"
	parts := []string{fmt.Sprintf("%8d", m.Seq)}
	if screen.Width == 0 {
		parts = append(parts, timeOr(m.CreatedAt, ""))
	} else if screen.Width >= 60 {
		parts = append(parts, m.CreatedAt.Local().Format(clock))
	}
	if m.Type != "" {
		parts = append(parts, terminal.Clean(m.Type))
	}
	line := strings.Join(append(parts, terminal.Clean(string(m.Payload))), "  ")
	if screen.Width > 0 {
		line = terminal.Cut(line, screen.Width)
	}
	return line
}

// shown is text as it is, but on a terminal without what would control it.
func shown(screen terminal.Screen, text string) string {
	if screen.Width == 0 {
		return text
	}
	return terminal.Clean(text)
}
