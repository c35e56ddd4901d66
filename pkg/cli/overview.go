package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lanekeeper/pkg/cli/terminal"
	"lanekeeper/pkg/client"
	"lanekeeper/pkg/digits"
)

// staleAfter is how many seconds old an overview may be before that is printed: longer
// than the service takes between two looks at its database, unless that is away.
const staleAfter = 30

func overviewCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "overview", Short: "Print how all tenants do, and what needs attention",
		Long: "Print how all tenants do that the caller may see, and what needs attention, what most\n" +
			"messages wait for first. --tenants prints each tenant instead, what is worst first.",
		Example: "lanekeeper overview\nlanekeeper overview --tenants --sort backlog --limit 20\nlanekeeper overview --tenants --state fails -o json",
	}
	conn := connect(c)
	var format string
	outputFlag(c, &format)
	flags := c.Flags()
	tenants := flags.Bool("tenants", false, "print each tenant")
	var which client.ListTenantOverviews
	flags.StringVar(&which.Search, "search", "", "only tenants with this `text` in their name or external id, or at the beginning of their id")
	flags.StringVar(&which.State, "state", "", "only tenants in this `state`: flows, waits, fails, stopped, inactive, provisioning or deleting")
	oneOf(flags, &which.Sort, "sort", "", "order of tenants", "state", "created", "name", "backlog", "oldest", "rate", "stored", "lag", "dead_letters")
	limit := flags.Int("limit", 0, "how many tenants at most; 0 for all")
	return calling(c, conn, func(ctx context.Context, cl *client.Client, _ []string) error {
		for _, name := range []string{"search", "state", "sort", "limit"} {
			if c.Flag(name).Changed && !*tenants {
				return wrongUse(c, "--%s is for --tenants", name)
			}
		}
		if *tenants {
			return tenantOverviewView().list(a.Out, format, *limit, cl.Overviews.Tenants(ctx, which))
		}
		o, err := cl.Overviews.Get(ctx)
		if err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		if format == formatJSON {
			return printJSON(a.Out, o)
		}
		return printOverview(a.Out, o)
	})
}

// printOverview prints the numbers, and below them what needs attention.
func printOverview(out io.Writer, o *client.Overview) error {
	screen := terminal.NewScreen(out)
	t, e := &o.Tenants, &o.Endpoints
	fields := []terminal.Field{
		{Name: "status", Value: o.Status},
		{Name: "tenants", Value: counts(int64(t.Total), map[string]int64{
			"flow": int64(t.Flowing), "wait": int64(t.Waiting), "fail": int64(t.Failing), "stopped": int64(t.Stopped), "inactive": int64(t.Inactive),
			"provisioning": int64(t.Provisioning), "deleting": int64(t.Deleting),
		})},
		{Name: "waiting", Value: digits.Grouped(o.Backlog.Messages) + oldest(o.Backlog.OldestSeconds, ", the oldest for %s")},
		{Name: "stored", Value: digits.Grouped(o.StoredTotal)},
		{Name: "dead letters", Value: digits.Grouped(o.DeadLetters)},
		{Name: "endpoints", Value: counts(int64(e.Total), map[string]int64{
			"held": int64(e.Held), "disabled": int64(e.Disabled), "with an open breaker": int64(e.BreakerOpen), "messages behind": e.Lag,
		})},
	}
	if o.Replicas != nil {
		fields = append(fields, terminal.Field{Name: "replicas", Value: number(*o.Replicas)}, terminal.Field{Name: "version", Value: o.Version})
	}
	for _, name := range slices.Sorted(maps.Keys(o.Servers)) {
		fields = append(fields, terminal.Field{Name: name, Value: o.Servers[name]})
	}
	if o.AgeSeconds > staleAfter {
		fields = append(fields, terminal.Field{Name: "known", Value: seconds(o.AgeSeconds) + " ago: the database cannot be read"})
	}
	if err := screen.Record(fields...); err != nil {
		return err //nolint:wrapcheck // of the output
	}
	if len(o.Attention) == 0 {
		_, err := fmt.Fprint(screen, "\nNothing needs attention.\n")
		return err //nolint:wrapcheck // of the output
	}
	fmt.Fprintln(screen)
	for i := range o.Attention {
		if _, err := fmt.Fprintln(screen, terminal.Clean(o.Attention[i].Sentence)); err != nil {
			return err //nolint:wrapcheck // of the output
		}
	}
	return nil
}

