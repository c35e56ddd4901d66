package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"lanekeeper/config"
	"lanekeeper/domain"
	"lanekeeper/pkg/devstack"
	"lanekeeper/pkg/logger"
	"lanekeeper/pkg/tracing"
	"lanekeeper/pkg/version"
)

// stackStopTimeout bounds the stopping of the private servers, which comes
// after everything of ours has ended.
const stackStopTimeout = 30 * time.Second

// Server is one replica of the service. Make it with New and call Run once.
type Server struct {
	config config.Config
	log    *slog.Logger
	notes  io.Writer

	listener net.Listener
	admin    net.Listener // nil where there is no admin_port
	secure   *tls.Config  // nil without TLS
	ready    chan struct{}

	decorators Decorators
	// private is what the configuration said of private servers before it named
	// them.
	private bool
	// environmentFile is where their URLs are; "" where there are none.
	environmentFile string
}

// New takes the ports, so that a second start fails before it touches
// anything. Notes for the person who starts the service by hand go to notes.
func New(c config.Config, log *slog.Logger, notes io.Writer) (*Server, error) {
	s := &Server{config: c, log: log, notes: notes, private: c.PrivateServers(), ready: make(chan struct{})}
	s.config.Delivery.AllowLocal = c.PrivateServers() && c.OpenMode() && len(c.OpenModePeers) == 0
	ctx := context.Background() // listening does not wait
	var err error
	if s.secure, err = secureConfig(c, log); err != nil {
		return nil, err
	}
	listen := listenConfig()
	if s.listener, err = listen.Listen(ctx, "tcp", c.ListenAddress()); err != nil {
		return nil, fmt.Errorf("app_host (APP_HOST) and app_port (APP_PORT): %w", err)
	}
	if at, ok := s.listener.Addr().(*net.TCPAddr); ok {
		s.config.AppPort = at.Port
	}
	if c.AdminAddress() != "" {
		if s.admin, err = listen.Listen(ctx, "tcp", c.AdminAddress()); err != nil {
			err = fmt.Errorf("admin_host (ADMIN_HOST) and admin_port (ADMIN_PORT), for metrics: %w; configure another port, or 0 for none", err)
			return nil, errors.Join(err, s.listener.Close())
		}
	}
	return s, nil
}

// Decorate makes Run put d in front of the service's ports. It exists for
// tests that plant a bug, or a crash at a certain step. Call it before Run.
func (s *Server) Decorate(d Decorators) { s.decorators = d }

// URL returns where the service answers, without a path.
func (s *Server) URL() string {
	scheme := "http"
	if s.secure != nil {
		scheme = "https"
	}
	return (&url.URL{Scheme: scheme, Host: reachable(s.listener.Addr().String())}).String()
}

// AdminURL returns where /metrics and /debug/pprof are, without a path, or "" for
// nowhere.
func (s *Server) AdminURL() string {
	if s.admin == nil {
		return ""
	}
	return (&url.URL{Scheme: "http", Host: reachable(s.admin.Addr().String())}).String()
}

// Ready is closed when the service has been ready for the first time.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run serves until ctx ends and then shuts down in order: not ready, requests
// under way, consumers drained, what they stored acknowledged, connections
// closed, private servers stopped. It returns nil after an orderly end.
func (s *Server) Run(parent context.Context) error {
	ctx, stop := context.WithCancelCause(parent)
	defer stop(nil)
	if s.config.OpenMode() {
		s.log.WarnContext(ctx, "open mode: calls without a token act as admin; set jwt_secret to change that")
	}
	stack, err := s.startPrivateServers(ctx, stop)
	if err != nil {
		err = errors.Join(err, s.listener.Close(), s.closeAdmin())
		if parent.Err() != nil { // the end was asked for while they started
			s.log.InfoContext(ctx, "ended before it was ready", slog.Any("error", err))
			return nil
		}
		return err
	}
	err = s.serve(ctx, stop)
	if parent.Err() == nil { // the end was not asked for
		err = errors.Join(context.Cause(ctx), err)
	}
	if stack != nil {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stackStopTimeout)
		defer cancel()
		fmt.Fprintln(s.notes, "stopping the private servers")
		err = errors.Join(err, stack.Stop(stopCtx))
	}
	return err
}

