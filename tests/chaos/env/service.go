package env

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lanekeeper/pkg/client"
	"lanekeeper/pkg/devstack"
	"lanekeeper/tests/chaos/wait"
)

const (
	// StartLimit is how long the service may take to be ready.
	StartLimit = 60 * time.Second
	// stopLimit is what the service promises after SIGTERM.
	stopLimit = 20 * time.Second
)

var errStubborn = errors.New("the service did not end by itself")

// Service is Lanekeeper as a process of its own, started again and again on
// the same port.
type Service struct {
	process

	Port int
}

// NewService returns a service that uses these servers, with more environment
// variables. It is not started.
func NewService(program, logFile, databaseURL, brokerURL string, more ...string) (*Service, error) {
	ports, err := devstack.FreePorts(1)
	if err != nil {
		return nil, fmt.Errorf("find a port: %w", err)
	}
	environment := []string{
		"APP_HOST=127.0.0.1", "APP_PORT=" + strconv.Itoa(ports[0]), "ADMIN_PORT=0", "METRICS_PUBLIC=true", "LOG_FORMAT=json", "LOG_LEVEL=info",
		"DATABASE_URL=" + databaseURL, "RABBITMQ_URL=" + brokerURL,
	}
	for _, name := range []string{"PATH", "HOME", "GOMAXPROCS", "GOGC", "GOMEMLIMIT"} {
		if value, ok := os.LookupEnv(name); ok {
			environment = append(environment, name+"="+value)
		}
	}
	return &Service{process{Program: program, Environment: append(environment, more...), LogFile: logFile}, ports[0]}, nil
}

// URL is where its HTTP API is.
func (s *Service) URL() string {
	return "http://" + s.address(s.Port)
}

// On has the process run on another host than this one.
func (s *Service) On(h *Host) {
	s.wrap, s.ip = h.wrap(), h.ip
	s.Environment = append(s.Environment, "APP_HOST="+h.ip)
}

// LimitFiles has the process run with this limit of open files (ulimit -n).
func (s *Service) LimitFiles(n int) {
	s.wrap = append(s.wrap, "sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, n))
}

// Start starts the process and waits until it is ready.
func (s *Service) Start(ctx context.Context) error {
	if err := s.Launch(); err != nil {
		return err
	}
	return wait.Until(ctx, StartLimit, "the service is ready", func() error {
		select {
		case <-s.ended:
			return fmt.Errorf("%w: %w", wait.ErrEnded, s.err)
		default:
			return s.Ready(ctx)
		}
	})
}

// Ready returns nil when the service says that it is.
func (s *Service) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	api, err := client.New(s.URL())
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	defer api.Close()
	if _, err := api.Ready(ctx); err != nil {
		return fmt.Errorf("%w: %w", wait.ErrNotReady, err)
	}
	return nil
}

// Terminate ends the process with SIGTERM and returns how long it took. An
// exit code other than 0, or more time than promised, is an error.
func (s *Service) Terminate(ctx context.Context) (time.Duration, error) {
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
			return time.Since(begun), fmt.Errorf("%w: %w", wait.ErrEnded, s.err)
		}
		return time.Since(begun), nil
	case <-limit.C:
	case <-ctx.Done():
	}
	s.Kill()
	return time.Since(begun), fmt.Errorf("%w within %v of SIGTERM", errStubborn, stopLimit)
}

// Alarming returns the lines of the log that must never be there.
func (s *Service) Alarming() ([]string, error) {
	file, err := os.Open(s.LogFile)
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
