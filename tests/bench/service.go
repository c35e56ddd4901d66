package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"lanekeeper/config"
	"lanekeeper/pkg/client"
	"lanekeeper/pkg/logger"
	"lanekeeper/pkg/server"
)

const (
	startTimeout = 2 * time.Minute
	stopTimeout  = 40 * time.Second
	readyEvery   = 50 * time.Millisecond
)

var (
	errEnded     = errors.New("the service ended")
	errNoRestart = errors.New("the service is inside of this process")
)

// service is a running Lanekeeper.
type service interface {
	// address is host and port.
	address() string
	// pid is the process that the service is in.
	pid() int
	stop(ctx context.Context) error
	// restart stops it and returns when it is ready again, at the same address, with
	// how long each took; errNoRestart where that is not possible.
	restart(ctx context.Context) (stopped, ready time.Duration, err error)
}

// startService runs the service as a process of its own, or inside of this one.
func startService(ctx context.Context, dir string, s *servers, o options) (service, error) {
	if o.inProcess {
		p, err := startInProcess(ctx, dir, s, o.logLevel)
		if err != nil {
			return nil, err
		}
		return p, nil
	}
	p, err := startProcess(ctx, dir, s, o.logLevel)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// process is the service as its users run it.
type process struct {
	cmd    *exec.Cmd
	binary string
	env    []string
	at     string
	log    *os.File
	exited chan error // gets what Wait returned
}

// startProcess builds the service, runs it, and returns when it is ready.
func startProcess(ctx context.Context, dir string, s *servers, level string) (*process, error) {
	binary := filepath.Join(dir, "lanekeeper")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "nomsgpack,grpcnotrace", "-o", binary, "lanekeeper") //nolint:gosec // into our own directory
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the service: %w\n%s", err, text)
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(address)
	log, err := os.Create(filepath.Join(dir, "service.log"))
	if err != nil {
		return nil, fmt.Errorf("make a log: %w", err)
	}
	p := &process{binary: binary, at: address, log: log}
	p.env = []string{
		"DATABASE_URL=" + s.databaseURL, "RABBITMQ_URL=" + s.rabbitmqURL,
		"APP_HOST=127.0.0.1", "APP_PORT=" + port, "ADMIN_PORT=0", "METRICS_PUBLIC=true", "LOG_LEVEL=" + level,
		"PUBLISH_RATE=0", // one tenant alone shall take what there is
		"DELIVERY_ALLOW_PRIVATE=true",
	}
	for _, name := range []string{"PATH", "HOME", "GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG"} {
		if value, ok := os.LookupEnv(name); ok {
			p.env = append(p.env, name+"="+value)
		}
	}
	if err := p.start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	if err := p.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, p.stop(context.WithoutCancel(ctx)))
	}
	return p, nil
}

func (p *process) start() error {
	p.cmd = exec.Command(p.binary)     //nolint:gosec,noctx // just built; stop ends it in good order
	p.cmd.Dir = filepath.Dir(p.binary) // there is no configuration file
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for us
	p.cmd.Env = p.env
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start the service: %w", err)
	}
	cmd, exited := p.cmd, make(chan error, 1)
	p.exited = exited
	go func() { exited <- cmd.Wait() }()
	return nil
}

func (p *process) restart(ctx context.Context) (stopped, ready time.Duration, err error) {
	begun := time.Now()
	if err := p.end(ctx); err != nil {
		return 0, 0, err
	}
	stopped = time.Since(begun)
	begun = time.Now()
	if err := p.start(); err != nil {
		return 0, 0, err
	}
	err = p.awaitReady(ctx)
	return stopped, time.Since(begun), err
}

func (p *process) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	api, err := client.New("http://" + p.at)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	defer api.Close()
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		if _, err := api.Ready(ctx); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case err := <-p.exited:
			p.exited <- err
			text, readErr := os.ReadFile(p.log.Name())
			return errors.Join(fmt.Errorf("%w: %s", errEnded, text), readErr)
		case <-ctx.Done():
			return fmt.Errorf("wait for the service: %w", ctx.Err())
		}
	}
}

func (p *process) address() string { return p.at }

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) stop(ctx context.Context) error {
	defer p.log.Close()
	return p.end(ctx)
}

// end ends the process in good order, or kills it when that takes long.
func (p *process) end(ctx context.Context) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal the service: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	select {
	case err := <-p.exited:
		if err != nil {
			return fmt.Errorf("%w: %w", errEnded, err)
		}
		return nil
	case <-ctx.Done():
		err := p.cmd.Process.Kill()
		return errors.Join(fmt.Errorf("the service did not stop: %w", ctx.Err()), err, <-p.exited)
	}
}

// inProcess is the service inside of this process, for profiles.
type inProcess struct {
	at     string
	log    *os.File
	cancel context.CancelFunc
	ended  chan error
}

func startInProcess(ctx context.Context, dir string, s *servers, level string) (*inProcess, error) {
	c := config.Default()
	c.AppHost, c.AppPort, c.AdminPort, c.Log.Level = "127.0.0.1", 0, 0, level
	c.Database.URL, c.RabbitMQ.URL = s.databaseURL, s.rabbitmqURL
	c.PublishRate = 0 // one tenant alone shall take what there is
	c.Delivery.AllowPrivate = true
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	file, err := os.Create(filepath.Join(dir, "service.log"))
	if err != nil {
		return nil, fmt.Errorf("make a log: %w", err)
	}
	log, err := logger.New(file, logger.Options{Level: level, Format: c.Log.Format, FromContext: server.LogAttributes})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the logger: %w", err), file.Close())
	}
	srv, err := server.New(c, log, io.Discard) //nolint:contextcheck // Run gets one
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the service: %w", err), file.Close())
	}
	u, err := url.Parse(srv.URL())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the address of the service: %w", err), file.Close())
	}
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &inProcess{at: u.Host, log: file, cancel: cancel, ended: make(chan error, 1)}
	go func() { p.ended <- srv.Run(runCtx) }()
	ctx, cancelWait := context.WithTimeout(ctx, startTimeout)
	defer cancelWait()
	select {
	case <-srv.Ready():
		return p, nil
	case err := <-p.ended:
		p.ended <- nil
		return nil, errors.Join(fmt.Errorf("%w: %w", errEnded, err), p.stop(context.WithoutCancel(ctx)))
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("wait for the service: %w", ctx.Err()), p.stop(context.WithoutCancel(ctx)))
	}
}

func (p *inProcess) address() string { return p.at }

func (p *inProcess) pid() int { return os.Getpid() }

func (p *inProcess) restart(context.Context) (stopped, ready time.Duration, err error) {
	return 0, 0, errNoRestart
}

func (p *inProcess) stop(ctx context.Context) error {
	p.cancel()
	defer p.log.Close()
	select {
	case err := <-p.ended:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the service did not stop: %w", ctx.Err())
	}
}

// freeAddress returns an address that nothing listens on.
func freeAddress(ctx context.Context) (string, error) {
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
