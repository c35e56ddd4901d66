package cli

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"lanekeeper/config"
	"lanekeeper/domain"
	"lanekeeper/pkg/cli/terminal"
	"lanekeeper/pkg/client"
	"lanekeeper/pkg/server"
)

const keySections = "log database environment jwt_secret jwt_secrets"

// whoseKeys is what the commands say of whose keys they are about.
const whoseKeys = "They call the service, as a user with a token ($" + tokenVariable + "): the keys are that user's,\n" +
	"or with --tenant those of a tenant that it manages. With --database they work on the database,\n" +
	"where there is nobody yet who could log in: --tenant or --owner say whose keys it is about."

func keyGroup(a *app) *cobra.Command {
	group := &cobra.Command{
		Use: "key", Short: "Make, list and revoke API keys",
		Long: "Make, list and revoke API keys.\n\n" + whoseKeys,
		Example: "KEY=$(lanekeeper key create --tenant $TENANT --name 'shop backend' --scopes publish,read --expires 90d)\n" +
			"lanekeeper key list --tenant $TENANT\n" +
			"KEY=$(lanekeeper key create --database --owner ann@example.com --name provisioner --scopes provision,read)",
	}
	conn := connect(group)
	conn.asUser = true
	group.AddCommand(keyCreate(a, conn), keyList(a, conn), keyRevoke(a, conn))
	return group
}

// keysOf defines the flags that say whose keys a command is about.
func keysOf(c *cobra.Command) *server.KeysOf {
	of := new(server.KeysOf)
	c.Flags().StringVarP(&of.Tenant, "tenant", "t", "", "`id` of the tenant, for keys of that tenant")
	c.Flags().StringVar(&of.Owner, "owner", "", "with --database: `address` of the user, for keys of that user for all its tenants; with --tenant, who makes it")
	return of
}

// keysBy returns the keys that a command is about, and works on as the caller.
func keysBy(cl *client.Client, of *server.KeysOf) *client.Keys {
	if of.Tenant == "" {
		return cl.Keys
	}
	return cl.ForTenant(of.Tenant).TenantKeys
}

func keyCreate(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{
		Use: "create", Aliases: []string{"add"}, Short: "Make an API key and print it, this once",
		Example: "lanekeeper key create --tenant $TENANT --name 'shop backend' --scopes publish,read --expires 90d\n" +
			"lanekeeper key create --name provisioner --scopes provision,read\n" +
			"lanekeeper key create --database --owner ann@example.com --name provisioner --scopes provision,read",
	}
	of := keysOf(c)
	name := c.Flags().String("name", "", "name of the key")
	scopes := c.Flags().StringSlice("scopes", []string{domain.ScopePublish.String(), domain.ScopeRead.String()}, "publish, read, manage, provision; with commas")
	expires := c.Flags().String("expires", "", "`time` as RFC 3339 has it, or days from now such as 90d; never unless given")
	printed := func(text string) error {
		_, err := fmt.Fprintln(a.Out, text) // and nothing else, so that scripts can take it
		return err                          //nolint:wrapcheck // of the output
	}
	return either(a, c, conn, keySections, func(ctx context.Context, settings config.Config, log *slog.Logger) error {
		text, err := server.AddKey(ctx, settings, log, *of, *name, *scopes, *expires)
		if err != nil {
			return err //nolint:wrapcheck // says what it did
		}
		return printed(text)
	}, func(ctx context.Context, cl *client.Client) error {
		wanted := client.CreateAPIKey{Name: *name, Scopes: *scopes}
		if *expires != "" {
			at, err := time.Parse(time.RFC3339, server.KeyExpiry(*expires, time.Now()))
			if err != nil {
				return wrongUse(c, "--expires: must be a time such as 2027-11-21T10:00:00Z, or days such as 90d")
			}
			wanted.ExpiresAt = &at
		}
		key, err := keysBy(cl, of).Create(ctx, wanted)
		if err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		return printed(key.Key)
	})
}

