package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"lanekeeper/pkg/devstack"
)

// scenario is one fault and what must hold.
type scenario struct {
	name  string
	fault string
	must  string
	// run breaks things and has the result checked. An error means that it
	// could not be done, or that something did not come in time.
	run func(ctx context.Context, st *stage) error
	// planted is the bug that the service is given; then the checker has to
	// find something. Empty for none.
	planted string
	// environment is more for the service.
	environment []string
	// extra is time beyond what all scenarios have, for servers of its own.
	extra time.Duration
	// network has the run start over in a network namespace of its own.
	network bool
	// long keeps it out of the short form, unless it is asked for: it takes
	// its time whatever the figures are, and others break much the same.
	long bool
}

// suite is the servers and the programs that all scenarios use, one after the
// other.
type suite struct {
	options  options
	figures  figures
	progress io.Writer
	dir      *devstack.Dir
	work     string // ledgers and logs
	servers  *servers
	facts    facts
	program  string
	bugs     string // the program with bugs to be planted
	failed   bool
}

// newSuite builds the programs and starts the servers.
func newSuite(ctx context.Context, o options, progress io.Writer) (*suite, error) {
	s := &suite{options: o, figures: figuresFor(o.short), progress: progress}
	var err error
	if s.work, err = os.MkdirTemp("", "lanekeeper-chaos-"); err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	if s.dir, err = devstack.TempDir(); err != nil {
		return nil, errors.Join(fmt.Errorf("make a directory: %w", err), os.RemoveAll(s.work))
	}
	if err = s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *suite) prepare(ctx context.Context) (err error) {
	s.say("seed %d", s.options.seed)
	s.say("building the service")
	if s.program, err = s.build(ctx, "lanekeeper", "lanekeeper"); err != nil {
		return err
	}
	if s.bugs, err = s.build(ctx, "planted", "lanekeeper/tests/chaos/planted"); err != nil {
		return err
	}
	if s.servers, err = startServers(ctx, s.dir.Path(), s.progress); err != nil {
		return err
	}
	s.facts, err = s.servers.ask(ctx)
	return err
}

func (s *suite) build(ctx context.Context, name, pkg string, more ...string) (string, error) {
	program := filepath.Join(s.work, name)
	args := []string{"build", "-trimpath", "-buildvcs=false", "-o", program}
	if s.options.race {
		args = append(args, "-race")
	}
	line := slices.Concat(outside(), []string{"go"}, args, more, []string{pkg})
	build := exec.CommandContext(ctx, line[0], line[1:]...)
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, text)
	}
	return program, nil
}

// perform runs one scenario on a database and a virtual host of its own.
func (s *suite) perform(ctx context.Context, sc scenario) *result {
	s.say("%s: %s", sc.name, sc.fault)
	begun := time.Now()
	r := &result{scenario: sc}
	limited, cancel := context.WithTimeout(ctx, s.figures.limit+sc.extra)
	defer cancel()
	st, err := s.newStage(limited, sc, r)
	ready := err == nil
	if ready {
		err = sc.run(limited, st)
	}
	r.interrupted = ctx.Err() != nil
	if ready {
		err = errors.Join(err, st.close(context.WithoutCancel(ctx)))
	}
	r.took = time.Since(begun)
	r.seal(err)
	if !r.holds() {
		s.failed = true
		s.say("%s: %s; its ledger and logs are in %s", sc.name, strings.ToUpper(r.verdict()), filepath.Join(s.work, sc.name))
	}
	return r
}

// random returns numbers that depend on the seed and the scenario alone.
func (s *suite) random(name string) *rand.Rand {
	var n uint64
	for _, b := range []byte(name) {
		n = n*131 + uint64(b)
	}
	return rand.New(rand.NewPCG(s.options.seed, n))
}

// close stops the servers and removes everything but what explains a failure.
func (s *suite) close() error {
	var errs []error
	if s.servers != nil {
		s.servers.stop()
	}
	if s.failed || s.options.keep {
		errs = append(errs, os.RemoveAll(s.program), os.RemoveAll(s.bugs))
		s.say("kept: %s", s.work)
	} else {
		errs = append(errs, os.RemoveAll(s.work))
	}
	return errors.Join(append(errs, s.dir.Remove())...)
}

func (s *suite) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.progress, "chaos: "+strings.TrimSuffix(format, "\n")+"\n", args...)
}
