package testservers

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/pkg/devstack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMode(t *testing.T) {
	for value, want := range map[string]Mode{"": ModeAuto, "env": ModeEnv, "docker": ModeDocker, "local": ModeLocal} {
		t.Setenv(ModeVariable, value)
		got, err := ModeFromEnv()
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	t.Setenv(ModeVariable, "podman")
	_, err := ModeFromEnv()
	require.ErrorContains(t, err, "env, docker or local")
}

func TestParseKind(t *testing.T) {
	t.Parallel()
	for _, kind := range Kinds() {
		got, err := ParseKind(string(kind))
		require.NoError(t, err)
		require.Equal(t, kind, got)
		require.NotEmpty(t, kind.Variable())
		require.NotEmpty(t, kind.debianPackage())
		require.NotEmpty(t, imageOf(kind))
	}
	_, err := ParseKind("mysql")
	require.ErrorIs(t, err, errUnknown)
}

func TestAURLComesFirst(t *testing.T) {
	t.Setenv("TEST_RABBITMQ_URL", "amqp://there")
	t.Setenv(ManagementVariable, "http://there")
	for _, mode := range []Mode{ModeAuto, ModeEnv} {
		s, err := Start(t.Context(), RabbitMQ, Options{Mode: mode, Progress: t.Output()})
		require.NoError(t, err)
		require.Equal(t, "amqp://there", s.URL)
		require.Equal(t, "http://there", s.ManagementURL)
		require.NoError(t, s.Close(t.Context()))
	}
	t.Setenv("TEST_RABBITMQ_URL", "")
	_, err := Start(t.Context(), RabbitMQ, Options{Mode: ModeEnv})
	require.ErrorContains(t, err, "TEST_RABBITMQ_URL")
}

func TestWithoutAnEngine(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///nonexistent.sock")
	t.Setenv("TEST_REDIS_URL", "")
	_, err := Start(t.Context(), Redis, Options{Mode: ModeDocker})
	require.ErrorContains(t, err, "no Docker engine")

	dir, err := devstack.TempDir()
	require.NoError(t, err)
	s, err := Start(t.Context(), Redis, Options{Dir: dir.Path(), Progress: t.Output()})
	require.NoError(t, err)
	require.Contains(t, s.From, dir.Path())
	require.NoError(t, s.Close(t.Context()))
	require.NoError(t, dir.Remove())
}

// Servers in containers live like those from programs. Without an engine there
// is nothing to try, and the reason is given.
func TestContainersCanBeBroken(t *testing.T) {
	t.Parallel()
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			e, err := openEngine(t.Context())
			if err == nil {
				err = e.ensureImage(t.Context(), imageOf(kind), t.Output())
			}
			if err != nil {
				t.Logf("not tried: %v", err)
				return
			}
			c := newContainer(e, kind, Options{})
			defer func() { require.NoError(t, c.Remove()) }()
			answers := func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				return c.probe(ctx)
			}
			require.NoError(t, c.Start(t.Context()))
			url := c.URL()
			require.NoError(t, c.Start(t.Context()), "starting twice")
			require.NoError(t, c.Kill())
			require.Error(t, answers())
			require.NoError(t, c.Start(t.Context()))
			require.NoError(t, c.Pause())
			require.Error(t, answers())
			require.NoError(t, c.Resume())
			require.NoError(t, answers())
			require.NoError(t, c.Stop(t.Context()))
			require.Error(t, answers())
			require.NoError(t, c.Start(t.Context()))
			require.Equal(t, url, c.URL())
			require.NoError(t, c.Pause(), "removed while paused")
		})
	}
}
