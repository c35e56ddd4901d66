package apptest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
)

// commandLimit is how long a command may take.
const commandLimit = 60 * time.Second

// CommandProcess is a command of the program, running in a process of its own. What it
// has written is to be read when it has ended.
type CommandProcess struct {
	Out, Err bytes.Buffer

	t   testing.TB
	cmd *exec.Cmd
}

// Result is what a command has done.
type Result struct {
	Status   int // -1 when a signal ended it
	Signal   syscall.Signal
	Out, Err string
}

// RunCommand runs a command of the program to its end, with the service at url.
func RunCommand(t testing.TB, url string, stdin io.Reader, args ...string) Result {
	t.Helper()
	return StartCommand(t, url, stdin, nil, args...).Wait()
}

// RunCommandAs is RunCommand with more in its environment, as NAME=value.
func RunCommandAs(t testing.TB, url string, environment []string, args ...string) Result {
	t.Helper()
	c := newCommand(t, url, args)
	c.cmd.Env = append(c.cmd.Env, environment...)
	c.cmd.Stdout, c.cmd.Stderr = &c.Out, &c.Err
	require.NoError(t, c.cmd.Start())
	return c.Wait()
}

// StartCommand starts a command of the program, with the service at url. It writes to
// out, or to its buffer when that is nil. It is killed when the test ends before.
func StartCommand(t testing.TB, url string, stdin io.Reader, out io.Writer, args ...string) *CommandProcess {
	t.Helper()
	c := newCommand(t, url, args)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = stdin, out, &c.Err
	if out == nil {
		c.cmd.Stdout = &c.Out
	}
	require.NoError(t, c.cmd.Start())
	return c
}

func newCommand(t testing.TB, url string, args []string) *CommandProcess {
	ctx, cancel := context.WithTimeout(t.Context(), commandLimit)
	t.Cleanup(cancel)
	c := &CommandProcess{t: t, cmd: exec.CommandContext(ctx, Program(t), args...)} //nolint:gosec // our own program
	c.cmd.Env = append(os.Environ(), "LANEKEEPER_URL="+url, "LANEKEEPER_API_KEY=", "LANEKEEPER_TOKEN=", "LANEKEEPER_TENANT=", "NO_COLOR=", "TERM=xterm")
	c.cmd.Dir = t.TempDir()
	c.cmd.WaitDelay = time.Second // standard input may have no end
	return c
}

// Signal sends a signal to the command.
func (c *CommandProcess) Signal(s os.Signal) {
	c.t.Helper()
	require.NoError(c.t, c.cmd.Process.Signal(s))
}

// Wait waits until the command has ended.
func (c *CommandProcess) Wait() Result {
	c.t.Helper()
	err := c.cmd.Wait()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited && !errors.Is(err, exec.ErrWaitDelay) {
		require.NoError(c.t, err)
	}
	r := Result{Status: c.cmd.ProcessState.ExitCode(), Out: c.Out.String(), Err: c.Err.String()}
	if status, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		r.Signal = status.Signal()
	}
	return r
}

// OnTerminal runs a command of the program to its end on a terminal with so many
// columns, on which somebody types, and returns all that was to be seen.
func OnTerminal(t testing.TB, url string, columns uint16, typed string, environment []string, args ...string) Result {
	t.Helper()
	c := newCommand(t, url, args)
	c.cmd.Env = append(c.cmd.Env, environment...)
	terminal, err := pty.StartWithSize(c.cmd, &pty.Winsize{Rows: 24, Cols: columns})
	require.NoError(t, err)
	defer terminal.Close()
	_, err = terminal.WriteString(typed)
	require.NoError(t, err)
	_, err = c.Out.ReadFrom(terminal)
	require.ErrorIs(t, err, syscall.EIO, "the end of a terminal")
	return c.Wait()
}
