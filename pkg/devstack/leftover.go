package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// errStubborn: what an earlier run left behind does not go away.
var errStubborn = errors.New("leftovers do not end")

// endLeftovers ends the servers that an earlier owner of dir left running:
// programs of the given names that work in dir. The caller holds the lock of
// the directory, so no other process uses them. It asks with sig first,
// and returns when they are gone.
func endLeftovers(ctx context.Context, dir string, programs []string, sig syscall.Signal, progress io.Writer) error {
	const (
		noticed  = 200 * time.Millisecond // what has just been killed takes a moment
		patience = 15 * time.Second
	)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	begin, asked := time.Now(), false
	for {
		pids, err := leftovers(dir, programs)
		if err != nil {
			return fmt.Errorf("look for leftovers: %w", err)
		}
		if len(pids) == 0 {
			return nil
		}
		switch waited := time.Since(begin); {
		case waited > 2*patience:
			return fmt.Errorf("%w: processes %v in %s", errStubborn, pids, dir)
		case waited > patience:
			signalAll(pids, syscall.SIGKILL)
		case waited > noticed && !asked:
			asked = true
			say(progress, "ending what an earlier run left behind in %s: processes %v", dir, pids)
			signalAll(pids, sig, syscall.SIGCONT)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("end leftovers in %s: %w", dir, ctx.Err())
		case <-tick.C:
		}
	}
}

// signalAll sends signals to processes that may be gone by now.
func signalAll(pids []int, signals ...syscall.Signal) {
	for _, pid := range pids {
		for _, sig := range signals {
			_ = syscall.Kill(pid, sig)
		}
	}
}

// gather walks a tree of processes and returns all of it below root.
func gather(children map[int][]int, root int) []int {
	var all []int
	next := slices.Clone(children[root])
	for len(next) > 0 {
		all = append(all, next[0])
		next = append(next[1:], children[next[0]]...)
	}
	return all
}

// isOneOf reports whether name is one of programs.
func isOneOf(name string, programs []string) bool { return slices.Contains(programs, name) }

// within reports whether path is dir or below it.
func within(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, dir+string(filepath.Separator))
}

// namesDir reports whether one of args is dir or below it.
func namesDir(dir string, args []string) bool {
	return slices.ContainsFunc(args, func(arg string) bool { return within(dir, arg) })
}
