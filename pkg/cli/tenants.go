package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"lanekeeper/pkg/cli/terminal"
	"lanekeeper/pkg/client"
	"lanekeeper/pkg/digits"
)

func tenantView() *view[client.Tenant] {
	state := func(t *client.Tenant) string {
		if t.Stopped {
			return t.Status + ", stopped"
		}
		return t.Status
	}
	return &view[client.Tenant]{
		columns: []terminal.Column{{Name: "ID"}, {Name: "STATUS"}, {Name: "WORKERS", Right: true}, {Name: "NAME", Cut: true}},
		row:     func(t *client.Tenant) []string { return []string{t.ID, state(t), number(t.Workers), t.Name} },
		id:      func(t *client.Tenant) string { return t.ID },
		fields: func(t *client.Tenant) []terminal.Field {
			return []terminal.Field{
				{Name: "id", Value: t.ID},
				{Name: "name", Value: t.Name},
				{Name: "description", Value: t.Description},
				{Name: "status", Value: state(t)},
				{Name: "workers", Value: number(t.Workers)},
				{Name: "retention", Value: days(t.RetentionDays)},
				{Name: "owner", Value: text(t.UserID)},
				{Name: "external id", Value: text(t.ExternalID)},
				{Name: "metadata", Value: joined(t.Metadata)},
				{Name: "created", Value: timeOr(t.CreatedAt, "")},
			}
		},
	}
}

// joined returns metadata as text, by name.
func joined(metadata map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		fmt.Fprintf(&b, "%s=%s ", name, metadata[name])
	}
	return strings.TrimSuffix(b.String(), " ")
}

func days(n int) string {
	switch n {
	case 0:
		return "for ever"
	case 1:
		return "1 day"
	}
	return number(n) + " days"
}

func tenantGroup(a *app) *cobra.Command {
	group := &cobra.Command{
		Use: "tenants", Short: "Create, change and delete tenants, stop and start their consumers",
		Example: "TENANT=$(lanekeeper tenants create Acme -o id)\nlanekeeper tenants resize $TENANT 5\nlanekeeper tenants list",
	}
	conn := connect(group)
	group.AddCommand(
		tenantList(a, conn), tenantGet(a, conn), tenantCreate(a, conn), tenantApply(a, conn), tenantDelete(a, conn), tenantResize(a, conn),
		tenantConsumer(a, conn, "stop", "Stop a tenant's consumer; publishing goes on", (*client.Consumers).Stop),
		tenantConsumer(a, conn, "start", "Start a tenant's consumer again", (*client.Consumers).Start),
	)
	return group
}

func tenantList(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the tenants that the caller may see", Example: "lanekeeper tenants list\nlanekeeper tenants list --status inactive -o json"}
	var format string
	outputFlag(c, &format, formatID)
	var filter client.ListTenants
	c.Flags().StringVar(&filter.Status, "status", "", "only active or inactive ones, and so on")
	c.Flags().StringVar(&filter.ExternalID, "external-id", "", "only that with your own `id`")
	metadata := c.Flags().StringArray("metadata", nil, "only those with `name=value`; may be given several times")
	limit := c.Flags().Int("limit", 0, "how many at most; 0 for all")
	return calling(c, conn, func(ctx context.Context, cl *client.Client, _ []string) error {
		var err error
		if filter.Metadata, err = pairs(c, "metadata", *metadata); err != nil {
			return err
		}
		return tenantView().list(a.Out, format, *limit, cl.Tenants.List(ctx, filter))
	})
}

func tenantGet(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{Use: "get ID", Short: "Print a tenant", Example: "lanekeeper tenants get $TENANT"}
	var format string
	outputFlag(c, &format, formatID)
	return calling(c, conn, func(ctx context.Context, cl *client.Client, args []string) error {
		t, err := cl.Tenants.Get(ctx, args[0])
		if err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		return tenantView().one(a.Out, format, t)
	})
}