// counts returns a number, and in brackets those of its parts that are not zero.
func counts(all int64, parts map[string]int64) string {
	var some []string
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		if n := parts[name]; n != 0 {
			some = append(some, digits.Grouped(n)+" "+name)
		}
	}
	if len(some) == 0 {
		return digits.Grouped(all)
	}
	return digits.Grouped(all) + " (" + strings.Join(some, ", ") + ")"
}

// oldest returns for how long something has waited, in a text; "" where that is not known.
func oldest(n *float64, format string) string {
	if n == nil {
		return ""
	}
	return fmt.Sprintf(format, seconds(*n))
}

// seconds returns a number of seconds as a duration: 3s, 2m5s.
func seconds(n float64) string {
	d := time.Duration(n * float64(time.Second))
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func tenantOverviewView() *view[client.TenantOverview] {
	return &view[client.TenantOverview]{
		columns: []terminal.Column{
			{Name: "ID"},
			{Name: "STATE"},
			{Name: "WORKERS", Right: true},
			{Name: "WAITING", Right: true},
			{Name: "OLDEST", Right: true},
			{Name: "STORED", Right: true},
			{Name: "PER SECOND", Right: true},
			{Name: "LETTERS", Right: true},
			{Name: "LAG", Right: true},
			{Name: "NAME", Cut: true},
		},
		row: func(t *client.TenantOverview) []string {
			waiting, rate := "", ""
			if t.Backlog != nil {
				waiting = digits.Grouped(*t.Backlog)
			}
			if t.Rate != nil {
				rate = strconv.FormatFloat(*t.Rate, 'f', 1, 64)
			}
			return []string{
				t.TenantID, t.State, fmt.Sprintf("%d/%d", t.Busy, t.Workers), waiting, oldest(t.OldestSeconds, "%s"), digits.Grouped(t.LastSeq), rate,
				digits.Grouped(t.DeadLetters), digits.Grouped(t.Lag), t.Name,
			}
		},
	}
}

func fleetCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "fleet", Short: "Print the replicas, and which tenants moved between them",
		Example: "lanekeeper fleet\nlanekeeper fleet --replica host-1c2d3e4f",
	}
	conn := connect(c)
	var format string
	outputFlag(c, &format)
	replica := c.Flags().String("replica", "", "print the tenants whose consumers the replica with this `id` runs")
	return calling(c, conn, func(ctx context.Context, cl *client.Client, _ []string) error {
		if *replica != "" {
			return tenantOverviewView().list(a.Out, format, 0, cl.Overviews.OfReplica(ctx, *replica))
		}
		f, err := cl.Overviews.Fleet(ctx)
		if err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		if format == formatJSON {
			return printJSON(a.Out, f)
		}
		return printFleet(a.Out, f)
	})
}

func printFleet(out io.Writer, f *client.Fleet) error {
	replicas := view[client.Replica]{
		columns: []terminal.Column{{Name: "REPLICA"}, {Name: "STATE"}, {Name: "TENANTS", Right: true}, {Name: "VERSION"}, {Name: "STARTED"}},
		row: func(r *client.Replica) []string {
			return []string{r.ID, r.State, number(r.Tenants), r.Version, timeOr(r.StartedAt, "")}
		},
	}
	if err := replicas.list(out, formatTable, 0, each(f.Replicas, nil)); err != nil || len(f.Moves) == 0 {
		return err
	}
	if _, err := fmt.Fprintln(out); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	moves := view[client.TenantMove]{
		columns: []terminal.Column{{Name: "MOVED"}, {Name: "FROM"}, {Name: "TO"}, {Name: "TENANT"}, {Name: "NAME", Cut: true}},
		row: func(m *client.TenantMove) []string {
			return []string{timeOr(m.At, ""), m.From, m.To, m.TenantID, m.TenantName}
		},
	}
	return moves.list(out, formatTable, 0, each(f.Moves, nil))
}