func keyList(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List API keys, and when each was used last", Example: "lanekeeper key list\nlanekeeper key list --tenant $TENANT -o json\nlanekeeper key list --database --tenant $TENANT"}
	of := keysOf(c)
	var format string
	outputFlag(c, &format)
	list := func(keys []domain.APIKey) error {
		if format == formatJSON {
			return printLines(a.Out, keys, keyJSON)
		}
		table := terminal.NewTable(terminal.NewScreen(a.Out), terminal.Column{Name: "ID"}, terminal.Column{Name: "SCOPES"},
			terminal.Column{Name: "EXPIRES"}, terminal.Column{Name: "LAST USED"}, terminal.Column{Name: "NAME", Cut: true})
		for i := range keys {
			k := &keys[i]
			table.Add(k.ID.String(), k.Scopes.String(), timeOr(k.ExpiresAt, "never"), timeOr(k.LastUsedAt, "never"), k.Name)
		}
		return table.Flush() //nolint:wrapcheck // of the output
	}
	return either(a, c, conn, keySections, func(ctx context.Context, settings config.Config, log *slog.Logger) error {
		keys, err := server.ListKeys(ctx, settings, log, *of)
		if err != nil {
			return err //nolint:wrapcheck // says what it did
		}
		return list(keys)
	}, func(ctx context.Context, cl *client.Client) error {
		keys, err := keysBy(cl, of).List(ctx)
		if err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		return list(fromAPI(keys))
	})
}

// fromAPI returns keys that were listed by the API as those of the database are.
func fromAPI(keys []client.APIKey) []domain.APIKey {
	list := make([]domain.APIKey, len(keys))
	id := func(text *string) uuid.UUID {
		if text == nil {
			return uuid.Nil
		}
		parsed, _ := uuid.Parse(*text) // the service's own
		return parsed
	}
	at := func(t *time.Time) time.Time {
		if t == nil {
			return time.Time{}
		}
		return *t
	}
	for i := range keys {
		k := &keys[i]
		list[i] = domain.APIKey{
			ID: id(&k.ID), Name: k.Name, TenantID: id(k.TenantID), OwnerID: id(k.UserID), Scopes: domain.ScopesNamed(k.Scopes),
			ExpiresAt: at(k.ExpiresAt), LastUsedAt: at(k.LastUsedAt), CreatedAt: k.CreatedAt,
		}
	}
	return list
}

func keyJSON(k *domain.APIKey) any {
	return map[string]any{
		"id": k.ID, "name": k.Name, "scopes": k.Scopes.String(), "tenant_id": optionalID(k.TenantID), "owner_id": optionalID(k.OwnerID),
		"expires_at": optionalTime(k.ExpiresAt), "last_used_at": optionalTime(k.LastUsedAt), "created_at": k.CreatedAt.UTC(),
	}
}

func keyRevoke(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{
		Use: "revoke", Short: "Revoke an API key",
		Example: "lanekeeper key revoke --id 01a2018a-37f9-71f2-a175-1348e3641bf0\n" +
			"lanekeeper key revoke --tenant $TENANT --id 01a2018a-37f9-71f2-a175-1348e3641bf0\n" +
			"lanekeeper key revoke --database --id 01a2018a-37f9-71f2-a175-1348e3641bf0",
	}
	id := c.Flags().String("id", "", "`id` of the key")
	tenant := c.Flags().StringP("tenant", "t", "", "`id` of the tenant, for a key of that tenant; admins and --database need none")
	require(c, "id")
	done := func() error {
		_, err := fmt.Fprintln(a.Out, *id, "revoked")
		return err //nolint:wrapcheck // of the output
	}
	return either(a, c, conn, keySections, func(ctx context.Context, settings config.Config, log *slog.Logger) error {
		if err := server.RevokeKey(ctx, settings, log, *id); err != nil {
			return err //nolint:wrapcheck // says what it did
		}
		return done()
	}, func(ctx context.Context, cl *client.Client) error {
		if err := keysBy(cl, &server.KeysOf{Tenant: *tenant}).Revoke(ctx, *id); err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		return done()
	})
}

// optionalID returns nil for none.
func optionalID(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

// optionalTime returns nil for the zero time.
func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func idText(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

// timeOr returns the time, or a word for the zero one.
func timeOr(t time.Time, word string) string {
	if t.IsZero() {
		return word
	}
	return t.UTC().Format(time.RFC3339)
}
