package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lanekeeper/pkg/cli/terminal"
	"lanekeeper/pkg/client"
)

func portalLink(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "portal-link", Short: "Make a link to the console's pages of one tenant, or end all of them",
		Long: "Make a link to the console's pages of one tenant, which whoever opens it sees without\n" +
			"logging in, and print it. It may do what the caller may, within its scopes, and is kept\n" +
			"nowhere: with --revoke all links of the tenant end that were made until then.",
		Example: "lanekeeper portal-link -t $TENANT\nlanekeeper portal-link -t $TENANT --ttl 15m --scopes read,publish,manage -o json\nlanekeeper portal-link -t $TENANT --revoke",
	}
	conn := connect(c)
	conn.ofTenant(c, "")
	ttl := c.Flags().Duration("ttl", time.Hour, "for how long it lasts, 1m to 24h")
	scopes := c.Flags().StringSlice("scopes", []string{client.ScopeRead}, "read, publish, manage; with commas")
	revoke := c.Flags().Bool("revoke", false, "end all portal links of the tenant instead")
	var format string
	oneOf(c.Flags(), &format, "output", "o", "form of what is printed", formatURL, formatJSON, formatTable)
	return calling(c, conn, func(ctx context.Context, cl *client.Client, _ []string) error {
		if *revoke {
			if err := cl.Portal.RevokeLinks(ctx); err != nil {
				return err //nolint:wrapcheck // says what is wrong
			}
			_, err := fmt.Fprintln(a.Out, "all portal links of", cl.TenantID(), "have ended")
			return err //nolint:wrapcheck // of the output
		}
		if *ttl <= 0 {
			return wrongUse(c, "--ttl: must be from 1m to 24h")
		}
		link, err := cl.Portal.CreateLink(ctx, client.CreatePortalLink{TTL: *ttl, Scopes: *scopes})
		if err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		switch format {
		case formatJSON:
			return printJSON(a.Out, link)
		case formatTable:
			return terminal.NewScreen(a.Out).Record( //nolint:wrapcheck // of the output
				terminal.Field{Name: "url", Value: link.URL},
				terminal.Field{Name: "tenant", Value: link.TenantID},
				terminal.Field{Name: "scopes", Value: strings.Join(link.Scopes, ",")},
				terminal.Field{Name: "expires", Value: timeOr(link.ExpiresAt, "")},
			)
		}
		_, err = fmt.Fprintln(a.Out, link.URL) // and nothing else, so that scripts can take it
		return err                             //nolint:wrapcheck // of the output
	})
}
