package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"lanekeeper/pkg/cli/terminal"
	"lanekeeper/pkg/client"
)

func endpointView() *view[client.Endpoint] {
	state := func(e *client.Endpoint) string {
		switch {
		case e.StatusReason != "":
			return e.Status + ": " + e.StatusReason
		case e.Breaker.Open:
			return e.Status + ", breaker open"
		}
		return e.Status
	}
	return &view[client.Endpoint]{
		columns: []terminal.Column{{Name: "ID"}, {Name: "STATUS"}, {Name: "LAG", Right: true}, {Name: "URL", Cut: true}},
		row:     func(e *client.Endpoint) []string { return []string{e.ID, state(e), number(e.Lag), e.URL} },
		id:      func(e *client.Endpoint) string { return e.ID },
		fields: func(e *client.Endpoint) []terminal.Field {
			fields := []terminal.Field{
				{Name: "id", Value: e.ID},
				{Name: "url", Value: e.URL},
				{Name: "description", Value: e.Description},
				{Name: "external id", Value: text(e.ExternalID)},
				{Name: "status", Value: state(e)},
				{Name: "lag", Value: number(e.Lag)},
				{Name: "settled", Value: number(e.SettledSeq)},
				{Name: "open", Value: number(e.Open)},
				{Name: "types", Value: fmt.Sprint(e.Types)},
				{Name: "concurrency", Value: text(e.Concurrency)},
				{Name: "rate", Value: number(e.Rate)},
				{Name: "ordering", Value: e.Ordering},
				{Name: "timeout", Value: number(e.TimeoutMS) + " ms"},
				{Name: "retries", Value: fmt.Sprint(e.Retry.Schedule)},
				{Name: "created", Value: timeOr(e.CreatedAt, "")},
			}
			if e.Secret != "" {
				fields = append(fields, terminal.Field{Name: "secret", Value: e.Secret})
			}
			return fields
		},
	}
}

func endpointGroup(a *app) *cobra.Command {
	group := &cobra.Command{
		Use: "endpoints", Short: "Manage where a tenant's messages are delivered to",
		Example: "lanekeeper endpoints create -t $TENANT https://example.com/hooks --types 'order.*'\nlanekeeper endpoints list -t $TENANT",
	}
	conn := connect(group)
	conn.ofTenant(group, "")
	type action = func(*client.Endpoints, context.Context, string) (*client.Endpoint, error)
	one := func(name, short string, act action) *cobra.Command {
		c := &cobra.Command{Use: name + " ID", Short: short, Example: "lanekeeper endpoints " + name + " -t $TENANT $ENDPOINT"}
		var format string
		outputFlag(c, &format)
		return calling(c, conn, func(ctx context.Context, cl *client.Client, args []string) error {
			e, err := act(cl.Endpoints, ctx, args[0])
			if err != nil {
				return err
			}
			return endpointView().one(a.Out, format, e)
		})
	}
	group.AddCommand(
		endpointList(a, conn), one("get", "Print an endpoint", (*client.Endpoints).Get),
		endpointCreate(a, conn), endpointUpdate(a, conn), endpointDelete(a, conn),
		one("hold", "Deliver nothing to an endpoint until it is resumed", (*client.Endpoints).Hold),
		one("resume", "Deliver to an endpoint again, from where it stopped", (*client.Endpoints).Resume),
		endpointSkip(a, conn), endpointTest(a, conn), endpointRotate(a, conn), endpointAttempts(a, conn),
	)
	return group
}

func endpointList(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List a tenant's endpoints", Example: "lanekeeper endpoints list -t $TENANT"}
	var format string
	outputFlag(c, &format, formatID)
	return calling(c, conn, func(ctx context.Context, cl *client.Client, _ []string) error {
		return endpointView().list(a.Out, format, 0, each(cl.Endpoints.List(ctx)))
	})
}

// endpointFlags are the settings of an endpoint.
type endpointFlags struct {
	url, description, externalID, ordering, onFailure, secret string

	types, schedule            []string
	final                      []int
	timeout, concurrency, rate int
	headers                    []string
}

