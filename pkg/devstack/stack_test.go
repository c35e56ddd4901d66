package devstack_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/pkg/devstack"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(ownerDirVariable); dir != "" {
		beOwner(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func TestStackKeepsItsData(t *testing.T) {
	t.Parallel()
	options := devstack.Options{Dir: openTempDir(t), Durable: true, Redis: true, Progress: t.Output()}
	first := startStack(t, options)

	_, err := devstack.Start(t.Context(), options)
	require.ErrorIs(t, err, devstack.ErrBusy)
	require.ErrorContains(t, err, strconv.Itoa(os.Getpid()))

	inDatabase(t, first.DatabaseURL(), `CREATE TABLE kept (x int)`)
	publishOne(t, first.RabbitMQURL())
	require.Contains(t, run(t, filepath.Join(first.Dir(), "bin", "psql"), "-Atc", "SELECT current_database()"), "lanekeeper")
	require.Contains(t, run(t, filepath.Join(first.Dir(), "bin", "rabbitmqctl"), "-q", "list_queues", "name"), "kept")
	require.NotEmpty(t, first.Hints())
	require.NotEmpty(t, first.RedisURL())
	require.NoError(t, first.Stop(t.Context()))
	require.NoError(t, first.Stop(t.Context()), "stopping twice")
	requireNoServers(t, first.Dir())

	second := startStack(t, options)
	inDatabase(t, second.DatabaseURL(), `INSERT INTO kept VALUES (1)`)
	require.Equal(t, "kept", takeOne(t, second.RabbitMQURL()))
	require.NoError(t, second.Stop(t.Context()))
	requireNoServers(t, second.Dir())
}

func TestStackTellsWhenAServerEnds(t *testing.T) {
	t.Parallel()
	s := startStack(t, devstack.Options{Dir: openTempDir(t)})
	pid := mainPID(t, s.Dir())
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	select {
	case err := <-s.Exited():
		require.ErrorContains(t, err, "postgres ended by itself")
	case <-time.After(30 * time.Second):
		require.Fail(t, "the end of PostgreSQL was not reported")
	}
	require.NoError(t, s.Stop(t.Context()))
}

// Nothing of what was killed is in the way of the next start, however long its end takes.
func TestWhatIsKilledIsGone(t *testing.T) {
	t.Parallel()
	dir, err := devstack.TempDir()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dir.Remove()) })
	pg := devstack.NewPostgres(devstack.Options{Dir: dir.Path()})
	t.Cleanup(pg.Kill)
	for range 3 {
		require.NoError(t, pg.Start(t.Context()))
		for range 40 {
			conn, err := pgx.Connect(t.Context(), pg.URL())
			require.NoError(t, err)
			t.Cleanup(func() { _ = conn.Close(context.Background()) })
		}
		below := devstack.Descendants(mainPID(t, dir.Path()))
		require.Greater(t, len(below), 40)
		pg.Kill()
		require.False(t, slices.ContainsFunc(below, devstack.Alive))
	}
}

// The owner is a second process that is killed with SIGKILL, so it can end
// nothing itself.
func TestServersOfAKilledOwnerDoNotStandInTheWay(t *testing.T) {
	t.Parallel()
	dir := openTempDir(t)
	owner := exec.Command(os.Args[0]) // killed below
	owner.Env = append(os.Environ(), ownerDirVariable+"="+dir)
	owner.Stderr = t.Output()
	out, err := owner.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, owner.Start())
	ready := make([]byte, len(ownerReady))
	_, err = out.Read(ready)
	require.NoError(t, err)
	require.Equal(t, ownerReady, string(ready))
	pid := mainPID(t, dir)
	// A frozen server cannot follow the kernel's signal at once, so it is
	// surely there still when the next start looks.
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	require.NoError(t, owner.Process.Kill())
	require.Error(t, owner.Wait())

	s := startStack(t, devstack.Options{Dir: dir, Progress: t.Output()})
	inDatabase(t, s.DatabaseURL(), `INSERT INTO kept VALUES (2)`)
	require.NoError(t, s.Stop(t.Context()))
	requireNoServers(t, dir)
}

func TestStartCanBeGivenUp(t *testing.T) {
	t.Parallel()
	dir := openTempDir(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := devstack.Start(ctx, devstack.Options{Dir: dir, Durable: true})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	requireNoServers(t, dir)

	s := startStack(t, devstack.Options{Dir: dir, Durable: true})
	require.NoError(t, s.Stop(t.Context()))
}

func TestNotInstalledErrorNamesTheCommand(t *testing.T) {
	t.Parallel()
	err := &devstack.NotInstalledError{Packages: []string{"postgresql", "rabbitmq-server"}}
	require.ErrorContains(t, err, "postgresql, rabbitmq-server")
	require.ErrorContains(t, err, err.Command())
}

const (
	ownerDirVariable = "DEVSTACK_TEST_OWNER_DIR"
	ownerReady       = "ready"
)

// beOwner is what the second process does.
func beOwner(dir string) {
	ctx := context.Background()
	s, err := devstack.Start(ctx, devstack.Options{Dir: dir, Durable: true, Progress: os.Stderr})
	if err != nil {
		panic(err)
	}
	conn, err := pgx.Connect(ctx, s.DatabaseURL())
	if err != nil {
		panic(err)
	}
	if _, err := conn.Exec(ctx, `CREATE TABLE kept (x int)`); err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString(ownerReady)
	select {}
}

func openTempDir(t *testing.T) string {
	t.Helper()
	// The Stack locks it, but not between two starts: TempDir's would be swept then.
	path, err := os.MkdirTemp("", "lanekeeper-stack-") //nolint:usetesting // the servers' accounts must get into it
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(path)) })
	return path
}

func startStack(t *testing.T, options devstack.Options) *devstack.Stack {
	t.Helper()
	s, err := devstack.Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.WithoutCancel(t.Context()))) })
	return s
}

func inDatabase(t *testing.T, url, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), statement)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
}

func publishOne(t *testing.T, url string) {
	t.Helper()
	withChannel(t, url, func(ch *amqp.Channel) {
		require.NoError(t, ch.Confirm(false))
		_, err := ch.QueueDeclare("kept", true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
		require.NoError(t, err)
		confirm, err := ch.PublishWithDeferredConfirmWithContext(t.Context(), "", "kept", true, false,
			amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("kept")})
		require.NoError(t, err)
		confirmed, err := confirm.WaitContext(t.Context())
		require.NoError(t, err)
		require.True(t, confirmed)
	})
}

func takeOne(t *testing.T, url string) (body string) {
	t.Helper()
	withChannel(t, url, func(ch *amqp.Channel) {
		require.Eventually(t, func() bool {
			d, ok, err := ch.Get("kept", true)
			body = string(d.Body)
			return err == nil && ok
		}, 20*time.Second, 50*time.Millisecond)
	})
	return body
}

func withChannel(t *testing.T, url string, do func(*amqp.Channel)) {
	t.Helper()
	conn, err := amqp.Dial(url)
	require.NoError(t, err)
	ch, err := conn.Channel()
	require.NoError(t, err)
	do(ch)
	require.NoError(t, conn.Close())
}

func mainPID(t *testing.T, dir string) int {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "postgres", "data", "postmaster.pid"))
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(first)
	require.NoError(t, err)
	return pid
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	require.NoError(t, err)
	return string(out)
}

// requireNoServers makes sure that no process names dir any more.
func requireNoServers(t *testing.T, dir string) {
	t.Helper()
	left, err := devstack.Leftovers(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}
