package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
)

// A command is asked for the settings that it needs, and no others.
//
//nolint:paralleltest // sets the environment
func TestCommandsAskForWhatTheyNeed(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"RABBITMQ_URL", "REDIS_URL", "JWT_SECRET", "JWT_SECRETS", "DATABASE_ADMIN_URL", "LANEKEEPER_CONFIG", "ENVIRONMENT"} {
		t.Setenv(name, "")
	}
	t.Setenv("DATABASE_URL", devtest.Postgres(t))
	t.Setenv("LANEKEEPER_PASSWORD", "correct horse")
	command := func(args ...string) error { return run(context.WithoutCancel(t.Context()), args) }
	for _, args := range [][]string{
		{"migrate", "status"}, {"migrate", "up"}, {"user", "add", "-email", "ann@example.com", "-role", "member"}, {"token", "-email", "ann@example.com"}, {"version"},
	} {
		require.NoError(t, command(args...), args)
	}
	require.ErrorContains(t, command("serve"), "rabbitmq.url (RABBITMQ_URL) must be set")
	require.ErrorContains(t, command("doctor"), "rabbitmq.url (RABBITMQ_URL) must be set")

	t.Setenv("ENVIRONMENT", "production")
	require.NoError(t, command("user", "add", "-email", "bob@example.com"), "needs no secret")
	require.NoError(t, command("migrate", "status"))
	require.ErrorContains(t, command("token", "-email", "bob@example.com"), "jwt_secret (JWT_SECRET)")
	t.Setenv("APP_PORT", "1") // where nobody listens
	require.ErrorContains(t, command("healthcheck"), "ask for readiness", "it asks for none of them")
	t.Setenv("STREAMS_MAX_CLIENTS", "0")
	t.Setenv("JWT_SECRET", "0123456789abcdef0123456789abcdef")
	require.NoError(t, command("token", "-email", "bob@example.com"))

	t.Setenv("DATABASE_URL", "")
	require.ErrorContains(t, command("migrate", "up"), "database.url (DATABASE_URL) must be set")
}

// What is wrong with the database's URL is said by commands, too, without secrets.
//
//nolint:paralleltest // sets the environment
func TestCommandsSayWhatIsWrong(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"RABBITMQ_URL", "REDIS_URL", "JWT_SECRET", "JWT_SECRETS", "DATABASE_ADMIN_URL", "LANEKEEPER_CONFIG", "ENVIRONMENT"} {
		t.Setenv(name, "")
	}
	url := devtest.Postgres(t)
	pooled := devtest.PgBouncer(t, url, "transaction")
	for _, c := range []struct{ url, says string }{
		{url + "&schema=hunter2", "search_path"},
		{url + "&nonsense=hunter2", `"nonsense"`},
		{"postgres://a:hunt#er2@h/d", "%23"},
		{pooled, "pool_mode = session"},
		{url[:len(url)-len("?sslmode=disable")] + "?sslmode=require", "takes no TLS"},
	} {
		for _, args := range [][]string{{"migrate", "up"}, {"user", "add", "-email", "a@example.com"}, {"token", "-email", "a@example.com"}} {
			t.Setenv("DATABASE_URL", c.url)
			err := run(context.WithoutCancel(t.Context()), args)
			require.ErrorContains(t, err, c.says, args)
			require.NotContains(t, err.Error(), "er2", args)
		}
	}
}