func (e *endpointFlags) define(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&e.description, "description", "", "what is to be known of it")
	flags.StringVar(&e.externalID, "external-id", "", "a name of your own, unique in the tenant")
	flags.StringSliceVar(&e.types, "types", nil, "`patterns` of the types of messages that it gets, such as order.*; all unless given")
	flags.IntVar(&e.timeout, "timeout-ms", 0, "how many milliseconds it may take for its answer; 5000 unless given")
	flags.IntVar(&e.concurrency, "concurrency", 0, "how many deliveries at a time; as many as the tenant has workers unless given")
	flags.IntVar(&e.rate, "rate", 0, "how many deliveries a second; 0 for any number")
	flags.StringVar(&e.ordering, "ordering", "", "none, fifo or key; none unless given")
	flags.StringVar(&e.onFailure, "on-failure", "", "with fifo: block or skip")
	flags.StringSliceVar(&e.schedule, "retry", nil, "`pauses` before the next attempts, such as 5s,5m,30m")
	flags.IntSliceVar(&e.final, "final", nil, "`statuses` after which nothing is tried again, such as 404")
	flags.StringArrayVar(&e.headers, "header", nil, "header `name=value` to send along")
	flags.StringVar(&e.secret, "secret", "", "signing secret of your own, whsec_ and base64; one is made unless given")
}

func endpointCreate(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{
		Use: "create URL", Short: "Deliver a tenant's messages to a URL, and print the secret that signs them, this once",
		Example: "lanekeeper endpoints create -t $TENANT https://example.com/hooks\nlanekeeper endpoints create -t $TENANT https://example.com/hooks --types 'order.*' --ordering key --from-seq 1",
	}
	var e endpointFlags
	e.define(c)
	fromSeq := c.Flags().Int64("from-seq", 0, "`seq` of the message to begin with; the next one to be stored unless given")
	var format string
	outputFlag(c, &format, formatID)
	return calling(c, conn, func(ctx context.Context, cl *client.Client, args []string) error {
		headers, err := pairs(c, "header", e.headers)
		if err != nil {
			return err
		}
		n := client.CreateEndpoint{
			URL: args[0], Description: e.description, ExternalID: e.externalID, Types: e.types, TimeoutMS: e.timeout, Concurrency: e.concurrency,
			Rate: e.rate, Ordering: e.ordering, OnFailure: e.onFailure, Headers: headers, Secret: e.secret, FromSeq: *fromSeq,
		}
		if len(e.schedule) > 0 || len(e.final) > 0 {
			n.Retry = &client.Retry{Schedule: e.schedule, Final: e.final}
		}
		created, err := cl.Endpoints.Create(ctx, n)
		if err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		return endpointView().one(a.Out, format, created)
	})
}

func endpointUpdate(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{
		Use: "update ID", Short: "Change an endpoint; what is not given stays as it is",
		Long:    "Change an endpoint; what is not given stays as it is. An empty value, or 0, brings back the default.",
		Example: "lanekeeper endpoints update -t $TENANT $ENDPOINT --rate 10\nlanekeeper endpoints update -t $TENANT $ENDPOINT --types '' --to-url https://example.com/new",
	}
	var e endpointFlags
	e.define(c)
	c.Flags().StringVar(&e.url, "to-url", "", "where to deliver to from now on")
	var format string
	outputFlag(c, &format)
	return calling(c, conn, func(ctx context.Context, cl *client.Client, args []string) error {
		change, err := e.change(c)
		if err != nil {
			return err
		}
		changed, err := cl.Endpoints.Change(ctx, args[0], change)
		if err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		return endpointView().one(a.Out, format, changed)
	})
}

// change returns what the flags change.
func (e *endpointFlags) change(c *cobra.Command) (client.ChangeEndpoint, error) {
	var change client.ChangeEndpoint
	headers, err := pairs(c, "header", e.headers)
	if err != nil {
		return change, err
	}
	values := make(map[string]*string, len(headers))
	for name, value := range headers {
		values[name] = &value
	}
	retry := client.Set(client.Retry{Schedule: e.schedule, Final: e.final})
	if len(e.schedule) == 0 && len(e.final) == 0 {
		retry = client.Default[client.Retry]()
	}
	set := map[string]func(){
		"to-url":      func() { change.URL = &e.url },
		"description": func() { change.Description = &e.description },
		"ordering":    func() { change.Ordering = &e.ordering },
		"secret":      func() { change.Secret = &e.secret },
		"external-id": func() { change.ExternalID = optional(e.externalID) },
		"on-failure":  func() { change.OnFailure = optional(e.onFailure) },
		"timeout-ms":  func() { change.TimeoutMS = optional(e.timeout) },
		"concurrency": func() { change.Concurrency = optional(e.concurrency) },
		"rate":        func() { change.Rate = optional(e.rate) },
		"retry":       func() { change.Retry = retry },
		"final":       func() { change.Retry = retry },
		"header":      func() { change.Headers = client.Set(values) },
		"types": func() {
			change.Types = client.Set(e.types)
			if len(e.types) == 0 {
				change.Types = client.Default[[]string]()
			}
		},
	}
	said := false
	for name, apply := range set {
		if c.Flag(name).Changed {
			apply()
			said = true
		}
	}
	if !said {
		return change, wrongUse(c, "say what to change")
	}
	return change, nil
}

