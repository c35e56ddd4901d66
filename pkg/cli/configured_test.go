package cli_test

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/cli"
	"lanekeeper/pkg/devstack/devtest"
)

// runFor runs a command with the configuration of the environment.
func runFor(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	err := cli.Run(context.WithoutCancel(t.Context()), cli.Options{In: strings.NewReader(""), Out: &out, Err: io.Discard}, args)
	return out.String(), err
}

// A command is asked for the settings that it needs, and no others.
//
//nolint:paralleltest // sets the environment
func TestCommandsAskForWhatTheyNeed(t *testing.T) {
	database := devtest.Postgres(t)
	t.Chdir(t.TempDir())
	for _, name := range []string{"RABBITMQ_URL", "REDIS_URL", "JWT_SECRET", "JWT_SECRETS", "DATABASE_ADMIN_URL", "LANEKEEPER_CONFIG", "ENVIRONMENT"} {
		t.Setenv(name, "")
	}
	t.Setenv("DATABASE_URL", database)
	t.Setenv("LANEKEEPER_PASSWORD", "correct horse battery")
	command := func(args ...string) error {
		_, err := runFor(t, args...)
		return err
	}
	for _, args := range [][]string{
		{"migrate", "status"}, {"migrate", "up"}, {"user", "add", "--email", "ann@example.com", "--role", "member"}, {"token", "--email", "ann@example.com"}, {"version"},
	} {
		require.NoError(t, command(args...), args)
	}
	for password, says := range map[string]string{"": "/password", "short": "at least 12 characters", "password1234": "easy to guess", "eve.adams@example.com": "easy to guess"} {
		err := command("user", "add", "--email", "eve.adams@example.com", "--password", password)
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "password1234")
	}
	require.ErrorContains(t, command("serve"), "rabbitmq.url (RABBITMQ_URL) must be set")
	require.ErrorContains(t, command("doctor"), "rabbitmq.url (RABBITMQ_URL) must be set")

	t.Setenv("ENVIRONMENT", "production")
	require.NoError(t, command("user", "add", "--email", "bob@example.com"), "needs no secret")
	require.NoError(t, command("migrate", "status"))
	require.ErrorContains(t, command("token", "--email", "bob@example.com"), "jwt_secret (JWT_SECRET)")
	t.Setenv("APP_PORT", "1") // where nobody listens
	require.ErrorContains(t, command("healthcheck"), "ask for readiness", "it asks for none of them")
	t.Setenv("STREAMS_MAX_CLIENTS", "0")
	t.Setenv("JWT_SECRET", "0123456789abcdef0123456789abcdef")
	require.NoError(t, command("token", "--email", "bob@example.com"))

	t.Setenv("DATABASE_URL", "")
	require.ErrorContains(t, command("migrate", "up"), "database.url (DATABASE_URL) must be set")
}

// What is wrong with the database's URL is said by commands, too, without secrets.
//
//nolint:paralleltest // sets the environment
func TestCommandsSayWhatIsWrong(t *testing.T) {
	url := devtest.Postgres(t)
	t.Chdir(t.TempDir())
	for _, name := range []string{"RABBITMQ_URL", "REDIS_URL", "JWT_SECRET", "JWT_SECRETS", "DATABASE_ADMIN_URL", "LANEKEEPER_CONFIG", "ENVIRONMENT"} {
		t.Setenv(name, "")
	}
	pooled := devtest.PgBouncer(t, url, "transaction")
	for _, c := range []struct{ url, says string }{
		{url + "&schema=hunter2", "search_path"},
		{url + "&nonsense=hunter2", `"nonsense"`},
		{"postgres://a:hunt#er2@h/d", "%23"},
		{pooled, "pool_mode = session"},
		{url[:len(url)-len("?sslmode=disable")] + "?sslmode=require", "takes no TLS"},
	} {
		for _, args := range [][]string{{"migrate", "up"}, {"user", "add", "--email", "a@example.com"}, {"token", "--email", "a@example.com"}} {
			t.Setenv("DATABASE_URL", c.url)
			_, err := runFor(t, args...)
			require.ErrorContains(t, err, c.says, args)
			require.NotContains(t, err.Error(), "er2", args)
		}
	}
}

// Users are added, listed, shut out and let in again, and get passwords, with nothing but
// the database.
//
//nolint:paralleltest // sets the environment
func TestUsers(t *testing.T) {
	database := devtest.Postgres(t)
	t.Chdir(t.TempDir())
	for _, name := range []string{"RABBITMQ_URL", "REDIS_URL", "JWT_SECRET", "JWT_SECRETS", "DATABASE_ADMIN_URL", "LANEKEEPER_CONFIG", "ENVIRONMENT"} {
		t.Setenv(name, "")
	}
	t.Setenv("DATABASE_URL", database)
	t.Setenv("LANEKEEPER_PASSWORD", "correct horse battery")
	command := func(args ...string) string {
		text, err := runFor(t, append([]string{"user"}, args...)...)
		require.NoError(t, err)
		return text
	}
	require.Regexp(t, `^\S{36} ann@example.com viewer\n$`, command("add", "--email", "ann@example.com", "--role", "viewer", "--name", "Ann"))
	require.Contains(t, command("list"), "viewer  active  ann@example.com  Ann")
	require.Contains(t, command("disable", "--email", "ann@example.com"), "disabled")
	require.Contains(t, command("list", "-o", "json"), `"disabled":true,"email":"ann@example.com"`)
	_, err := runFor(t, "token", "--email", "ann@example.com")
	require.Error(t, err)
	require.Contains(t, command("enable", "--email", "ann@example.com"), "enabled")
	_, err = runFor(t, "token", "--email", "ann@example.com")
	require.NoError(t, err)
	require.Contains(t, command("password", "--email", "ann@example.com", "--password", "another horse staple"), "has a new password")
	for says, args := range map[string][]string{
		"--email":       {"disable", "--email", "bob@example.com"},
		"12 characters": {"password", "--email", "ann@example.com", "--password", "short"},
		"easy to guess": {"password", "--email", "ann@example.com", "--password", "password1234"},
		"email_taken":   {"add", "--email", "ann@example.com"},
	} {
		_, err := runFor(t, append([]string{"user"}, args...)...)
		require.ErrorContains(t, err, says)
	}
}
