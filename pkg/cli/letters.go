package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"lanekeeper/pkg/cli/terminal"
	"lanekeeper/pkg/client"
	"lanekeeper/pkg/digits"
)

func letterView() *view[client.DeadLetter] {
	body := func(l *client.DeadLetter) string {
		if l.BodyBase64 != nil {
			return "base64:" + *l.BodyBase64
		}
		return string(l.Body)
	}
	id := func(l *client.DeadLetter) string { return number(l.ID) }
	return &view[client.DeadLetter]{
		columns: []terminal.Column{{Name: "ID", Right: true}, {Name: "TIME"}, {Name: "REASON"}, {Name: "ATTEMPTS", Right: true}, {Name: "ERROR", Cut: true}, {Name: "BODY", Cut: true}},
		row: func(l *client.DeadLetter) []string {
			return []string{id(l), timeOr(l.CreatedAt, ""), l.Reason, number(l.Attempts), l.Error, body(l)}
		},
		id: id,
		fields: func(l *client.DeadLetter) []terminal.Field {
			return []terminal.Field{
				{Name: "id", Value: id(l)},
				{Name: "message", Value: l.MessageID},
				{Name: "reason", Value: l.Reason},
				{Name: "error", Value: l.Error},
				{Name: "attempts", Value: number(l.Attempts)},
				{Name: "endpoint", Value: text(l.EndpointID)},
				{Name: "seq", Value: text(l.Seq)},
				{Name: "type", Value: l.Type},
				{Name: "ordering key", Value: l.OrderingKey},
				{Name: "time", Value: timeOr(l.CreatedAt, "")},
				{Name: "replayed", Value: moment(l.ReplayedAt)},
				{Name: "body", Value: body(l)},
			}
		},
	}
}

func letterGroup(a *app) *cobra.Command {
	group := &cobra.Command{
		Use: "dead-letters", Short: "List, replay and purge messages that were given up",
		Example: "lanekeeper dead-letters list -t $TENANT\nlanekeeper dead-letters replay -t $TENANT --all",
	}
	conn := connect(group)
	conn.ofTenant(group, ofKey)
	group.AddCommand(letterList(a, conn), letterShow(a, conn), letterReplay(a, conn), letterPurge(a, conn))
	return group
}

// filter defines the flags of a client.DeadLetterFilter, and returns what reads them.
func filter(c *cobra.Command) func() (client.DeadLetterFilter, error) {
	flags := c.Flags()
	reason := flags.String("reason", "", "only with this reason, such as delivery_failed")
	endpoint := flags.String("endpoint", "", "only of this endpoint")
	from := flags.String("from", "", "only recorded at this `time`, as RFC 3339 has it, or later")
	to := flags.String("to", "", "only recorded before this `time`")
	return func() (client.DeadLetterFilter, error) {
		f := client.DeadLetterFilter{Reason: *reason, EndpointID: *endpoint}
		var err error
		if f.From, err = timeFlag(c, "from", *from); err != nil {
			return f, err
		}
		f.To, err = timeFlag(c, "to", *to)
		return f, err
	}
}

// timeFlag reads a flag with a time; "" is the zero one.
func timeFlag(c *cobra.Command, name, value string) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return at, wrongUse(c, "--%s must be a time such as 2026-11-21T10:00:00Z, not %q", name, value)
	}
	return at, nil
}

func letterList(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List dead letters, the oldest first",
		Example: "lanekeeper dead-letters list -t $TENANT\nlanekeeper dead-letters list -t $TENANT --reason delivery_failed -o json",
	}
	read := filter(c)
	var format string
	outputFlag(c, &format, formatID)
	replayed := c.Flags().Bool("replayed", false, "those that were replayed, too")
	limit := c.Flags().Int("limit", historyLimit, "how many at most; 0 for all")
	return calling(c, conn, func(ctx context.Context, cl *client.Client, _ []string) error {
		f, err := read()
		if err != nil {
			return err
		}
		letters := cl.DeadLetters.List(ctx, client.ListDeadLetters{DeadLetterFilter: f, Replayed: *replayed})
		return letterView().list(a.Out, format, *limit, letters)
	})
}

func letterShow(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{Use: "show ID", Short: "Print a dead letter with its body", Example: "lanekeeper dead-letters show -t $TENANT 17"}
	var format string
	outputFlag(c, &format)
	return calling(c, conn, func(ctx context.Context, cl *client.Client, args []string) error {
		ids, err := letterIDs(c, args)
		if err != nil {
			return err
		}
		l, err := cl.DeadLetters.Get(ctx, ids[0])
		if err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		return letterView().one(a.Out, format, l)
	})
}