// optional returns a field that is to have this value, or its default for the zero
// one.
func optional[T comparable](value T) client.Optional[T] {
	if value == *new(T) {
		return client.Default[T]()
	}
	return client.Set(value)
}

func endpointDelete(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{
		Use: "delete ID", Short: "Delete an endpoint, and what was still to be delivered to it",
		Example: "lanekeeper endpoints delete -t $TENANT $ENDPOINT --yes",
	}
	yes := yesFlag(c)
	return calling(c, conn, func(ctx context.Context, cl *client.Client, args []string) error {
		if err := confirm(a, c, *yes, "Delete endpoint %s?", args[0]); err != nil {
			return err
		}
		if err := cl.Endpoints.Delete(ctx, args[0]); err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		fmt.Fprintln(a.Out, args[0], "deleted")
		return nil
	})
}

func endpointSkip(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{
		Use: "skip ID", Short: "Give up the message that blocks an endpoint with ordering fifo",
		Example: "lanekeeper endpoints skip -t $TENANT $ENDPOINT",
	}
	var format string
	outputFlag(c, &format)
	return calling(c, conn, func(ctx context.Context, cl *client.Client, args []string) error {
		letter, err := cl.Endpoints.Skip(ctx, args[0])
		if err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		return letterView().one(a.Out, format, letter)
	})
}

func endpointTest(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{
		Use: "test ID", Short: "Send a test message to an endpoint, and print what it answers",
		Example: "lanekeeper endpoints test -t $TENANT $ENDPOINT",
	}
	var format string
	outputFlag(c, &format)
	return calling(c, conn, func(ctx context.Context, cl *client.Client, args []string) error {
		got, err := cl.Endpoints.Test(ctx, args[0])
		switch {
		case err != nil:
			return err //nolint:wrapcheck // says what is wrong
		case format == formatJSON:
			err = printJSON(a.Out, got)
		default:
			err = terminal.NewScreen(a.Out).Record(
				terminal.Field{Name: "status", Value: text(got.Status)}, terminal.Field{Name: "took", Value: number(got.DurationMS) + " ms"},
				terminal.Field{Name: "error", Value: got.Error}, terminal.Field{Name: "answer", Value: text(got.Text)})
		}
		if err == nil && got.Error != "" {
			err = fmt.Errorf("the endpoint did not take the message: %s", got.Error) //nolint:err113 // says what is wrong
		}
		return err //nolint:wrapcheck // of the output
	})
}

func endpointRotate(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{
		Use: "rotate-secret ID", Short: "Give an endpoint another secret, and print it, this once",
		Example: "lanekeeper endpoints rotate-secret -t $TENANT $ENDPOINT --grace 48h",
	}
	const grace = 24 * time.Hour
	overlap := c.Flags().Duration("grace", grace, "for how long the secret before signs along")
	secret := c.Flags().String("secret", "", "one of your own, whsec_ and base64; one is made unless given")
	var format string
	outputFlag(c, &format)
	return calling(c, conn, func(ctx context.Context, cl *client.Client, args []string) error {
		e, err := cl.Endpoints.RotateSecret(ctx, args[0], *overlap, *secret)
		if err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		if format == formatJSON {
			return printJSON(a.Out, e)
		}
		fmt.Fprintln(a.Out, e.Secret)
		return nil
	})
}

func endpointAttempts(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{
		Use: "attempts ID", Short: "List attempts to deliver to an endpoint, the newest first",
		Example: "lanekeeper endpoints attempts -t $TENANT $ENDPOINT --status failed",
	}
	status := c.Flags().String("status", "", "only failed or succeeded ones")
	limit := c.Flags().Int("limit", historyLimit, "how many at most; 0 for all")
	var format string
	outputFlag(c, &format)
	v := view[client.Attempt]{
		columns: []terminal.Column{{Name: "TIME"}, {Name: "SEQ", Right: true}, {Name: "TRY", Right: true}, {Name: "STATUS", Right: true}, {Name: "MS", Right: true}, {Name: "ERROR", Cut: true}},
		row: func(at *client.Attempt) []string {
			return []string{timeOr(at.At, ""), number(at.Seq), number(at.Number), text(at.Status), number(at.DurationMS), at.Error}
		},
	}
	return calling(c, conn, func(ctx context.Context, cl *client.Client, args []string) error {
		return v.list(a.Out, format, *limit, cl.Endpoints.Attempts(ctx, args[0], client.AttemptOptions{Status: *status}))
	})
}
