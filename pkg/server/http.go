package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"lanekeeper/controller/middleware"
	"lanekeeper/pkg/httpconn"
)

const (
	// readHeaderTimeout bounds how long the head of a request may take.
	readHeaderTimeout = 10 * time.Second
	// readTimeout bounds how long a whole request may take whose handler sets
	// no deadline for its body.
	readTimeout = 30 * time.Second
	idleTimeout = 2 * time.Minute
	// maxHeaderBytes bounds the head of a request, its first line included; to
	// it net/http adds 4 KiB.
	maxHeaderBytes = 28 << 10
	// httpShare is how much of the shutdown timeout requests under way get.
	httpShare = 3
	// adminConnections may be open to the admin port.
	adminConnections = 32
)

// httpServers returns the servers by the listeners they are for.
func (s *Server) httpServers(p *parts) map[net.Listener]*http.Server {
	refused := refusals{p.metrics, s.log}
	connections := newConnections(s.config, s.secure, p.connectionEvents, refused)
	p.metrics.RegisterConnections(connections.Open)
	servers := map[net.Listener]*http.Server{
		connections.Listen(s.listener): s.httpServer(p.handler, connections),
	}
	if s.admin != nil {
		few := httpconn.New(httpconn.Options{Limit: adminConnections, Ended: p.connectionEvents.ended, Refusal: refused.body})
		servers[few.Listen(s.admin)] = s.httpServer(adminHandler(p.metrics.Handler(), s.admin.Addr()), few)
	}
	return servers
}

// httpServer returns a server without a WriteTimeout: that would end long
// answers, while connections end those that are not read.
func (s *Server) httpServer(handler http.Handler, connections *httpconn.Connections) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
		DisableGeneralOptionsHandler: true, // OPTIONS * is no route
		MaxHeaderBytes:               maxHeaderBytes, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		ConnState: connections.State,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if conn, ok := c.(*httpconn.Conn); ok {
				return middleware.WithConnection(ctx, conn)
			}
			return ctx
		},
	}
}

// shutdownHTTP lets requests under way finish within their share of the time,
// and then cuts them off, which is no disorder: a slow client must not decide
// how the service ends.
func (s *Server) shutdownHTTP(ctx context.Context, servers map[net.Listener]*http.Server) error {
	limit, cancel := context.WithTimeout(ctx, s.config.ShutdownTimeout/httpShare)
	defer cancel()
	var errs []error
	for _, server := range servers {
		if err := server.Shutdown(limit); err != nil {
			errs = append(errs, server.Close())
			s.log.WarnContext(ctx, "requests under way were cut off", slog.Any("cause", err))
		}
	}
	return errors.Join(errs...)
}