// startPrivateServers starts the service's own servers unless the
// configuration names others, and ends ctx when one of them dies.
func (s *Server) startPrivateServers(ctx context.Context, stop context.CancelCauseFunc) (*devstack.Stack, error) {
	if !s.config.PrivateServers() {
		return nil, nil //nolint:nilnil // no servers and no error is one of the three outcomes
	}
	stack, err := devstack.Start(ctx, devstack.Options{Dir: s.config.DataDir, Progress: s.notes, Durable: true, Passwords: true})
	if err != nil {
		return nil, fmt.Errorf("start private servers: %w", err)
	}
	s.config.Database.URL, s.config.RabbitMQ.URL = stack.DatabaseURL(), stack.RabbitMQURL()
	if s.config.RabbitMQ.FileLimit == 0 {
		s.config.RabbitMQ.FileLimit = stack.RabbitMQFileLimit()
	}
	go func() {
		select {
		case err := <-stack.Exited():
			stop(fmt.Errorf("a private server ended: %w", err))
		case <-ctx.Done():
		}
	}()
	s.environmentFile = stack.EnvironmentFile()
	writeHints(s.notes, stack.Hints())
	return stack, nil
}

func (s *Server) serve(ctx context.Context, stop context.CancelCauseFunc) error {
	parts, err := assemble(ctx, s.config, processAddress(s.listener.Addr()), s.log, s.decorators)
	if err != nil {
		return errors.Join(err, s.listener.Close(), s.closeAdmin())
	}
	parts.fail = func(err error) { stop(err) }
	servers := s.httpServers(parts)
	var serving sync.WaitGroup
	for listener, server := range servers {
		serving.Go(func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				stop(fmt.Errorf("serve: %w", err))
			}
		})
	}
	s.log.InfoContext(ctx, "listening", slog.String("url", s.URL()), slog.String("admin_url", s.AdminURL()),
		slog.String("version", version.Read().Version), slog.String("environment", s.config.Environment))
	parts.start(context.WithoutCancel(ctx), func() {
		close(s.ready)
		s.log.InfoContext(ctx, "ready")
		s.writeFirstSteps()
	})

	<-ctx.Done()
	s.log.InfoContext(ctx, "shutting down", slog.Any("cause", context.Cause(ctx)))
	begin := time.Now()
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.ShutdownTimeout)
	defer cancel()
	parts.readiness.draining.Store(true)
	select {
	case <-time.After(s.config.ShutdownDelay):
	case <-limit.Done():
	}
	parts.streams.Close()
	err = errors.Join(s.shutdownHTTP(limit, servers), parts.stop(limit))
	serving.Wait()
	s.log.InfoContext(ctx, "shut down", logger.Milliseconds("duration_ms", time.Since(begin)))
	return err
}

// writeFirstSteps writes them where a person may read them.
func (s *Server) writeFirstSteps() {
	if s.private || s.config.OpenMode() {
		firstSteps{s.config, s.URL(), s.metricsURL(), s.environmentFile}.write(s.notes)
	}
}

// metricsURL returns where metrics are, without a path, or "" for nowhere.
func (s *Server) metricsURL() string {
	if s.admin == nil && s.config.PublicMetrics() {
		return s.URL()
	}
	return s.AdminURL()
}

func (s *Server) closeAdmin() error {
	if s.admin == nil {
		return nil
	}
	return s.admin.Close()
}

// LogAttributes returns what every log record of a request carries.
func LogAttributes(ctx context.Context) []slog.Attr {
	var attrs []slog.Attr
	if id := domain.RequestID(ctx); id != "" {
		attrs = append(attrs, slog.String("request_id", id))
	}
	if id, ok := domain.TenantID(ctx); ok {
		attrs = append(attrs, slog.String("tenant_id", id.String()))
	}
	if id := tracing.ID(ctx); id != "" {
		attrs = append(attrs, slog.String("trace_id", id))
	}
	return attrs
}
