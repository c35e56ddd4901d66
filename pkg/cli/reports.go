package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lanekeeper/pkg/cli/terminal"
	"lanekeeper/pkg/client"
	"lanekeeper/pkg/digits"
)

func replayCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "replay ENDPOINT", Short: "Deliver a range of stored messages to an endpoint again",
		Long: "Deliver a range of stored messages to an endpoint again, and show how far that is. Ctrl-C\n" +
			"leaves it to the service, --cancel ID ends it.",
		Example: "lanekeeper replay -t $TENANT $ENDPOINT --from-seq 1 --to-seq 5000\nlanekeeper replay -t $TENANT $ENDPOINT --only failed --from 2026-11-21T10:00:00Z --dry-run",
	}
	conn := connect(c)
	conn.ofTenant(c, "")
	flags := c.Flags()
	var which client.ReplayRange
	flags.Int64Var(&which.FromSeq, "from-seq", 0, "`seq` of the first message")
	flags.Int64Var(&which.ToSeq, "to-seq", 0, "`seq` of the last message")
	from := flags.String("from", "", "only messages stored at this `time`, as RFC 3339 has it, or later")
	to := flags.String("to", "", "only messages stored at this `time` or before")
	flags.StringVar(&which.Only, "only", "", "failed for what was given up, or all")
	flags.StringSliceVar(&which.Types, "types", nil, "only messages of types with these `patterns`")
	flags.IntVar(&which.Rate, "rate", 0, "how many deliveries a second; 100 unless given")
	flags.BoolVar(&which.DryRun, "dry-run", false, "only count the messages")
	noWait := flags.Bool("no-wait", false, "do not wait for the end")
	cancel := flags.String("cancel", "", "end the replay with this `id`")
	var format string
	outputFlag(c, &format, formatID)
	return calling(c, conn, func(ctx context.Context, cl *client.Client, args []string) error {
		var err error
		if which.From, err = timeFlag(c, "from", *from); err != nil {
			return err
		}
		if which.To, err = timeFlag(c, "to", *to); err != nil {
			return err
		}
		var r *client.Replay
		if *cancel != "" {
			r, err = cl.Endpoints.CancelReplay(ctx, args[0], *cancel)
		} else {
			r, err = cl.Endpoints.Replay(ctx, args[0], which)
		}
		if err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		if r.EndedAt == nil && r.ID != "" && !*noWait {
			id := r.ID
			err = follow(ctx, a, "messages", func() (done, total int64, ended bool, err error) {
				if r, err = cl.Endpoints.GetReplay(ctx, args[0], id); err != nil {
					return 0, 0, false, err //nolint:wrapcheck // says what is wrong
				}
				return r.Done, r.Total, r.EndedAt != nil, nil
			})
			if ctx.Err() != nil {
				return fmt.Errorf("%w: the service goes on with replay %s", errInterrupted, id)
			}
			if err != nil {
				return err
			}
		}
		return replayView().one(a.Out, format, r)
	})
}

func replayView() *view[client.Replay] {
	return &view[client.Replay]{
		id: func(r *client.Replay) string { return r.ID },
		fields: func(r *client.Replay) []terminal.Field {
			return []terminal.Field{
				{Name: "id", Value: r.ID},
				{Name: "state", Value: r.State},
				{Name: "messages", Value: fmt.Sprintf("%s of %s", digits.Grouped(r.Done), digits.Grouped(r.Total))},
				{Name: "seq", Value: fmt.Sprintf("%d to %d", r.FromSeq, r.ToSeq)},
			}
		},
	}
}

func usageCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "usage", Short: "Print how many messages and bytes were stored, by day and tenant",
		Example: "lanekeeper usage --from 2026-11-01 --to 2026-11-30\nlanekeeper usage -t $TENANT -o json",
	}
	conn := connect(c)
	conn.ofTenant(c, "; all unless given")
	from := c.Flags().String("from", "", "first `day`, as 2026-11-01")
	to := c.Flags().String("to", "", "last `day`")
	var format string
	outputFlag(c, &format)
	v := view[client.UsageDay]{
		columns: []terminal.Column{{Name: "DAY"}, {Name: "TENANT"}, {Name: "MESSAGES", Right: true}, {Name: "BYTES", Right: true}},
		row: func(d *client.UsageDay) []string {
			return []string{d.Day, d.TenantID, digits.Grouped(d.Messages), digits.Grouped(d.Bytes)}
		},
	}
	return calling(c, conn, func(ctx context.Context, cl *client.Client, _ []string) error {
		return v.list(a.Out, format, 0, cl.Usage(ctx, client.UsageOptions{From: *from, To: *to, TenantID: conn.tenant}))
	})
}

func meCommand(a *app) *cobra.Command {
	c := &cobra.Command{Use: "me", Short: "Print who the caller is, and what it may have", Example: "lanekeeper me\nlanekeeper me -o json"}
	conn := connect(c)
	var format string
	outputFlag(c, &format)
	return calling(c, conn, func(ctx context.Context, cl *client.Client, _ []string) error {
		me, err := cl.Me(ctx)
		if err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		if format == formatJSON {
			return printJSON(a.Out, me)
		}
		fields := []terminal.Field{{Name: "url", Value: cl.URL()}, {Name: "user", Value: "the built-in admin of open mode"}, {Name: "role", Value: me.Role}, {Name: "tenant", Value: text(me.TenantID)}}
		switch {
		case me.User != nil:
			fields[1].Value = me.User.Email
		case me.Portal != nil:
			fields[1].Value = "a portal link, for " + strings.Join(me.Portal.Scopes, ",") + " until " + timeOr(me.Portal.ExpiresAt, "")
		}
		for _, name := range slices.Sorted(maps.Keys(me.Limits)) {
			fields = append(fields, terminal.Field{Name: name, Value: limit(me.Limits[name])})
		}
		return terminal.NewScreen(a.Out).Record(fields...) //nolint:wrapcheck // of the output
	})
}

func limit(n int) string {
	if n == 0 {
		return "any number"
	}
	return "at most " + digits.Grouped(int64(n))
}
