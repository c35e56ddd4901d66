package env

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
)

// ErrNotRunning: there is no process.
var ErrNotRunning = errors.New("the process does not run")

// process is a program that runs as a process of its own and can be killed and
// started again. One goroutine at a time uses it.
type process struct {
	Program     string
	Arguments   []string
	wrap        []string // a program, with its arguments, that becomes this one
	Environment []string
	ip          string // that it listens on; the loopback address unless given
	LogFile     string
	cmd         *exec.Cmd
	ended       chan struct{} // closed when the process has ended
	err         error         // written before that
}

// PlainEnvironment is the least that RabbitMQ's scripts need, and nothing of
// the caller's: RABBITMQ_ variables would change what they do.
func PlainEnvironment(home string) []string {
	return []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
}

// address is a port of the process.
func (p *process) address(port int) string {
	return net.JoinHostPort(cmp.Or(p.ip, "127.0.0.1"), strconv.Itoa(port))
}

// Launch starts the process and does not wait for it to be ready.
func (p *process) Launch() error {
	log, err := os.OpenFile(p.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the service's log: %w", err)
	}
	defer log.Close() // the child has it
	line := slices.Concat(p.wrap, []string{p.Program}, p.Arguments)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = p.Environment, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the service: %w", err)
	}
	p.cmd, p.ended = cmd, make(chan struct{})
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
	}()
	return nil
}

// running reports whether it has been started and not been ended since.
func (p *process) running() bool { return p.cmd != nil }

// ID is the number of the process, which must run.
func (p *process) ID() int { return p.cmd.Process.Pid }

// Freeze stops the process with SIGSTOP, until Thaw.
func (p *process) Freeze() error { return p.signal(syscall.SIGSTOP) }

// Thaw has a frozen process go on.
func (p *process) Thaw() error { return p.signal(syscall.SIGCONT) }

func (p *process) signal(s syscall.Signal) error {
	if p.cmd == nil {
		return ErrNotRunning
	}
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("signal a process: %w", err)
	}
	return nil
}

// Kill ends the process with SIGKILL.
func (p *process) Kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill() // one that has ended is fine
	<-p.ended
	p.cmd = nil
}