func tenantCreate(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{
		Use: "create NAME", Short: "Create a tenant, with a queue, a consumer and a partition of its own",
		Example: "lanekeeper tenants create Acme --workers 5\nTENANT=$(lanekeeper tenants create Acme -o id)",
	}
	var format string
	outputFlag(c, &format, formatID)
	description := c.Flags().String("description", "", "what is to be known of it")
	workers := c.Flags().Int("workers", 0, "how many messages may be in processing at a time, 1 to 100; 0 for as configured")
	retention := c.Flags().Int("retention-days", 0, "for how many days messages are kept, 0 for ever; as configured unless given")
	externalID := c.Flags().String("external-id", "", "your own id of it; ext:ID is the tenant then, wherever an id is asked for")
	metadata := c.Flags().StringArray("metadata", nil, "`name=value` to be kept with it; may be given 50 times")
	inactive := c.Flags().Bool("inactive", false, "without consuming and publishing, for now")
	return calling(c, conn, func(ctx context.Context, cl *client.Client, args []string) error {
		n := client.CreateTenant{Name: args[0], Description: *description, Workers: *workers, ExternalID: *externalID}
		var err error
		if n.Metadata, err = pairs(c, "metadata", *metadata); err != nil {
			return err
		}
		if c.Flag("retention-days").Changed {
			n.RetentionDays = retention
		}
		if *inactive {
			n.Status = client.TenantInactive
		}
		t, err := cl.Tenants.Create(ctx, n)
		if err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		return tenantView().one(a.Out, format, t)
	})
}

func tenantDelete(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{
		Use: "delete ID", Short: "Delete a tenant with its queue, its history and its endpoints",
		Example: "lanekeeper tenants delete $TENANT\nlanekeeper tenants delete $TENANT --yes",
	}
	yes := yesFlag(c)
	return calling(c, conn, func(ctx context.Context, cl *client.Client, args []string) error {
		if !*yes {
			t, err := cl.Tenants.Get(ctx, args[0])
			if err != nil {
				return err //nolint:wrapcheck // says what is wrong
			}
			if err := confirm(a, c, *yes, "Delete tenant %q with all its messages?", t.Name); err != nil {
				return err
			}
		}
		d, err := cl.Tenants.Delete(ctx, args[0])
		switch {
		case err != nil:
			return err //nolint:wrapcheck // says what is wrong
		case !d.Done:
			fmt.Fprintln(a.Out, args[0], "is being deleted")
		default:
			fmt.Fprintf(a.Out, "%s deleted; %s messages that were not stored are discarded\n", args[0], digits.Grouped(d.Discarded))
		}
		return nil
	})
}

func tenantResize(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{
		Use: "resize ID WORKERS", Short: "Change how many workers a tenant has, while they work",
		Example: "lanekeeper tenants resize $TENANT 5",
	}
	return calling(c, conn, func(ctx context.Context, cl *client.Client, args []string) error {
		workers, err := strconv.Atoi(args[1])
		if err != nil {
			return wrongUse(c, "WORKERS must be a number, not %q", args[1])
		}
		if err := cl.Tenants.SetWorkers(ctx, args[0], workers); err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		fmt.Fprintln(a.Out, args[0], "has", workers, "workers")
		return nil
	})
}

func tenantConsumer(a *app, conn *connection, name, short string, change func(*client.Consumers, context.Context, string) (*client.Consumer, error)) *cobra.Command {
	c := &cobra.Command{Use: name + " ID", Short: short, Example: "lanekeeper tenants " + name + " $TENANT"}
	var format string
	outputFlag(c, &format)
	return calling(c, conn, func(ctx context.Context, cl *client.Client, args []string) error {
		consumer, err := change(cl.Consumers, ctx, args[0])
		if err != nil {
			return err
		}
		if format == formatJSON {
			return printJSON(a.Out, consumer)
		}
		fmt.Fprintf(a.Out, "%s %s\n", consumer.TenantID, consumer.State)
		return nil
	})
}

// yesFlag defines --yes.
func yesFlag(c *cobra.Command) *bool {
	return c.Flags().Bool("yes", false, "do not ask")
}
