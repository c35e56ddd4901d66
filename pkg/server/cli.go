package server

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"

	"lanekeeper/config"
	"lanekeeper/domain"
)

// Sections returns the parts of the configuration that the subcommand which args
// name needs, as config.Config.Validate takes them: none for all of it.
func Sections(args []string) []string {
	if len(args) == 0 {
		return nil
	}
	switch args[0] {
	case "migrate", "user":
		return []string{"log", "database"}
	case "token":
		return []string{"log", "database", "app_name", "environment", "jwt_secret", "jwt_secrets", "jwt_lifetime"}
	case "encrypt":
		return []string{"log", "database", "encryption_keys"}
	case "healthcheck":
		return []string{"log", "app_host", "app_port"}
	case "version":
		return []string{"log"}
	}
	return nil
}

// Command runs the subcommand that args name; none means serve. It returns
// flag.ErrHelp when help was asked for and given.
func Command(ctx context.Context, c config.Config, log *slog.Logger, args []string, out io.Writer) error {
	name, rest := "serve", args
	if len(args) > 0 {
		name, rest = args[0], args[1:]
	}
	switch name {
	case "serve":
		redis.SetLogger(redisLog{log})
		s, err := New(c, log, out) //nolint:contextcheck // listening does not wait
		if err != nil {
			return err
		}
		return s.Run(ctx)
	case "migrate":
		return Migrate(ctx, c, strings.Join(rest, " "), out)
	case "user":
		if len(rest) == 0 || rest[0] != "add" {
			return fmt.Errorf("unknown command %q: user add", strings.TrimSpace("user "+strings.Join(rest, " ")))
		}
		return addUser(ctx, c, log, rest[1:], out)
	case "token":
		flags := flag.NewFlagSet("lanekeeper token", flag.ContinueOnError)
		email := flags.String("email", "", "`address` of the user")
		if err := flags.Parse(rest); err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		return IssueToken(ctx, c, log, *email, out)
	case "doctor":
		return doctor(ctx, c, log, rest, out)
	case "encrypt":
		return EncryptEndpoints(ctx, c, out)
	case "healthcheck":
		return CheckHealth(ctx, c)
	case "version":
		fmt.Fprintln(out, c.AppVersion)
		return nil
	}
	return fmt.Errorf("unknown command %q; see lanekeeper -h", name)
}

// addUser reads the flags of "user add". The password may come from the
// environment, so that it need not stand in the list of processes.
func addUser(ctx context.Context, c config.Config, log *slog.Logger, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("lanekeeper user add", flag.ContinueOnError)
	email := flags.String("email", "", "`address` to log in with")
	name := flags.String("name", "", "`name`; the address unless given")
	role := flags.String("role", string(domain.RoleMember), "viewer, member or admin")
	tenantID := flags.String("tenant", "", "`id` of the tenant the user belongs to")
	password := flags.String("password", os.Getenv("LANEKEEPER_PASSWORD"), "password; better in LANEKEEPER_PASSWORD")
	if err := flags.Parse(args); err != nil {
		return err //nolint:wrapcheck // says what is wrong
	}
	if *name == "" {
		*name = *email
	}
	return AddUser(ctx, c, log, domain.UserChange{Name: name, Email: email, Role: role, TenantID: tenantID, Password: password}, out)
}
