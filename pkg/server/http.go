package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"lanekeeper/config"
	"lanekeeper/controller/middleware"
	"lanekeeper/pkg/httpconn"
	"lanekeeper/pkg/shares"
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

	// connectionsOfFiles is the part of the files that this process may have
	// open that connections to it may use; the rest is for those it opens.
	connectionsOfFiles = 0.75
	// shareOfAddress is the part of the connections that one address may have.
	shareOfAddress = 0.25
	// adminConnections may be open to the port for metrics.
	adminConnections = 32
	// fewestConnections is what a limit is never below.
	fewestConnections = 16
)

// httpServers returns the servers by the listeners they are for.
func (s *Server) httpServers(p *parts) map[net.Listener]*http.Server {
	refused := refusals{p.metrics, s.log}
	connections := newConnections(s.config, p.connectionEvents, refused)
	p.metrics.RegisterConnections(connections.Open)
	servers := map[net.Listener]*http.Server{
		connections.Listen(s.listener): s.httpServer(p.handler, connections),
	}
	if s.admin != nil {
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", p.metrics.Handler())
		few := httpconn.New(httpconn.Options{Limit: adminConnections, Ended: p.connectionEvents.ended, Refusal: refused.body})
		servers[few.Listen(s.admin)] = s.httpServer(mux, few)
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

// newConnections returns what keeps the connections of the API within what the
// configuration says, or else within the limit of open files.
func newConnections(c config.Config, events *connectionEvents, refused refusals) *httpconn.Connections {
	limit := c.Limits.Connections
	if limit == 0 {
		limit = max(fewestConnections, int(connectionsOfFiles*float64(fileLimit())))
	}
	perAddress := c.Limits.ConnectionsPerAddress
	if perAddress == 0 {
		perAddress = max(fewestConnections/4, int(shareOfAddress*float64(limit)))
	}
	return httpconn.New(httpconn.Options{
		Limit: limit, PerAddress: perAddress, Exempt: proxyNetworks(c.TrustedProxies),
		Ended: events.ended, Refusal: refused.body,
	})
}

// shareOfOwner is the part of the memory for bodies that one owner may have.
const shareOfOwner = 4

// newBodies returns the memory that bodies of requests share.
func newBodies(c config.Config) *shares.Shares {
	total := int64(c.Limits.BodyMemory) << 20
	share := total / shareOfOwner
	return shares.New(shares.Options{Total: total, PerOwner: share, PerUser: share})
}

// mostFiles is taken for a limit that is none.
const mostFiles = 1 << 24

// fileLimit returns how many files this process may have open.
func fileLimit() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024 // what it is nearly everywhere where nobody has set it
	}
	return int(min(limit.Cur, mostFiles))
}

// proxyNetworks returns the networks of a list that was checked before.
func proxyNetworks(proxies []string) []netip.Prefix {
	var networks []netip.Prefix
	for _, text := range proxies {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			networks = append(networks, prefix)
		} else if addr, err := netip.ParseAddr(text); err == nil {
			networks = append(networks, netip.PrefixFrom(addr, addr.BitLen()))
		}
	}
	return networks
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
