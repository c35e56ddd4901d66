package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"lanekeeper/pkg/cli/terminal"
	"lanekeeper/pkg/client"
)

func explainCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "explain [TENANT]", Short: "Say why messages are not stored or not delivered, and what would help",
		Long: "Say why messages of a tenant are not stored or not delivered, and what would help; with\n" +
			"--message, where one message is, stored or not. The first line matters most.",
		Example: "lanekeeper explain $TENANT\nlanekeeper explain $TENANT --message $MESSAGE\nlanekeeper explain -t $TENANT -o json | jq .causes",
	}
	conn := connect(c)
	conn.ofTenant(c, ofKey)
	message := c.Flags().String("message", "", "only the message with this `id`")
	var format string
	outputFlag(c, &format)
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		if c.Flag("tenant").Changed && conn.tenant != args[0] {
			return wrongUse(c, "TENANT and --tenant name different tenants")
		}
		conn.tenant = args[0]
		return nil
	}
	return calling(c, conn, func(ctx context.Context, cl *client.Client, _ []string) error {
		if *message != "" {
			m, err := cl.ExplainMessage(ctx, *message)
			if err != nil {
				return err //nolint:wrapcheck // says what is wrong
			}
			return printExplanation(a.Out, format, m, &m.Explanation)
		}
		tenant, err := tenantToExplain(ctx, cl, conn.tenant)
		if err != nil {
			return err
		}
		e, err := cl.Tenants.Explain(ctx, tenant)
		if err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		return printExplanation(a.Out, format, e, e)
	})
}

// tenantToExplain returns the tenant that was named, else that of the caller.
func tenantToExplain(ctx context.Context, cl *client.Client, named string) (string, error) {
	if named != "" {
		return named, nil
	}
	me, err := cl.Me(ctx)
	switch {
	case err != nil:
		return "", err //nolint:wrapcheck // says what is wrong
	case me.TenantID == nil:
		return "", client.ErrNoTenant
	}
	return *me.TenantID, nil
}

// printExplanation prints what matters first, and then each cause with what helps.
func printExplanation(out io.Writer, format string, whole any, e *client.Explanation) error {
	if format == formatJSON {
		return printJSON(out, whole)
	}
	var b strings.Builder
	line := func(indent, text string) { fmt.Fprintf(&b, "%s%s\n", indent, terminal.Clean(text)) }
	line("", e.Sentence)
	for i := range e.Causes {
		c := &e.Causes[i]
		if c.Sentence != e.Sentence {
			line("", "- "+c.Sentence)
		}
		if c.Help != "" {
			line("  ", "-> "+c.Help)
		}
		for _, s := range c.Data.Sessions {
			line("  ", fmt.Sprintf("pid %d has %s locked: %s", s.PID, s.Locked, s.Query))
		}
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
