package repository

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// closeLimit is how long connections may take to close in good order. The
	// driver alone takes up to 15 s for one whose server does not answer.
	closeLimit = 5 * time.Second
	// cutLimit is how long those who use one may take to notice that it was cut.
	cutLimit = time.Second
)

// Close closes all connections and waits for those in use, for a few seconds at
// most. Then they are cut.
func (s *Store) Close() { s.close(nil) }

// Shutdown is Close that cuts them at the latest when ctx ends.
func (s *Store) Shutdown(ctx context.Context) { s.close(ctx.Done()) }

func (s *Store) close(hurry <-chan struct{}) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		var pools sync.WaitGroup
		for _, pool := range []*pgxpool.Pool{s.general, s.writers, s.ddl, s.locks, s.streams, s.fleet, s.callers, s.tokens, s.logins, s.deliveries, s.settlers} {
			if pool != nil {
				pools.Go(pool.Close)
			}
		}
		pools.Wait()
	}()
	select {
	case <-closed:
	case <-hurry:
	case <-time.After(closeLimit):
	}
	s.cut()
	select {
	case <-closed:
	case <-time.After(cutLimit):
	}
}

// socket is a connection that is closed when its context ends.
type socket struct {
	net.Conn

	forget func() bool
}

func newSocket(ctx context.Context, conn net.Conn) net.Conn {
	return &socket{Conn: conn, forget: context.AfterFunc(ctx, func() { _ = conn.Close() })} // it is given up
}

// Close implements net.Conn.
func (s *socket) Close() error {
	s.forget()
	return s.Conn.Close() //nolint:wrapcheck // passes on
}
