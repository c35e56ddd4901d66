package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// databaseName is the database that a private PostgreSQL holds for the service.
const databaseName = "lanekeeper"

// postgresSecret names its password.
const postgresSecret = "postgres"

// Postgres is one private PostgreSQL server. It can be stopped, killed, paused
// and started again; it keeps its port and its data. Safe for concurrent use.
type Postgres struct {
	options Options
	server  server
	secret  secret // its password, from demandPassword
}

// NewPostgres returns a server that keeps its data in the directory postgres
// below options.Dir. Nothing happens before Start.
func NewPostgres(options Options) *Postgres {
	pg := &Postgres{options: options}
	pg.server = server{
		keep: filepath.Join(options.Dir, "postgres.ports"),
		name: "PostgreSQL", stopWith: syscall.SIGINT, nPorts: 1,
		launcher: pg, progress: options.Progress, exits: make(chan error, 1),
	}
	return pg
}

// Start starts the server, makes its data directory the first time, and
// returns when it answers. A running server is left alone. It fails with a
// *NotInstalledError when the programs are missing.
func (pg *Postgres) Start(ctx context.Context) error { return pg.server.start(ctx) }

// Stop ends the server in good order: sessions are cut, data are written. It
// is killed when that takes long or when ctx ends, and that is an error.
func (pg *Postgres) Stop(ctx context.Context) error { return pg.server.stop(ctx) }

// Kill ends the server and its sessions with SIGKILL.
func (pg *Postgres) Kill() { pg.server.kill() }

// Pause freezes the server and its sessions (SIGSTOP).
func (pg *Postgres) Pause() error { return pg.server.pauseMain() }

// Resume ends a pause.
func (pg *Postgres) Resume() error { return pg.server.resumeMain() }

// Exited gets the reason when the server ends without having been asked to.
func (pg *Postgres) Exited() <-chan error { return pg.server.exits }

// URL is where the service's database is, from the first Start on.
func (pg *Postgres) URL() string {
	return pg.urlOf(pg.server.port(0), databaseName)
}

func (pg *Postgres) urlOf(port int, database string) string {
	return "postgres://" + pg.user().String() + "@" + loopback(port) + "/" + database + "?sslmode=disable"
}

// user is who may do everything, with the password.
func (pg *Postgres) user() *url.Userinfo {
	if password := pg.secret.get(); password != "" {
		return url.UserPassword("postgres", password)
	}
	return url.User("postgres")
}

func (pg *Postgres) home() string { return filepath.Join(pg.options.Dir, "postgres") }

func (pg *Postgres) data() string { return filepath.Join(pg.home(), "data") }

