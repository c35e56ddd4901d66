package devtest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack"
	"lanekeeper/pkg/devstack/testservers"
)

// Server is a server of one test's own, which the test may break: its address
// stays the same over all of that, and so do the data of PostgreSQL and
// RabbitMQ. It is removed when the test ends. The methods end the test when
// they fail, so call them from the test's own goroutine.
type Server struct {
	t       testing.TB
	private testservers.Private
}

// PrivatePostgres starts a PostgreSQL server of the test's own.
func PrivatePostgres(t testing.TB) *Server {
	t.Helper()
	return newServer(t, testservers.Postgres)
}

// PrivateRabbitMQ starts a broker of the test's own, which takes 5 to 8 s.
func PrivateRabbitMQ(t testing.TB) *Server {
	t.Helper()
	return newServer(t, testservers.RabbitMQ)
}

// PrivateRedis starts a Redis server of the test's own.
func PrivateRedis(t testing.TB) *Server {
	t.Helper()
	return newServer(t, testservers.Redis)
}

// newServer starts a server from the programs on this machine, or in a
// container where those are missing.
func newServer(t testing.TB, kind testservers.Kind) *Server {
	t.Helper()
	dir, err := devstack.TempDir()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dir.Remove()) })
	private, err := testservers.NewPrivate(t.Context(), kind, testservers.Options{Dir: dir.Path(), Progress: t.Output()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, private.Remove()) })
	s := &Server{t: t, private: private}
	s.Start()
	return s
}

// URL is where the server is: a database of PostgreSQL whose user may do
// anything, the virtual host / of RabbitMQ, the database 0 of Redis.
func (s *Server) URL() string { return s.private.URL() }

// Start starts the server again and returns when it answers.
func (s *Server) Start() {
	s.t.Helper()
	require.NoError(s.t, s.private.Start(s.t.Context()))
}

// Stop ends the server in good order, as its administrator would.
func (s *Server) Stop() {
	s.t.Helper()
	require.NoError(s.t, s.private.Stop(context.WithoutCancel(s.t.Context())))
}

// Kill ends the server with SIGKILL.
func (s *Server) Kill() {
	s.t.Helper()
	require.NoError(s.t, s.private.Kill())
}

// Pause freezes the server (SIGSTOP): connections stay open, nothing answers.
func (s *Server) Pause() {
	s.t.Helper()
	require.NoError(s.t, s.private.Pause())
}

// Resume ends a pause.
func (s *Server) Resume() {
	s.t.Helper()
	require.NoError(s.t, s.private.Resume())
}
