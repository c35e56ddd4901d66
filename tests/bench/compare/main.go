package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"lanekeeper/tests/command"
)

var errUsage = errors.New("usage: compare [-rounds N] REVISION [arguments of bench]")

// quick is what bench is run with unless arguments are given: what hot paths are
// measured by, in about a minute.
const quick = "-tenants=1,10 -repeat=1 -messages=20000 -singles=40000 -open=0 -crowd=0 -deliveries=false -idle=0"

func main() { command.Main("compare", run) }

// side is one of the two that are compared.
type side struct {
	name    string
	tree    string // with the source
	program string
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	flags.SetOutput(stderr)
	rounds := flags.Int("rounds", 5, "how often each of them runs")
	if err := flags.Parse(args); err != nil {
		return err //nolint:wrapcheck // says what is wrong
	}
	if flags.NArg() < 1 || *rounds < 1 {
		return errUsage
	}
	bench := flags.Args()[1:]
	if len(bench) == 0 {
		bench = strings.Fields(quick)
	}
	dir, err := os.MkdirTemp("", "lanekeeper-compare-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	before, now, err := prepare(ctx, dir, flags.Arg(0))
	if err != nil {
		return err
	}
	var pairs []pair
	for round := 1; round <= *rounds; round++ {
		p, err := turn(ctx, before, now, round, bench, stderr)
		if err != nil {
			return err
		}
		pairs = append(pairs, p)
	}
	fmt.Fprintf(stdout, "%s, and now: rounds %d, in turns; bench %s\n\n%s", before.name, *rounds, strings.Join(bench, " "), table(pairs))
	return nil
}

// prepare builds both. What is measured as now is the working tree as it is.
func prepare(ctx context.Context, dir, revision string) (before, now side, err error) {
	commit, err := output(ctx, ".", "git", "rev-parse", "--verify", "--short", revision+"^{commit}")
	if err != nil {
		return before, now, err
	}
	here, err := output(ctx, ".", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return before, now, err
	}
	before = side{name: commit, tree: filepath.Join(dir, "tree"), program: filepath.Join(dir, "before")}
	now = side{name: "now", tree: here, program: filepath.Join(dir, "now")}
	archive := filepath.Join(dir, "tree.tar")
	if _, err := output(ctx, here, "git", "archive", "--format=tar", "--output="+archive, commit); err != nil {
		return before, now, err
	}
	if err := os.Mkdir(before.tree, 0o700); err != nil {
		return before, now, fmt.Errorf("make a directory: %w", err)
	}
	if _, err := output(ctx, before.tree, "tar", "-xf", archive); err != nil {
		return before, now, err
	}
	for _, s := range []side{before, now} {
		if _, err := output(ctx, s.tree, "go", "build", "-o", s.program, "./tests/bench"); err != nil {
			return before, now, err
		}
	}
	return before, now, nil
}

// turn runs both once; which one is first alternates.
func turn(ctx context.Context, before, now side, round int, bench []string, stderr io.Writer) (p pair, err error) {
	order := []side{before, now}
	if round%2 == 0 {
		order = []side{now, before}
	}
	for _, s := range order {
		fmt.Fprintf(stderr, "compare: round %d, %s\n", round, s.name)
		text, err := output(ctx, s.tree, s.program, bench...)
		if err != nil {
			return p, err
		}
		if s == before {
			p.before = figures(text)
		} else {
			p.now = figures(text)
		}
	}
	return p, nil
}

// output runs a program in a directory and returns what it prints.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the caller's own
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it has servers to stop
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(stdout.String()), nil
}
