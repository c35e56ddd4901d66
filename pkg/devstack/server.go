package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// startLimit is how long a start may take: a server with much data may
	// have to recover first.
	startLimit = 5 * time.Minute
	// portTries is how often other ports are tried when another program was faster.
	portTries = 3
)

// errNotStarted: the server is not running.
var errNotStarted = errors.New("not running")

// launcher is what differs from server to server.
type launcher interface {
	// launch starts the programs on ports and returns the main one as soon as
	// it answers. What it started is also to be ended when it fails.
	launch(ctx context.Context, ports []int) (*process, error)
	// home is the directory that the programs work in.
	home() string
	// cleanUp ends what runs beside the main program, after that has ended.
	cleanUp()
}

// server is the life of one private server: it can be started and ended again
// and again, on the same ports and with the same data. It is safe for
// concurrent use; calls wait for each other.
type server struct {
	name     string
	stopWith syscall.Signal
	nPorts   int
	launcher launcher
	progress io.Writer
	exits    chan error
	// keep is the file for the ports.
	keep string

	mu    sync.Mutex // held while starting and ending; guards the rest
	ports []int
	main  *process
}

func (s *server) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.main != nil && !s.main.exited() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if s.main != nil {
		s.launcher.cleanUp()
		s.main = nil
	}
	fresh := s.ports == nil
	for try := 1; ; try++ {
		if fresh {
			var err error
			if s.ports, err = s.choosePorts(ctx); err != nil {
				return err
			}
		}
		begin := time.Now()
		p, err := s.launcher.launch(ctx, s.ports)
		if err == nil {
			s.main = p
			if err := writePorts(s.keep, s.ports); err != nil {
				say(s.progress, "%s: its ports will be others the next time: %v", s.name, err)
			}
			say(s.progress, "%s: ready on %s after %.1f s", s.name, loopback(s.ports[0]), time.Since(begin).Seconds())
			return nil
		}
		err = errors.Join(err, s.settle(context.WithoutCancel(ctx)))
		if try < portTries && fresh && ctx.Err() == nil && !allFree(s.ports) {
			continue // another program took a port between FreePorts and the start
		}
		if fresh {
			s.ports = nil
		}
		return fmt.Errorf("start private %s: %w", s.name, err)
	}
}

// choosePorts returns the ports of the last time, as far as nobody else has them.
func (s *server) choosePorts(ctx context.Context) ([]int, error) {
	kept := readPorts(s.keep, s.nPorts)
	if kept == nil {
		return FreePorts(s.nPorts)
	}
	// What an earlier owner left behind has them still.
	if err := endLeftovers(ctx, s.launcher.home(), serverPrograms(), s.stopWith, s.progress); err != nil {
		return nil, err
	}
	fresh, err := FreePorts(2 * s.nPorts)
	if err != nil {
		return nil, err
	}
	fresh = slices.DeleteFunc(fresh, func(port int) bool { return slices.Contains(kept, port) })
	for i, port := range kept {
		if portFree(port) {
			continue
		}
		kept[i] = fresh[i]
		if i == 0 {
			say(s.progress, "%s: port %d, which it had, is taken by another program; it gets %d, and URLs that were noted are not good any more", s.name, port, fresh[i])
		}
	}
	return kept, nil
}

func (s *server) stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.main == nil {
		return nil
	}
	err := s.main.stop(ctx, s.stopWith)
	s.main = nil
	return errors.Join(err, s.settle(context.WithoutCancel(ctx)))
}

func (s *server) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.main == nil {
		return
	}
	s.main.kill()
	s.main = nil
	_ = s.settle(context.Background()) // the next start tries again, and reports it
}

// settle sees to it that nothing runs any more once the main program is gone:
// what it had started takes a moment longer.
func (s *server) settle(ctx context.Context) error {
	s.launcher.cleanUp()
	return endLeftovers(ctx, s.launcher.home(), serverPrograms(), syscall.SIGKILL, nil)
}

func (s *server) pauseMain() error {
	return s.withMain((*process).pauseTree)
}

func (s *server) resumeMain() error {
	return s.withMain((*process).resumeTree)
}

func (s *server) withMain(do func(*process)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.main == nil || s.main.exited() {
		return fmt.Errorf("%s: %w", s.name, errNotStarted)
	}
	do(s.main)
	return nil
}

// port returns the i-th port, 0 before the first start.
func (s *server) port(i int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ports == nil {
		return 0
	}
	return s.ports[i]
}

// report passes on that a program ended by itself. One report waits for a
// reader; more are dropped.
func (s *server) report(err error) {
	select {
	case s.exits <- err:
	default:
	}
}

// deathSignal picks how the kernel ends a server whose owner was killed:
// gently where the data matter, else for sure.
func deathSignal(durable bool, gentle syscall.Signal) syscall.Signal {
	if durable {
		return gentle
	}
	return syscall.SIGKILL
}

// say writes one line of progress. That it cannot be written stops nothing.
func say(w io.Writer, format string, args ...any) {
	if w != nil {
		_, _ = fmt.Fprintf(w, format+"\n", args...)
	}
}
