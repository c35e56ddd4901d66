package env

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"lanekeeper/pkg/devstack"
	"lanekeeper/tests/chaos/wait"
)

// DatabaseLimit is how long a PostgreSQL server may take to start, to copy
// another one, and to be promoted.
const DatabaseLimit = 60 * time.Second

// DatabaseNode is a PostgreSQL server of a scenario's own: one on another host,
// or one of a primary and its standby. One goroutine at a time uses it.
type DatabaseNode struct {
	process

	port      int
	bin, data string
}

// NewDatabaseNode returns a server of a name, on a host or, without one, on this
// one. Nothing is started.
func NewDatabaseNode(e *Env, name string, on *Host) (*DatabaseNode, error) {
	// Its account can reach the servers' directory, but not the ledgers'.
	dir := filepath.Join(e.Shared.Dir.Path(), e.Name+"_"+name)
	bin, err := devstack.PostgresPrograms()
	if err != nil {
		return nil, fmt.Errorf("find PostgreSQL: %w", err)
	}
	ports, err := devstack.FreePorts(1)
	if err != nil {
		return nil, fmt.Errorf("find a port: %w", err)
	}
	n := &DatabaseNode{bin: bin, data: filepath.Join(dir, "data")}
	n.Program, n.port, n.LogFile, n.Environment = filepath.Join(bin, "postgres"), ports[0], filepath.Join(e.Dir, name+".log"), PlainEnvironment(dir)
	n.ip = "127.0.0.1"
	if on != nil {
		n.wrap, n.ip = on.wrap(), on.ip
	}
	if n.wrap, err = asPostgres(n.wrap, dir); err != nil {
		return nil, err
	}
	n.Arguments = []string{
		"-D", n.data, "-p", strconv.Itoa(n.port), "-h", n.ip, "-c", "unix_socket_directories=",
		"-c", "max_connections=300", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "wal_keep_size=512",
	}
	return n, nil
}

// asPostgres makes dir for the account that runs the server, which root cannot,
// and returns what becomes a program of that account.
func asPostgres(wrap []string, dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	if os.Geteuid() != 0 {
		return wrap, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("find the account of PostgreSQL: %w", err)
	}
	uid, uidErr := strconv.Atoi(account.Uid)
	gid, gidErr := strconv.Atoi(account.Gid)
	if err := errors.Join(uidErr, gidErr, os.Chown(dir, uid, gid)); err != nil {
		return nil, fmt.Errorf("give a directory to PostgreSQL: %w", err)
	}
	return append(wrap, "setpriv", "--reuid="+account.Uid, "--regid="+account.Gid, "--clear-groups", "--pdeathsig=KILL", "--"), nil
}

// tool runs one of PostgreSQL's programs as the server's account, on its host.
func (n *DatabaseNode) tool(ctx context.Context, name string, arguments ...string) error {
	ctx, cancel := context.WithTimeout(ctx, DatabaseLimit)
	defer cancel()
	line := append(append([]string{}, n.wrap...), append([]string{filepath.Join(n.bin, name)}, arguments...)...)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env, cmd.Dir = n.Environment, filepath.Dir(n.data)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(text)))
	}
	return nil
}

// Initialise makes an empty server that trusts every client that reaches it.
func (n *DatabaseNode) Initialise(ctx context.Context) error {
	err := n.tool(ctx, "initdb", "-D", n.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions", "--no-sync")
	if err != nil {
		return err
	}
	rules, err := os.OpenFile(filepath.Join(n.data, "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open pg_hba.conf: %w", err)
	}
	_, err = rules.WriteString("host all all all trust\nhost replication all all trust\n")
	return errors.Join(err, rules.Close())
}

// follow makes the node a copy of a primary that streams from it.
func (n *DatabaseNode) follow(ctx context.Context, primary *DatabaseNode) error {
	return n.tool(ctx, "pg_basebackup", "-D", n.data, "-h", primary.ip, "-p", strconv.Itoa(primary.port), "-U", "postgres",
		"--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync")
}

// Start starts the server and waits until it answers.
func (n *DatabaseNode) Start(ctx context.Context) error {
	if err := n.Launch(); err != nil {
		return err
	}
	return wait.Until(ctx, DatabaseLimit, "a database server is up", func() error {
		select {
		case <-n.ended:
			return fmt.Errorf("%w: %w", wait.ErrEnded, n.err)
		default:
		}
		return n.Do(ctx, "postgres", func(conn *pgx.Conn) error { return conn.Ping(ctx) })
	})
}

// Database makes an empty database.
func (n *DatabaseNode) Database(ctx context.Context, name string) error {
	return n.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE template0")
}

// URL is where the server has a database.
func (n *DatabaseNode) URL(database string) string { return databaseURL(database, n) }

// databaseURL names all these servers; the one that takes writes is used.
func databaseURL(database string, nodes ...*DatabaseNode) string {
	addresses := make([]string, len(nodes))
	for i, n := range nodes {
		addresses[i] = n.address(n.port)
	}
	u := "postgres://postgres@" + strings.Join(addresses, ",") + "/" + database + "?sslmode=disable"
	if len(nodes) > 1 {
		u += "&target_session_attrs=read-write"
	}
	return u
}

// Do runs work on a connection of its own, which may take 5 s to come.
func (n *DatabaseNode) Do(ctx context.Context, database string, work func(*pgx.Conn) error) error {
	return withDatabase(ctx, n.URL(database)+"&connect_timeout=5", work)
}

// Exec runs a statement.
func (n *DatabaseNode) Exec(ctx context.Context, statement string) error {
	return n.Do(ctx, "postgres", func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, statement)
		return err
	})
}

// Signal sends a signal to the server and all its sessions.
func (n *DatabaseNode) Signal(s syscall.Signal) {
	if n.cmd == nil {
		return
	}
	for _, process := range append(children(n.cmd.Process.Pid), n.cmd.Process.Pid) {
		_ = syscall.Kill(process, s) // one that has ended is fine
	}
}

// Kill ends the server and all its sessions with SIGKILL.
func (n *DatabaseNode) Kill() {
	n.Signal(syscall.SIGKILL)
	n.process.Kill()
}

// children returns the processes that a process has started and that run.
func children(process int) []int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", process, process))
	if err != nil {
		return nil
	}
	var found []int
	for word := range strings.FieldsSeq(string(text)) {
		if id, err := strconv.Atoi(word); err == nil {
			found = append(found, id)
		}
	}
	return found
}
