package server

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
)

// People who try the service with its private servers see where everything is,
// with tokens or without, and how to get one.
func TestFirstSteps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change      func(*config.Config)
		steps, auth bool
	}{
		"open mode":                      {func(*config.Config) {}, true, false},
		"private servers, with a secret": {func(c *config.Config) { c.JWTSecret = "it's a secret of at least 32 bytes" }, true, true},
		"own servers, open mode":         {func(c *config.Config) { c.Database.URL, c.RabbitMQ.URL = "postgres://a/b", "amqp://a/" }, true, false},
		"own servers, with a secret": {func(c *config.Config) {
			c.Database.URL, c.RabbitMQ.URL, c.JWTSecret = "postgres://a/b", "amqp://a/", "a secret of at least thirty-two bytes"
		}, false, false},
	} {
		options := config.Default()
		options.AppHost, options.AppPort, options.AdminPort = "127.0.0.1", 0, 0
		c.change(&options)
		var notes bytes.Buffer
		s, err := New(options, slog.New(slog.DiscardHandler), &notes)
		require.NoError(t, err, name)
		t.Cleanup(func() { _ = s.listener.Close() })
		if options.PrivateServers() { // as when they have started
			s.config.Database.URL, s.config.RabbitMQ.URL = "postgres://postgres:hunter2@127.0.0.1:5555/lanekeeper", "amqp://guest:guest@127.0.0.1:5556/"
		}
		s.writeFirstSteps()
		if !c.steps {
			require.Empty(t, notes.String(), name)
			continue
		}
		require.Contains(t, notes.String(), "Lanekeeper is ready.", name)
		require.Contains(t, notes.String(), "Try it:\n  curl -X POST "+s.URL()+"/api/tenants", name)
		require.NotContains(t, notes.String(), "secret of", name)
		require.NotContains(t, notes.String(), "hunter2", name)
		if c.auth {
			require.Contains(t, notes.String(), "user add --email", name)
			require.Contains(t, notes.String(), "lanekeeper token --email", name)
			require.Contains(t, notes.String(), `-H "Authorization: Bearer $TOKEN"`, name)
		} else {
			require.NotContains(t, notes.String(), "TOKEN", name)
		}
	}
}

// Endpoints may be on this machine where every caller is: with private servers, in open
// mode, and nobody else let in.
func TestLocalEndpoints(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  func(*config.Config)
		allowed bool
	}{
		"private servers":                {func(*config.Config) {}, true},
		"private servers, with a secret": {func(c *config.Config) { c.JWTSecret = "a secret of at least thirty-two bytes" }, false},
		"private servers, with peers":    {func(c *config.Config) { c.OpenModePeers = []string{"10.0.0.7"} }, false},
		"own servers":                    {func(c *config.Config) { c.Database.URL, c.RabbitMQ.URL = "postgres://a/b", "amqp://a/" }, false},
	} {
		options := config.Default()
		options.AppHost, options.AppPort, options.AdminPort = "127.0.0.1", 0, 0
		c.change(&options)
		s, err := New(options, slog.New(slog.DiscardHandler), &bytes.Buffer{})
		require.NoError(t, err, name)
		t.Cleanup(func() { _ = s.listener.Close() })
		require.Equal(t, c.allowed, s.config.Delivery.AllowLocal, name)
		require.False(t, s.config.Delivery.AllowPrivate, name)
	}
}
