package devtest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack"
)

const (
	// poolerStart is how long PgBouncer may take to listen, poolerStop to end.
	poolerStart = 10 * time.Second
	poolerStop  = 10 * time.Second
)

// PgBouncer starts PgBouncer in front of the database at databaseURL with the
// pool_mode session, transaction or statement, and returns the URL to use
// instead. It ends with the test. As root it runs as the user postgres.
func PgBouncer(t testing.TB, databaseURL, mode string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // which is on the path of root only
	}
	_, err = os.Stat(program)
	require.NoError(t, err, "not installed; run: scripts/install-servers.sh pgbouncer")
	server, err := pgx.ParseConfig(databaseURL)
	require.NoError(t, err)
	dir, err := devstack.TempDir()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dir.Remove()) })

	password := ""
	if server.Password != "" {
		password = " password='" + server.Password + "'"
	}
	port := freePort(t)
	// Nothing is listed that the server would have to ignore: this is all that the
	// documentation asks for.
	text := fmt.Sprintf(`[databases]
%s = host=%s port=%d user=%s%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = %s
default_pool_size = 100
max_client_conn = 500
`, server.Database, server.Host, server.Port, server.User, password, port, mode)
	path := filepath.Join(dir.Path(), "pgbouncer.ini")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644)) //nolint:gosec // read by another user; a test's server
	command := exec.Command(program, path)                      //nolint:gosec,noctx // ended by the clean-up
	command.Stdout, command.Stderr = t.Output(), t.Output()
	command.SysProcAttr = &syscall.SysProcAttr{Credential: postgresUser(t)}
	require.NoError(t, command.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = command.Wait() // a signal ends it
	}()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-ended:
		case <-time.After(poolerStop):
			_ = command.Process.Kill()
			<-ended
		}
	})
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	ctx, cancel := context.WithTimeout(t.Context(), poolerStart)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			require.NoError(t, conn.Close())
			break
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			require.NoError(t, err, "PgBouncer does not listen")
		}
	}
	return (&url.URL{Scheme: "postgres", User: url.User(server.User), Host: address, Path: "/" + server.Database, RawQuery: "sslmode=disable"}).String()
}

func freePort(t testing.TB) int {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	address, ok := listener.Addr().(*net.TCPAddr)
	require.True(t, ok)
	return address.Port
}

// postgresUser returns who runs PgBouncer, which refuses to run as root; nil for
// ourselves.
func postgresUser(t testing.TB) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	account, err := user.Lookup("postgres")
	require.NoError(t, err)
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	require.NoError(t, err)
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	require.NoError(t, err)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