// selection defines the flags that say which letters, and returns what reads them.
func selection(c *cobra.Command) func(args []string) (client.SelectDeadLetters, error) {
	all := c.Flags().Bool("all", false, "all that there are")
	read := filter(c)
	return func(args []string) (client.SelectDeadLetters, error) {
		var which client.SelectDeadLetters
		f, err := read()
		if err != nil {
			return which, err
		}
		if which.IDs, err = letterIDs(c, args); err != nil {
			return which, err
		}
		which.All = *all
		if f != (client.DeadLetterFilter{}) {
			which.Filter = &f
		}
		said := 0
		for _, one := range []bool{len(args) > 0, *all, which.Filter != nil} {
			if one {
				said++
			}
		}
		if said != 1 {
			return which, wrongUse(c, "say which letters: ids, --all, or filters such as --reason")
		}
		return which, nil
	}
}

func letterIDs(c *cobra.Command, args []string) ([]int64, error) {
	ids := make([]int64, len(args))
	for i, text := range args {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, wrongUse(c, "%q is no id of a dead letter, which is a number", text)
		}
		ids[i] = id
	}
	return ids, nil
}

func letterReplay(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{
		Use: "replay [ID...]", Short: "Send dead letters again",
		Long:    "Send dead letters again; they keep their ids, so that none is stored twice. What is about more\nthan 1,000 goes on in the service, and is followed.",
		Example: "lanekeeper dead-letters replay -t $TENANT 17 18\nlanekeeper dead-letters replay -t $TENANT --reason delivery_failed",
	}
	which := selection(c)
	return calling(c, conn, func(ctx context.Context, cl *client.Client, args []string) error {
		selected, err := which(args)
		if err != nil {
			return err
		}
		got, err := cl.DeadLetters.Replay(ctx, selected)
		if err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		if got.JobID != "" {
			return followJob(ctx, a, cl, got.JobID, "replayed")
		}
		fmt.Fprintf(a.Out, "%s replayed, %s skipped\n", digits.Grouped(int64(got.Replayed)), digits.Grouped(int64(got.Skipped)))
		return nil
	})
}

func letterPurge(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{
		Use: "purge [ID...]", Short: "Delete dead letters for good",
		Example: "lanekeeper dead-letters purge -t $TENANT 17 18\nlanekeeper dead-letters purge -t $TENANT --all --yes",
	}
	which := selection(c)
	yes := yesFlag(c)
	return calling(c, conn, func(ctx context.Context, cl *client.Client, args []string) error {
		selected, err := which(args)
		if err != nil {
			return err
		}
		if err := confirm(a, c, *yes, "Delete these dead letters for good?"); err != nil {
			return err
		}
		got, err := cl.DeadLetters.Purge(ctx, selected)
		if err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		if got.JobID != "" {
			return followJob(ctx, a, cl, got.JobID, "deleted")
		}
		fmt.Fprintln(a.Out, digits.Grouped(got.Deleted), "deleted")
		return nil
	})
}

// stepEvery is how often it is asked how far long work has got.
const stepEvery = 500 * time.Millisecond

// follow shows how far long work has got until it is done. Step returns how far it is.
func follow(ctx context.Context, a *app, what string, step func() (done, total int64, ended bool, err error)) error {
	progress := terminal.NewProgress(a.Err, what)
	defer progress.End()
	tick := time.NewTicker(stepEvery)
	defer tick.Stop()
	for {
		done, total, ended, err := step()
		if err != nil || ended {
			return err
		}
		progress.Set(done, float64(done)/float64(max(total, 1)))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // nothing to add
		}
	}
}

// followJob shows how far a job is. Ctrl-C leaves it to the service.
func followJob(ctx context.Context, a *app, cl *client.Client, id, did string) error {
	var job *client.DeadLetterJob
	err := follow(ctx, a, "letters", func() (done, total int64, ended bool, err error) {
		if job, err = cl.DeadLetters.Job(ctx, id); err != nil {
			return 0, 0, false, err //nolint:wrapcheck // says what is wrong
		}
		return job.Done, job.Total, job.EndedAt != nil, nil
	})
	if ctx.Err() != nil {
		return fmt.Errorf("%w: the service goes on with job %s", errInterrupted, id)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "%s %s, %s skipped (%s)\n", digits.Grouped(job.Done-job.Skipped), did, digits.Grouped(job.Skipped), job.State)
	return nil
}
