package apptest

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/pkg/server"
)

const (
	// readyLimit is how long the service may take to be ready, on a machine
	// that is busy with other tests.
	readyLimit = 30 * time.Second
	// stopLimit is how long it may take to end. The service's own limit of 20
	// seconds is what it is measured against.
	stopLimit = 25 * time.Second
)

// App is the service, running in this process.
type App struct {
	*Client
	*Probes

	// Config is what it was started with.
	Config config.Config
	// Decorators are put in front of the service's ports when it starts.
	Decorators server.Decorators

	t      testing.TB
	log    *slog.Logger
	warned *warnings
	stop   func() error // nil while it does not run
}

// Option changes how the service is started.
type Option func(*config.Config)

// On makes the service use these servers, and not fresh ones of the test's
// own.
func On(databaseURL, brokerURL string) Option {
	return func(c *config.Config) { c.Database.URL, c.RabbitMQ.URL = databaseURL, brokerURL }
}

// Secret for tokens, which ends open mode.
const Secret = "a secret of the tests, with at least 32 bytes"

// WithSecret makes the service ask for tokens.
func WithSecret() Option {
	return func(c *config.Config) { c.JWTSecret = Secret }
}

// LeaveDeadLetters makes the service leave dead letters in their queues.
func LeaveDeadLetters() Option {
	return func(c *config.Config) { c.DeadLetters.Collect = false }
}

// RecordLog returns what reads everything that the service logs, whatever its level.
// Call it before Start.
func (a *App) RecordLog() (text func() string) {
	recorded := &LockedBuffer{}
	all := slog.NewJSONHandler(recorded, &slog.HandlerOptions{Level: slog.LevelDebug})
	a.log = slog.New(slog.NewMultiHandler(a.log.Handler(), all))
	return recorded.String
}

// Boot starts the service, waits until it is ready, and stops it when the test
// ends. The test fails when the service does not end in good order, or says
// that something went wrong that should never.
func Boot(t testing.TB, options ...Option) *App {
	t.Helper()
	a := New(t, options...)
	a.Start()
	return a
}

// New is Boot without the start. Start may be called once the test has broken
// what it wants to break.
func New(t testing.TB, options ...Option) *App {
	t.Helper()
	c := config.Default()
	c.AppPort, c.AppHost, c.AdminPort = 0, "127.0.0.1", 0 // many run side by side
	c.Metrics.Public = true
	c.Database.MaxConnections = 10 // many tests share a server
	for _, change := range options {
		change(&c)
	}
	if c.Database.URL == "" {
		c.Database.URL = devtest.Postgres(t)
	}
	if c.RabbitMQ.URL == "" {
		c.RabbitMQ.URL = devtest.RabbitMQ(t)
	}
	require.NoError(t, c.Validate())
	a := &App{
		Config: c, Client: newClient(t), Probes: newProbes(t, c.Database.URL, c.RabbitMQ.URL),
		t: t, warned: &warnings{},
	}
	a.log = newLog(t, a.warned)
	t.Cleanup(a.Stop)
	return a
}

// Start starts the service again after Stop and waits until it is ready.
func (a *App) Start() {
	a.t.Helper()
	ready := a.Launch()
	select {
	case <-ready:
	case <-time.After(readyLimit):
		require.FailNow(a.t, "the service is not ready")
	}
}

// Launch starts the service and does not wait. The channel is closed when the
// service is ready for the first time.
func (a *App) Launch() (ready <-chan struct{}) {
	a.t.Helper()
	require.Nil(a.t, a.stop, "it runs already")
	s, err := server.New(a.Config, a.log, io.Discard)
	require.NoError(a.t, err)
	s.Decorate(a.Decorators)
	a.setURL(s.URL())
	ctx, cancel := context.WithCancel(context.WithoutCancel(a.t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	a.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(stopLimit):
			return context.DeadlineExceeded
		}
	})
	return s.Ready()
}

// Stop ends the service as SIGTERM would, and fails the test when it does not
// end in good order. Stopping twice is allowed.
func (a *App) Stop() {
	a.t.Helper()
	if a.stop == nil {
		return
	}
	stop := a.stop
	a.stop = nil
	a.closeIdle()
	if err := stop(); err != nil {
		a.t.Errorf("the service did not end in good order: %v", err)
	}
}

// Restart stops the service and starts it again on the same servers.
func (a *App) Restart() {
	a.t.Helper()
	a.Stop()
	a.Start()
}
