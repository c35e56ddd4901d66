package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"lanekeeper/config"
	"lanekeeper/domain"
	"lanekeeper/pkg/cli/terminal"
	"lanekeeper/pkg/server"
)

// passwordVariable has a password that need not stand in the list of processes.
const passwordVariable = "LANEKEEPER_PASSWORD"

func userGroup(a *app) *cobra.Command {
	group := &cobra.Command{
		Use: "user", Short: "Add, list and disable users, and set passwords",
		Example: passwordVariable + "='correct horse battery' lanekeeper user add --email ann@example.com --role member\nlanekeeper user list",
	}
	group.AddCommand(userAdd(a), userList(a), userPassword(a), userDisabled(a, "disable", true), userDisabled(a, "enable", false))
	return group
}

func userAdd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "add", Short: "Add a user",
		Long:    "Add a user. The password is that in " + passwordVariable + ", or is asked for on a terminal.",
		Example: passwordVariable + "='correct horse battery' lanekeeper user add --email ann@example.com --role member",
	}
	flags := c.Flags()
	email := flags.String("email", "", "`address` to log in with")
	name := flags.String("name", "", "name; the address unless given")
	var role string
	oneOf(flags, &role, "role", "", "what the user may do", string(domain.RoleMember), string(domain.RoleViewer), string(domain.RoleAdmin))
	tenantID := flags.String("tenant", "", "`id` of the tenant the user belongs to")
	password := passwordFlag(c)
	require(c, "email")
	return configured(a, c, "log database", func(ctx context.Context, settings config.Config, log *slog.Logger, _ []string) error {
		if err := askPassword(a, c, password); err != nil {
			return err
		}
		if *name == "" {
			name = email
		}
		user, err := server.AddUser(ctx, settings, log, domain.UserChange{Name: name, Email: email, Role: &role, TenantID: tenantID, Password: password})
		if err != nil {
			return err //nolint:wrapcheck // says what it did
		}
		fmt.Fprintln(a.Out, user.ID, user.Email, user.Role)
		return nil
	})
}

func userList(a *app) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List all users", Example: "lanekeeper user list\nlanekeeper user list -o json"}
	var format string
	outputFlag(c, &format)
	return configured(a, c, "log database", func(ctx context.Context, settings config.Config, log *slog.Logger, _ []string) error {
		users, err := server.ListUsers(ctx, settings, log)
		if err != nil {
			return err //nolint:wrapcheck // says what it did
		}
		if format == formatJSON {
			return printLines(a.Out, users, userJSON)
		}
		table := terminal.NewTable(terminal.NewScreen(a.Out), terminal.Column{Name: "ID"}, terminal.Column{Name: "ROLE"}, terminal.Column{Name: "STATE"},
			terminal.Column{Name: "EMAIL", Cut: true}, terminal.Column{Name: "NAME", Cut: true}, terminal.Column{Name: "TENANT"})
		for i := range users {
			u := &users[i]
			state := "active"
			if u.Disabled() {
				state = "disabled"
			}
			table.Add(u.ID.String(), string(u.Role), state, u.Email, u.Name, idText(u.TenantID))
		}
		return table.Flush() //nolint:wrapcheck // of the output
	})
}

func userJSON(u *domain.User) any {
	line := map[string]any{
		"id": u.ID, "name": u.Name, "email": u.Email, "role": u.Role, "tenant_id": nil, "disabled": u.Disabled(), "created_at": u.CreatedAt.UTC(),
	}
	if u.TenantID != uuid.Nil {
		line["tenant_id"] = u.TenantID
	}
	return line
}

func userPassword(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "password", Short: "Set a user's password, which ends its tokens",
		Long:    "Set a user's password, which ends its tokens. The password is that in " + passwordVariable + ", or is asked for on a terminal.",
		Example: passwordVariable + "='correct horse battery' lanekeeper user password --email ann@example.com",
	}
	email := c.Flags().String("email", "", "`address` of the user")
	password := passwordFlag(c)
	require(c, "email")
	return configured(a, c, "log database", func(ctx context.Context, settings config.Config, log *slog.Logger, _ []string) error {
		if err := askPassword(a, c, password); err != nil {
			return err
		}
		user, err := server.ChangeUser(ctx, settings, log, *email, domain.UserChange{Password: password})
		if err != nil {
			return err //nolint:wrapcheck // says what it did
		}
		fmt.Fprintln(a.Out, user.ID, user.Email, "has a new password")
		return nil
	})
}

func userDisabled(a *app, name string, disabled bool) *cobra.Command {
	c := &cobra.Command{Use: name, Short: "Let a user log in again", Example: "lanekeeper user " + name + " --email ann@example.com"}
	if disabled {
		c.Short = "Shut a user out: it cannot log in, and its tokens and keys end"
	}
	email := c.Flags().String("email", "", "`address` of the user")
	require(c, "email")
	return configured(a, c, "log database", func(ctx context.Context, settings config.Config, log *slog.Logger, _ []string) error {
		user, err := server.ChangeUser(ctx, settings, log, *email, domain.UserChange{Disabled: &disabled})
		if err != nil {
			return err //nolint:wrapcheck // says what it did
		}
		fmt.Fprintln(a.Out, user.ID, user.Email, name+"d")
		return nil
	})
}

func tokenCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "token", Short: "Print a token for a user, without its password",
		Example: "TOKEN=$(lanekeeper token --email ann@example.com)",
	}
	email := c.Flags().String("email", "", "`address` of the user")
	require(c, "email")
	return configured(a, c, "log database app_name environment jwt_secret jwt_secrets jwt_lifetime",
		func(ctx context.Context, settings config.Config, log *slog.Logger, _ []string) error {
			token, err := server.IssueToken(ctx, settings, log, *email)
			if err != nil {
				return err //nolint:wrapcheck // says what it did
			}
			fmt.Fprintln(a.Out, token)
			return nil
		})
}

func passwordFlag(c *cobra.Command) *string {
	return c.Flags().String("password", "", "password; better in "+passwordVariable)
}

// askPassword sees to it that there is a password: that of the flag, of the
// environment, or what somebody types at a terminal.
func askPassword(a *app, c *cobra.Command, password *string) error {
	if c.Flag("password").Changed {
		return nil
	}
	if *password = os.Getenv(passwordVariable); *password != "" || !terminal.IsTerminal(a.In) {
		return nil
	}
	file, ok := a.In.(*os.File)
	if !ok {
		return nil
	}
	fmt.Fprint(a.Err, "Password: ")
	typed, err := term.ReadPassword(int(file.Fd()))
	fmt.Fprintln(a.Err)
	if err != nil {
		return fmt.Errorf("read the password: %w", err)
	}
	*password = string(typed)
	return nil
}

// errNotConfirmed is returned where somebody did not say yes.
var errNotConfirmed = errors.New("nothing was done")

// confirm asks on a terminal whether to go on. Where nobody can answer, --yes has to be
// given.
func confirm(a *app, c *cobra.Command, yes bool, format string, args ...any) error {
	if yes {
		return nil
	}
	if !terminal.IsTerminal(a.In) {
		return wrongUse(c, "nobody can be asked here: say --yes")
	}
	fmt.Fprint(a.Err, terminal.Clean(fmt.Sprintf(format, args...))+" [y/N] ")
	answer, err := bufio.NewReader(a.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errNotConfirmed
}
