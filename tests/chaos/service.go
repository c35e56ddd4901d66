package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lanekeeper/pkg/devstack"
)

const (
	startLimit = 60 * time.Second
	// stopLimit is what the service promises after SIGTERM.
	stopLimit = 20 * time.Second
	lookEvery = 50 * time.Millisecond
)

var (
	errEnded    = errors.New("the service ended")
	errTooLate  = errors.New("not in time")
	errStubborn = errors.New("the service did not end by itself")
)

// service is Lanekeeper as a process of its own, started again and again on
// the same port. One goroutine at a time uses it.
type service struct {
	program     string
	arguments   []string
	wrap        []string // a program, with its arguments, that becomes this one
	environment []string
	ip          string // that it listens on; the loopback address unless given
	port        int
	logFile     string
	cmd         *exec.Cmd
	ended       chan struct{} // closed when the process has ended
	err         error         // written before that
}

func newService(program, logFile, databaseURL, brokerURL string, more ...string) (*service, error) {
	ports, err := devstack.FreePorts(1)
	if err != nil {
		return nil, fmt.Errorf("find a port: %w", err)
	}
	environment := []string{
		"APP_HOST=127.0.0.1", "APP_PORT=" + strconv.Itoa(ports[0]), "LOG_FORMAT=json", "LOG_LEVEL=info",
		"DATABASE_URL=" + databaseURL, "RABBITMQ_URL=" + brokerURL,
	}
	for _, name := range []string{"PATH", "HOME", "GOMAXPROCS", "GOGC", "GOMEMLIMIT"} {
		if value, ok := os.LookupEnv(name); ok {
			environment = append(environment, name+"="+value)
		}
	}
	return &service{program: program, environment: append(environment, more...), port: ports[0], logFile: logFile}, nil
}

func (s *service) url() string {
	return "http://" + s.address(s.port)
}

// address is a port of the process.
func (s *service) address(port int) string {
	return net.JoinHostPort(cmp.Or(s.ip, "127.0.0.1"), strconv.Itoa(port))
}

// on has the process run on another host than this one.
func (s *service) on(h *host) {
	s.wrap, s.ip = h.wrap(), h.ip
	s.environment = append(s.environment, "APP_HOST="+h.ip)
}

// launch starts the process and does not wait for it to be ready.
func (s *service) launch() error {
	log, err := os.OpenFile(s.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the service's log: %w", err)
	}
	defer log.Close() // the child has it
	line := slices.Concat(s.wrap, []string{s.program}, s.arguments)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = s.environment, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the service: %w", err)
	}
	s.cmd, s.ended = cmd, make(chan struct{})
	go func() {
		defer close(s.ended)
		s.err = cmd.Wait()
	}()
	return nil
}

// start starts the process and waits until it is ready.
func (s *service) start(ctx context.Context) error {
	if err := s.launch(); err != nil {
		return err
	}
	return await(ctx, startLimit, "the service is ready", func() error {
		select {
		case <-s.ended:
			return fmt.Errorf("%w: %w", errEnded, s.err)
		default:
			return s.ready(ctx)
		}
	})
}

func (s *service) running() bool { return s.cmd != nil }

var errNotReady = errors.New("not ready")

// ready returns nil when the service says that it is.
func (s *service) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url()+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask for readiness: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errNotReady, response.Status)
	}
	return nil
}

// kill ends the process with SIGKILL.
func (s *service) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // one that has ended is fine
	<-s.ended
	s.cmd = nil
}

// terminate ends the process with SIGTERM and returns how long it took. An
// exit code other than 0, or more time than promised, is an error.
func (s *service) terminate(ctx context.Context) (time.Duration, error) {
	if s.cmd == nil {
		return 0, nil
	}
	begun := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, fmt.Errorf("signal the service: %w", err)
	}
	limit := time.NewTimer(stopLimit)
	defer limit.Stop()
	select {
	case <-s.ended:
		s.cmd = nil
		if s.err != nil {
			return time.Since(begun), fmt.Errorf("%w: %w", errEnded, s.err)
		}
		return time.Since(begun), nil
	case <-limit.C:
	case <-ctx.Done():
	}
	s.kill()
	return time.Since(begun), fmt.Errorf("%w within %v of SIGTERM", errStubborn, stopLimit)
}

// alarming returns the lines of the log that may never be there.
func (s *service) alarming() ([]string, error) {
	file, err := os.Open(s.logFile)
	if err != nil {
		return nil, fmt.Errorf("open the service's log: %w", err)
	}
	defer file.Close()
	var found []string
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		for _, word := range []string{"panic", "DATA RACE", "unknown delivery tag", "fatal error"} {
			if strings.Contains(lines.Text(), word) {
				found = append(found, lines.Text())
				break
			}
		}
	}
	return found, lines.Err()
}

// await calls check until it returns nil, for at most limit.
func await(ctx context.Context, limit time.Duration, what string, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var err error
	for {
		now := check()
		if now == nil {
			return nil
		}
		if err == nil || ctx.Err() == nil { // else it only says that the time is over
			err = now
		}
		if errors.Is(err, errEnded) || !rest(ctx, lookEvery) {
			return fmt.Errorf("%w (%v): %s: %w", errTooLate, limit, what, err)
		}
	}
}

// rest waits, and returns false when ctx ended meanwhile.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
