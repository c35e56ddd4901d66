package env

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"lanekeeper/pkg/devstack"
)

// Options say how the programs are built and which servers there are.
type Options struct {
	Race bool // build the service with the race detector
	Keep bool // keep ledgers and logs, also of scenarios that hold
	// RabbitMQ is which version clusters of brokers run; "" for the installed
	// one.
	RabbitMQ string
	// NoNetwork is why there is no network of the run's own; nil when there is,
	// or when nothing asks for it.
	NoNetwork error
}

// Shared is the servers and the programs that all scenarios use, one after the
// other.
type Shared struct {
	Options  Options
	Facts    Facts
	Program  string // the service
	Bugs     string // the service with bugs to be planted
	Progress io.Writer
	Dir      *devstack.Dir // of the servers, whose accounts can reach it
	Work     string        // ledgers, logs and programs

	servers *Servers
	kept    bool
}

// Start builds the programs and starts the servers, and reports its progress.
func Start(ctx context.Context, o Options, progress io.Writer) (*Shared, error) {
	s := &Shared{Options: o, Progress: progress}
	var err error
	if s.Work, err = os.MkdirTemp("", "lanekeeper-chaos-"); err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	if s.Dir, err = devstack.TempDir(); err != nil {
		return nil, errors.Join(fmt.Errorf("make a directory: %w", err), os.RemoveAll(s.Work))
	}
	if err = s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Shared) prepare(ctx context.Context) (err error) {
	s.Say("building the service")
	if s.Program, err = s.Build(ctx, "lanekeeper", "lanekeeper"); err != nil {
		return err
	}
	if s.Bugs, err = s.Build(ctx, "bugs", "lanekeeper/tests/chaos/bugs"); err != nil {
		return err
	}
	if s.servers, err = startServers(ctx, s.Dir.Path(), s.Progress); err != nil {
		return err
	}
	s.Facts, err = s.servers.ask(ctx)
	return err
}

// Build builds a program, with more arguments for the compiler, and returns
// where it is.
func (s *Shared) Build(ctx context.Context, name, pkg string, more ...string) (string, error) {
	program := filepath.Join(s.Work, name)
	args := []string{"build", "-trimpath", "-buildvcs=false", "-tags", "nomsgpack,grpcnotrace", "-o", program}
	if s.Options.Race {
		args = append(args, "-race")
	}
	line := slices.Concat(outside(), []string{"go"}, args, more, []string{pkg})
	build := exec.CommandContext(ctx, line[0], line[1:]...)
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, text)
	}
	return program, nil
}

// Directory is where a scenario has its ledger and its logs.
func (s *Shared) Directory(scenario string) string { return filepath.Join(s.Work, scenario) }

// Keep has ledgers and logs kept after the run: they explain a failure.
func (s *Shared) Keep() { s.kept = true }

// Close stops the servers and removes everything but what explains a failure.
func (s *Shared) Close() error {
	var errs []error
	if s.servers != nil {
		s.servers.stop()
	}
	if s.kept || s.Options.Keep {
		errs = append(errs, os.RemoveAll(s.Program), os.RemoveAll(s.Bugs))
		s.Say("kept: %s", s.Work)
	} else {
		errs = append(errs, os.RemoveAll(s.Work))
	}
	return errors.Join(append(errs, s.Dir.Remove())...)
}

// Say reports the progress of the run.
func (s *Shared) Say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.Progress, "chaos: "+strings.TrimSuffix(format, "\n")+"\n", args...)
}

// ErrNoNetwork: the run has no network of its own.
var ErrNoNetwork = errors.New("no network of its own")

// Network makes the hosts, or says why it cannot.
func (s *Shared) Network(ctx context.Context, names ...string) (*Network, error) {
	if err := s.Options.NoNetwork; err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoNetwork, err)
	}
	return newNetwork(ctx, names...)
}
