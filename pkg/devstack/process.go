package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// openFiles is what a broker is given at most. Far more than that costs
	// memory: the Erlang runtime makes a table with an entry for each.
	openFiles = 65536
	// stopGrace is how long a server may take to stop before it is killed.
	stopGrace = 20 * time.Second
	// killGrace is how long those that were killed may take to be gone.
	killGrace = 5 * time.Second
	// maxLog is the size at which a log is put aside when a server starts.
	maxLog = 8 << 20
)

// command says how one server program is run.
type command struct {
	name    string // for messages
	path    string
	args    []string
	env     []string // all of it; nothing is inherited
	dir     string   // working directory, by which leftovers are recognised
	log     string   // the file that takes stdout and stderr
	account account
	// death is what the kernel sends when the owner dies, where it can.
	death syscall.Signal
	// files is the file limit to ask for; 0 leaves it as it is.
	files uint64
}

// process is a running server program. The goroutine run owns the child: it
// starts it, waits for it, and closes done.
type process struct {
	command
	cmd *exec.Cmd
	// logStart is where this run's part of the log begins.
	logStart int64
	onExit   func(error)
	// stopping is set before the child is ended on purpose.
	stopping atomic.Bool
	done     chan struct{}
	err      error // written by run before done is closed
}

// startProcess starts c. When it ends without having been asked to, onExit is
// called once with the reason.
func startProcess(c command, onExit func(error)) (*process, error) {
	log, err := openLog(c.log)
	if err != nil {
		return nil, err
	}
	at, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	path, args := c.path, c.args
	if c.files > 0 {
		// The shell lowers nothing and raises the soft limit only.
		script := `ulimit -S -n "$0" 2>/dev/null; exec "$@"`
		args = append([]string{"-c", script, strconv.FormatUint(c.files, 10), path}, args...)
		path = "/bin/sh"
	}
	cmd := exec.Command(path, args...) //nolint:gosec,noctx // own programs; ended by stop and kill, never by a context
	cmd.Env, cmd.Dir = c.env, c.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = processAttributes(c.death)
	cmd.SysProcAttr.Credential = c.account.credential()
	p := &process{command: c, cmd: cmd, logStart: at, onExit: onExit, done: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	err = <-started
	// The child has its own copy by now.
	if closeErr := log.Close(); err == nil && closeErr != nil {
		p.kill()
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	return p, nil
}

// run starts the child and waits for it on one operating system thread: the
// kernel's parent death signal comes when the thread that started the child
// ends, not the process.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	p.err = p.cmd.Wait()
	close(p.done)
	if !p.stopping.Load() {
		p.onExit(p.failure())
	}
}

// exited reports whether the child has ended.
func (p *process) exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop asks the child to end with sig, kills it when it has not done so after
// a while or when ctx ends, and returns when it is gone.
func (p *process) stop(ctx context.Context, sig syscall.Signal) error {
	p.stopping.Store(true)
	if p.exited() {
		return nil
	}
	p.resumeTree()
	p.signal(sig)
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-p.done:
		return nil
	case <-grace.C:
		p.kill()
		return fmt.Errorf("%s did not stop within %v and was killed", p.name, stopGrace)
	case <-ctx.Done():
		p.kill()
		return fmt.Errorf("stop %s, which was killed: %w", p.name, ctx.Err())
	}
}

// kill ends the child and everything that it started, at once, and returns
// when they are gone. Until then they hold on to what the next one needs:
// PostgreSQL does not start while a session of before has its shared memory.
func (p *process) kill() {
	p.stopping.Store(true)
	var below []int
	if !p.exited() {
		// Stopped first, so that it starts nothing new meanwhile.
		p.signal(syscall.SIGSTOP)
		below = descendants(p.cmd.Process.Pid)
		for _, pid := range below {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		p.signal(syscall.SIGKILL)
	}
	<-p.done
	for begun := time.Now(); slices.ContainsFunc(below, alive) && time.Since(begun) < killGrace; {
		<-time.After(time.Millisecond)
	}
}

// pauseTree freezes the child and everything that it started.
func (p *process) pauseTree() {
	p.signal(syscall.SIGSTOP)
	for _, pid := range descendants(p.cmd.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
}

// resumeTree ends a pause. It does nothing to a child that is not paused.
func (p *process) resumeTree() {
	for _, pid := range descendants(p.cmd.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	p.signal(syscall.SIGCONT)
}

// signal sends sig to the child alone. That it is gone is no error: callers wait
// for done next.
func (p *process) signal(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig)
}

// awaitReady calls probe until it succeeds, the child ends, or ctx does.
func (p *process) awaitReady(ctx context.Context, probe func(context.Context) error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := attempt(ctx, probe)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return p.failure()
		case <-ctx.Done():
			return fmt.Errorf("wait for %s (%w), last: %w", p.name, ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// attempt gives probe a limit of its own, so that a server that takes
// connections without answering does not hold everything up.
func attempt(ctx context.Context, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return probe(ctx)
}

// failure returns how the child ended and what it said last. Call it only after
// done is closed.
func (p *process) failure() error {
	how := "exit status 0"
	if p.err != nil {
		how = p.err.Error()
	}
	return fmt.Errorf("%s ended by itself (%s); the end of %s:\n%s", p.name, how, p.log, p.lastWords())
}

// lastWords returns the last lines that this run wrote to its log.
func (p *process) lastWords() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	if p.logStart < int64(len(data)) {
		data = data[p.logStart:]
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	lines = lines[max(0, len(lines)-15):]
	return "  " + strings.Join(lines, "\n  ")
}

// openLog opens a log for appending; a long one is put aside first.
func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, fmt.Errorf("put log aside: %w", err)
		}
	}
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644) //nolint:gosec // a log, below our own directory
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return log, nil
}

// fileLimit returns how many open files a child can be given, at most
// openFiles, and raises this process's hard limit to that where it may.
func fileLimit() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	if limit.Max < openFiles {
		raised := limit
		raised.Max = openFiles
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
			limit = raised
		}
	}
	return min(limit.Max, openFiles)
}
