package cli

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"lanekeeper/config"
	"lanekeeper/domain"
	"lanekeeper/pkg/cli/terminal"
	"lanekeeper/pkg/server"
)

// auditLines is how many lines are printed unless said otherwise.
const auditLines = 100

func auditCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "audit", Short: "Print the newest lines of the audit log",
		Example: "lanekeeper audit --tenant $TENANT_ID\nlanekeeper audit --actor ann@example.com --action endpoint. -o json",
	}
	flags := c.Flags()
	tenant := flags.String("tenant", "", "only what is about the tenant of this `id`")
	actor := flags.String("actor", "", "only what the user of this `address` did")
	var q domain.AuditQuery
	flags.StringVar(&q.Action, "action", "", "only this `action`; with a dot at its end all that begin with it, such as endpoint.")
	flags.IntVar(&q.Limit, "limit", auditLines, "how many `lines` at most, up to 1000")
	flags.Int64Var(&q.Before, "before", 0, "only lines before the one of this `id`")
	asJSON := flags.Bool("json", false, "the same as -o json")
	var format string
	outputFlag(c, &format)
	return configured(a, c, "log database", func(ctx context.Context, settings config.Config, log *slog.Logger, _ []string) error {
		if *tenant != "" {
			var err error
			if q.TenantID, err = domain.ParseID(*tenant); err != nil {
				return fmt.Errorf("--tenant: %w", err)
			}
		}
		entries, err := server.ReadAudit(ctx, settings, log, q, *actor)
		if err != nil {
			return err //nolint:wrapcheck // says what it did
		}
		if *asJSON || format == formatJSON {
			return printLines(a.Out, entries, auditJSON)
		}
		table := terminal.NewTable(terminal.NewScreen(a.Out), terminal.Column{Name: "ID", Right: true}, terminal.Column{Name: "TIME"}, terminal.Column{Name: "ACTION"},
			terminal.Column{Name: "BY", Cut: true}, terminal.Column{Name: "ADDRESS"}, terminal.Column{Name: "TENANT"}, terminal.Column{Name: "TARGET", Cut: true})
		for i := range entries {
			e := &entries[i]
			table.Add(strconv.FormatInt(e.ID, 10), timeOr(e.At, ""), string(e.Action), actorText(e.Actor), e.Actor.Address, idText(e.TenantID), e.Target)
		}
		return table.Flush() //nolint:wrapcheck // of the output
	})
}

// actorText returns the kind of an actor, and the user where there is one.
func actorText(a domain.Actor) string {
	if a.UserID == uuid.Nil {
		return string(a.Kind)
	}
	return string(a.Kind) + " " + a.UserID.String()
}

func auditJSON(e *domain.AuditEntry) any {
	dash := func(id uuid.UUID) string {
		if id == uuid.Nil {
			return "-"
		}
		return id.String()
	}
	return map[string]any{
		"id": e.ID, "at": e.At, "action": e.Action, "by": e.Actor.Kind, "user_id": dash(e.Actor.UserID), "key_id": dash(e.Actor.KeyID), "portal_link_id": dash(e.Actor.LinkID),
		"address": e.Actor.Address, "tenant_id": dash(e.TenantID), "target": e.Target, "request_id": e.RequestID, "before": e.Before, "after": e.After,
	}
}
