package devstack_test

import (
	"bytes"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack"
)

// output keeps what a stack says.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// String returns it.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// password returns the one in a URL.
func password(t *testing.T, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	password, _ := u.User.Password()
	return password
}

// as returns the URL with another user.
func as(t *testing.T, text string, user *url.Userinfo) string {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	u.User = user
	return u.String()
}

// requireLocked: nobody gets in but with the passwords, which are in files that
// nobody else may read, and in nothing that is printed.
func requireLocked(t *testing.T, s *devstack.Stack, printed string) {
	t.Helper()
	for _, user := range []*url.Userinfo{url.User("postgres"), url.UserPassword("postgres", "postgres"), url.UserPassword("postgres", strings.Repeat("0", 64))} {
		_, err := pgx.Connect(t.Context(), as(t, s.DatabaseURL(), user))
		require.ErrorContains(t, err, "password authentication failed")
	}
	for _, user := range []*url.Userinfo{url.UserPassword("guest", "guest"), url.UserPassword("lanekeeper", "lanekeeper"), url.UserPassword("lanekeeper", "")} {
		_, err := amqp.Dial(as(t, s.RabbitMQURL(), user))
		require.ErrorIs(t, err, amqp.ErrCredentials)
	}
	require.NotContains(t, run(t, filepath.Join(s.Dir(), "bin", "rabbitmqctl"), "-q", "list_users"), "guest")
	require.Equal(t, "scram-sha-256\n", run(t, filepath.Join(s.Dir(), "bin", "psql"), "-Atc", "SELECT DISTINCT auth_method FROM pg_hba_file_rules"))
	require.Contains(t, run(t, filepath.Join(s.Dir(), "bin", "psql"), "-Atc", "SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'"), "SCRAM-SHA-256$")
	printed += strings.Join(s.Hints(), "\n")
	for _, secret := range []string{password(t, s.DatabaseURL()), password(t, s.RabbitMQURL())} {
		require.Len(t, secret, 64)
		require.NotContains(t, printed, secret)
		// What the servers log does not have it either.
		logs, err := filepath.Glob(filepath.Join(s.Dir(), "log", "*"))
		require.NoError(t, err)
		require.NotEmpty(t, logs)
		for _, log := range logs {
			text, err := os.ReadFile(log)
			require.NoError(t, err)
			require.NotContains(t, string(text), secret, log)
		}
	}
	for _, name := range []string{"postgres.password", "rabbitmq.password", "servers.env"} {
		info, err := os.Stat(filepath.Join(s.Dir(), name))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
	}
	require.NoFileExists(t, filepath.Join(s.Dir(), "postgres", "initdb.password"))
	// As the README says.
	out, err := exec.Command("/bin/sh", "-c", `. "$0" && echo "$DATABASE_URL $RABBITMQ_URL"`, s.EnvironmentFile()).Output()
	require.NoError(t, err)
	require.Equal(t, s.DatabaseURL()+" "+s.RabbitMQURL()+"\n", string(out))
}

// Servers have passwords of their own, and keep them and their ports: a URL that
// somebody noted is good the next time.
func TestPasswordsAndPortsAreKept(t *testing.T) {
	t.Parallel()
	var said output
	options := devstack.Options{Dir: openTempDir(t), Passwords: true, Progress: &said}
	first := startStack(t, options)
	requireLocked(t, first, said.String())
	database, broker := first.DatabaseURL(), first.RabbitMQURL()
	publishOne(t, broker)
	require.NoError(t, first.Stop(t.Context()))

	second := startStack(t, options)
	require.Equal(t, database, second.DatabaseURL())
	require.Equal(t, broker, second.RabbitMQURL())
	require.Equal(t, "kept", takeOne(t, second.RabbitMQURL()))
	require.NoError(t, second.Stop(t.Context()))

	// Somebody else has a port by now; a password got lost.
	u, err := url.Parse(database)
	require.NoError(t, err)
	other, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", u.Host)
	require.NoError(t, err)
	t.Cleanup(func() { _ = other.Close() })
	require.NoError(t, os.Remove(filepath.Join(second.Dir(), "postgres.password")))
	third := startStack(t, options)
	require.NotEqual(t, database, third.DatabaseURL())
	require.NotEqual(t, password(t, database), password(t, third.DatabaseURL()))
	require.Equal(t, broker, third.RabbitMQURL())
	require.Contains(t, said.String(), "port "+u.Port()+", which it had, is taken by another program")
	requireLocked(t, third, said.String())
}

// A directory of an earlier version, in which everybody was let in, is locked when
// it is started, and keeps its data.
func TestServersWithoutPasswordsGetThem(t *testing.T) {
	t.Parallel()
	var said output
	options := devstack.Options{Dir: openTempDir(t), Progress: &said}
	before := startStack(t, options)
	require.Empty(t, password(t, before.DatabaseURL()))
	inDatabase(t, before.DatabaseURL(), `CREATE TABLE kept (x int)`)
	publishOne(t, before.RabbitMQURL())
	require.NoError(t, before.Stop(t.Context()))

	options.Passwords = true
	for range 2 {
		after := startStack(t, options)
		inDatabase(t, after.DatabaseURL(), `INSERT INTO kept VALUES (1)`)
		requireLocked(t, after, said.String())
		require.NoError(t, after.Stop(t.Context()))
	}
	last := startStack(t, options)
	require.Equal(t, "kept", takeOne(t, last.RabbitMQURL()))
	require.Equal(t, "2\n", run(t, filepath.Join(last.Dir(), "bin", "psql"), "-Atc", "SELECT count(*) FROM kept"))
	require.Equal(t, 1, strings.Count(said.String(), "instead of guest"))
	require.Equal(t, 1, strings.Count(said.String(), "asks for a password from now on"))
}

// A file that was emptied is not taken for a password.
func TestBrokenPasswordFile(t *testing.T) {
	t.Parallel()
	dir := openTempDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "postgres.password"), []byte("\n"), 0o600))
	_, err := devstack.Start(t.Context(), devstack.Options{Dir: dir, Passwords: true})
	require.ErrorContains(t, err, "postgres.password: has no password")
	requireNoServers(t, dir)
}