// launch implements launcher.
func (pg *Postgres) launch(ctx context.Context, ports []int) (*process, error) {
	bin, err := pg.programs()
	if err != nil {
		return nil, err
	}
	runAs, err := serverAccount("postgres", pg.home())
	if err != nil {
		return nil, err
	}
	log, err := pg.options.logFile("postgres")
	if err != nil {
		return nil, err
	}
	if err := runAs.own(pg.home()); err != nil {
		return nil, err
	}
	if err := endLeftovers(ctx, pg.home(), []string{"postgres", "initdb"}, syscall.SIGINT, pg.options.Progress); err != nil {
		return nil, err
	}
	if pg.options.Passwords {
		err = demandPassword(ctx, pg, bin, runAs)
	} else {
		err = errors.Join(pg.initialise(ctx, bin, runAs, ""), pg.dropStaleLock())
	}
	if err != nil {
		return nil, err
	}
	p, err := startProcess(command{
		name: "postgres", path: filepath.Join(bin, "postgres"), args: pg.arguments(ports[0]),
		env: serverEnv(), dir: pg.home(), log: log, account: runAs,
		death: deathSignal(pg.options.Durable, syscall.SIGINT),
	}, pg.server.report)
	if err != nil {
		return nil, err
	}
	if err := p.awaitReady(ctx, func(ctx context.Context) error { return pg.ensureDatabase(ctx, ports[0]) }); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// cleanUp implements launcher. Nothing runs beside PostgreSQL.
func (pg *Postgres) cleanUp() {}

// programs finds the programs of the version that made the data, or the newest.
func (pg *Postgres) programs() (string, error) {
	version, err := os.ReadFile(filepath.Join(pg.data(), "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return findPostgres("")
	}
	if err != nil {
		return "", fmt.Errorf("read the version of the data: %w", err)
	}
	major := strings.TrimSpace(string(version))
	dir, err := findPostgres(major)
	if err != nil {
		return "", fmt.Errorf("data in %s were made by PostgreSQL %s: %w", pg.data(), major, err)
	}
	return dir, nil
}

// initialise makes the data directory unless it is there. It is made under
// another name, so that a half-made one is never taken for whole. With a password,
// nobody is let in without.
func (pg *Postgres) initialise(ctx context.Context, bin string, runAs account, password string) (err error) {
	if _, err := os.Stat(pg.data()); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	half := filepath.Join(pg.home(), "data.half")
	if err := os.RemoveAll(half); err != nil {
		return fmt.Errorf("remove half-made data: %w", err)
	}
	args := []string{"-D", half, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions"}
	if password == "" {
		args = append(args, "-A", "trust")
	} else {
		file := filepath.Join(pg.home(), "initdb.password") // it runs as another user, who reads only this
		if err := runAs.write(file, password+"\n", secretMode); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.Remove(file)) }()
		args = append(args, "-A", "scram-sha-256", "--pwfile", file)
	}
	if !pg.options.Durable {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), args...) //nolint:gosec // PostgreSQL's own program
	cmd.Dir, cmd.Env = pg.home(), serverEnv()
	cmd.SysProcAttr = processAttributes(syscall.SIGKILL)
	cmd.SysProcAttr.Credential = runAs.credential()
	// It has children, which hold its output open.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("initdb: %w", ctx.Err())
		}
		return fmt.Errorf("initdb: %w: %s", err, bytes.TrimSpace(out))
	}
	if err := os.Rename(half, pg.data()); err != nil {
		return fmt.Errorf("put data in place: %w", err)
	}
	return nil
}

func (pg *Postgres) arguments(port int) []string {
	args := []string{
		"-D", pg.data(), "-p", strconv.Itoa(port), "-h", "127.0.0.1",
		// No socket file: its path may not be longer than 107 bytes.
		"-c", "unix_socket_directories=",
		"-c", "logging_collector=off", "-c", "log_destination=stderr",
	}
	if pg.options.Durable {
		return append(args, "-c", "max_connections=200")
	}
	// Commits still reach the operating system, so a killed server loses
	// nothing; only a machine that goes down would.
	return append(args, "-c", "max_connections=500", "-c", "fsync=off", "-c", "full_page_writes=off")
}

// dropStaleLock removes a postmaster.pid whose number meanwhile belongs to
// another program, as happens when a container starts again: PostgreSQL would
// refuse to start. Leftover servers have been ended before.
func (pg *Postgres) dropStaleLock() error {
	path := filepath.Join(pg.data(), "postmaster.pid")
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read postmaster.pid: %w", err)
	}
	first, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return nil // no process has the number; PostgreSQL sees that itself
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove stale postmaster.pid: %w", err)
	}
	return nil
}

// ensureDatabase connects and makes the service's database unless it is there.
func (pg *Postgres) ensureDatabase(ctx context.Context, port int) (err error) {
	conn, err := pgx.Connect(ctx, pg.urlOf(port, "postgres"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	var there bool
	const find = `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`
	if err := conn.QueryRow(ctx, find, databaseName).Scan(&there); err != nil {
		return fmt.Errorf("look for the database: %w", err)
	}
	if there {
		return nil
	}
	if _, err := conn.Exec(ctx, `CREATE DATABASE `+databaseName); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	return nil
}

// serverEnv is the environment of the server programs. Ours does not get
// through: PGOPTIONS or RABBITMQ_URL mean something to them.
func serverEnv(more ...string) []string {
	path := os.Getenv("PATH")
	if path == "" {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	return append([]string{"PATH=" + path, "LC_ALL=C.UTF-8"}, more...)
}
