package apptest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
)

// program is the service's program, built once for all tests of a run.
//
//nolint:gochecknoglobals // nothing else lives as long as a test program does
var program struct {
	sync.Once

	dir string
	err error
}

// Cleanup removes what is shared by all tests. Call it when all have ended.
func Cleanup() error {
	if program.dir == "" {
		return nil
	}
	return os.RemoveAll(program.dir) //nolint:wrapcheck // says what it removed
}

// Program returns the path of the service's program, with the race detector if
// the tests have it.
func Program(t testing.TB) string {
	t.Helper()
	program.Do(func() {
		if program.dir, program.err = os.MkdirTemp("", "lanekeeper-program-"); program.err != nil { //nolint:usetesting // shared by all tests
			return
		}
		arguments := append([]string{"build", "-buildvcs=false", "-tags", "nomsgpack,grpcnotrace", "-o", program.dir}, raceFlags()...)
		text, err := exec.Command("go", append(arguments, "lanekeeper")...).CombinedOutput() //nolint:gosec,noctx // our own program
		if err != nil {
			program.err = fmt.Errorf("%w: %s", err, text)
		}
	})
	require.NoError(t, program.err)
	return filepath.Join(program.dir, "lanekeeper")
}

// Process is the service, running in a process of its own.
type Process struct {
	*Client
	*Probes

	t                      testing.TB
	databaseURL, brokerURL string
	environment            []string
	fileLimit              int // 0 for that of the test
	cmd                    *exec.Cmd
	ended                  chan struct{} // closed when the process has ended
	err                    error         // written before that

	mu       sync.Mutex
	requests []RequestLine // guarded by mu
}

// RequestLine is a line of the access log.
type RequestLine struct {
	Level, Route string
	Status       int
	DurationMS   *float64 `json:"duration_ms"`
}

// RequestLines returns the lines of the access log so far.
func (p *Process) RequestLines() []RequestLine {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// StartProcess starts the service on servers of the test's own and waits until
// it is ready. It is killed when the test ends, if it still runs.
func StartProcess(t testing.TB, environment ...string) *Process {
	t.Helper()
	return StartProcessOn(t, devtest.Postgres(t), devtest.RabbitMQ(t), environment...)
}

// StartProcessOn is StartProcess on these servers.
func StartProcessOn(t testing.TB, databaseURL, brokerURL string, environment ...string) *Process {
	t.Helper()
	p := newProcess(t, databaseURL, brokerURL, environment)
	p.Start()
	return p
}

func newProcess(t testing.TB, databaseURL, brokerURL string, environment []string) *Process {
	p := &Process{
		Client: newClient(t), Probes: newProbes(t, databaseURL, brokerURL),
		t: t, databaseURL: databaseURL, brokerURL: brokerURL, environment: environment,
	}
	t.Cleanup(func() {
		if p.cmd != nil {
			p.Kill()
		}
	})
	return p
}

// StartProcessWithFiles is StartProcess with a limit of open files.
func StartProcessWithFiles(t testing.TB, limit int, environment ...string) *Process {
	t.Helper()
	p := newProcess(t, devtest.Postgres(t), devtest.RabbitMQ(t), environment)
	p.fileLimit = limit
	p.Start()
	return p
}

// Start starts the service again and waits until it is ready.
func (p *Process) Start() {
	p.t.Helper()
	cmd := exec.Command(Program(p.t)) //nolint:gosec,noctx // our own program, ended by Kill
	if p.fileLimit > 0 {
		cmd = exec.Command("sh", "-c", fmt.Sprintf("ulimit -n %d && exec %s", p.fileLimit, Program(p.t))) //nolint:gosec,noctx // the same
	}
	cmd.Env = append(os.Environ(), "APP_PORT=0", "APP_HOST=127.0.0.1", "ADMIN_PORT=0", "METRICS_PUBLIC=true", "LOG_FORMAT=json", "LOG_LEVEL=info",
		"DATABASE_URL="+p.databaseURL, "RABBITMQ_URL="+p.brokerURL)
	cmd.Env = append(cmd.Env, p.environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	require.NoError(p.t, err)
	require.NoError(p.t, cmd.Start())
	p.cmd, p.ended = cmd, make(chan struct{})
	listening, ready := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(p.ended)
		logged := p.follow(stderr, listening, ready)
		p.err = errors.Join(cmd.Wait(), logged)
	}()
	timeout := time.After(readyLimit)
	select {
	case url := <-listening:
		p.setURL(url)
	case <-p.ended:
		require.NoError(p.t, p.err, "the service ended")
	case <-timeout:
		require.FailNow(p.t, "the service does not listen")
	}
	select {
	case <-ready:
	case <-p.ended:
		require.NoError(p.t, p.err, "the service ended")
	case <-timeout:
		require.FailNow(p.t, "the service is not ready")
	}
}

// errLogged: the service said that something went wrong that should never.
var errLogged = errors.New("the service wrote")

// follow reads the log to its end, and returns an error for what should not be
// in it: errors, and what is no log, such as a panic.
func (p *Process) follow(log io.Reader, listening chan<- string, ready chan<- struct{}) error {
	var wrong error
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			RequestLine

			Msg, URL string
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.Level == "ERROR" {
			wrong = errors.Join(wrong, fmt.Errorf("%w: %s", errLogged, lines.Bytes()))
		}
		switch line.Msg {
		case "listening":
			listening <- line.URL
		case "ready":
			close(ready)
		case "request":
			p.mu.Lock()
			p.requests = append(p.requests, line.RequestLine)
			p.mu.Unlock()
		}
	}
	return wrong
}

// Raced reports whether the program has the race detector, which takes memory
// of its own.
func Raced() bool { return len(raceFlags()) > 0 }

// PeakMemory returns the most memory that the process has had, in bytes.
func (p *Process) PeakMemory() int64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			require.NoError(p.t, err)
			return kib << 10
		}
	}
	require.FailNow(p.t, "the system does not tell")
	return 0
}

// Signal sends a signal to the service.
func (p *Process) Signal(s os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s))
}

// Exited waits until the service has ended and returns an error unless its
// exit code is 0 and its log without errors.
func (p *Process) Exited(within time.Duration) error {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), within)
	defer cancel()
	select {
	case <-p.ended:
		p.closeIdle()
		p.cmd = nil
		return p.err
	case <-ctx.Done():
		return NotYet("the service has not ended within %v", within)
	}
}

// Kill ends the service with SIGKILL and waits until it is gone.
func (p *Process) Kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		require.ErrorIs(p.t, err, os.ErrProcessDone)
	}
	<-p.ended
	p.closeIdle()
	p.cmd = nil
}
