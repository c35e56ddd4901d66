// Command teststack runs a command with PostgreSQL, RabbitMQ and Redis for
// tests, which package testservers finds or starts:
//
//	teststack [-durable] -- go test ./...
//
// starts all three, puts their addresses into TEST_DATABASE_URL,
// TEST_RABBITMQ_URL, TEST_RABBITMQ_MANAGEMENT_URL and TEST_REDIS_URL, runs the
// command, ends the servers, and exits as the command did.
//
//	teststack missing
//
// prints the Debian packages without which that cannot work.
//
//	teststack serve postgres|rabbitmq|redis
//
// starts one server, prints where it is as JSON, and ends it when its standard
// input ends. Package devtest uses it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

	"lanekeeper/pkg/devstack"
	"lanekeeper/pkg/devstack/testservers"
)

func main() {
	durable := flag.Bool("durable", false, "commits survive a crash of the machine, for measurements")
	flag.Parse()
	code, err := run(flag.Args(), *durable)
	if err != nil {
		fmt.Fprintln(os.Stderr, "teststack: error:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// errUsage: the arguments make no sense.
var errUsage = errors.New("usage: teststack [-durable] -- command | missing | serve postgres|rabbitmq|redis")

func run(args []string, durable bool) (int, error) {
	mode, err := testservers.ModeFromEnv()
	if err != nil {
		return 1, err
	}
	options := testservers.Options{Mode: mode, Durable: durable, Progress: prefixed{os.Stderr}}
	switch {
	case len(args) == 0:
		return 2, errUsage
	case args[0] == "missing" && len(args) == 1:
		packages, err := testservers.MissingPackages(context.Background(), options)
		if err != nil {
			return 1, err
		}
		fmt.Fprintln(os.Stdout, strings.Join(packages, " "))
		return 0, nil
	case args[0] == "serve" && len(args) == 2:
		return 0, serve(args[1], options)
	default:
		return runWith(args, options)
	}
}

// serve keeps one server up until standard input ends.
func serve(name string, options testservers.Options) error {
	kind, err := testservers.ParseKind(name)
	if err != nil {
		return err
	}
	return withDir(options, func(options testservers.Options) error {
		ctx := context.Background()
		server, err := testservers.Start(ctx, kind, options)
		if err != nil {
			return err
		}
		err = json.NewEncoder(os.Stdout).Encode(server)
		if err == nil {
			_, err = io.Copy(io.Discard, os.Stdin)
		}
		return errors.Join(err, server.Close(ctx))
	})
}

// runWith runs a command with all servers, and returns its exit code.
func runWith(command []string, options testservers.Options) (code int, err error) {
	err = withDir(options, func(options testservers.Options) error {
		ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		servers, err := startAll(ctx, options)
		cancel()
		defer func() {
			if closeErr := closeAll(servers); closeErr != nil {
				err = errors.Join(err, closeErr)
			}
		}()
		if err != nil {
			return err
		}
		code, err = execute(command, servers)
		return err
	})
	return code, err
}

// startAll starts all servers at the same time. On failure it returns those
// that did start, too.
func startAll(ctx context.Context, options testservers.Options) (map[testservers.Kind]*testservers.Server, error) {
	kinds := testservers.Kinds()
	started := make([]*testservers.Server, len(kinds))
	group, ctx := errgroup.WithContext(ctx)
	for i, kind := range kinds {
		group.Go(func() (err error) {
			started[i], err = testservers.Start(ctx, kind, options)
			return err
		})
	}
	err := group.Wait()
	servers := map[testservers.Kind]*testservers.Server{}
	for i, kind := range kinds {
		if started[i] != nil {
			servers[kind] = started[i]
		}
	}
	return servers, err
}

func closeAll(servers map[testservers.Kind]*testservers.Server) error {
	var group errgroup.Group
	for _, s := range servers {
		group.Go(func() error { return s.Close(context.Background()) })
	}
	return group.Wait()
}

// execute runs command with the servers' addresses in its environment. Signals
// go to the command; we end when it has ended. A server that ends meanwhile is
// an error, whatever the command says.
func execute(command []string, servers map[testservers.Kind]*testservers.Server) (int, error) {
	cmd := exec.Command(command[0], command[1:]...) //nolint:gosec,noctx // what the caller asked for
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), testservers.ModeVariable+"="+string(testservers.ModeEnv))
	for kind, s := range servers {
		cmd.Env = append(cmd.Env, kind.Variable()+"="+s.URL)
		if s.ManagementURL != "" {
			cmd.Env = append(cmd.Env, testservers.ManagementVariable+"="+s.ManagementURL)
		}
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("start the command: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
				return 1, errors.Join(fmt.Errorf("pass on a signal: %w", err), <-ended)
			}
		case err := <-ended:
			return exitCode(err), firstEnd(servers)
		}
	}
}

// firstEnd returns the end of a server that was not asked for.
func firstEnd(servers map[testservers.Kind]*testservers.Server) error {
	for kind, s := range servers {
		select {
		case err := <-s.Exited: // never for those that have none
			return fmt.Errorf("%s: %w", kind, err)
		default:
		}
	}
	return nil
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode()
	default:
		return 1
	}
}

// withDir gives do a directory for private servers and removes it afterwards.
func withDir(options testservers.Options, do func(testservers.Options) error) error {
	dir, err := devstack.TempDir()
	if err != nil {
		return err
	}
	options.Dir = dir.Path()
	return errors.Join(do(options), dir.Remove())
}

// prefixed marks our lines among those of the command.
type prefixed struct{ w io.Writer }

// Write implements io.Writer. Each call is one line.
func (p prefixed) Write(line []byte) (int, error) {
	if _, err := fmt.Fprintf(p.w, "teststack: %s", line); err != nil {
		return 0, err
	}
	return len(line), nil
}
