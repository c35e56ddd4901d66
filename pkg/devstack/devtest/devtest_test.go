package devtest_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/pkg/devstack"
	"lanekeeper/pkg/devstack/devtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	one, other := devtest.Postgres(t), devtest.Postgres(t)
	require.NotEqual(t, one, other)
	for _, url := range []string{one, other} {
		conn, err := pgx.Connect(t.Context(), url)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), `CREATE TABLE mine (x int)`)
		require.NoError(t, err)
		// Left open: the database is dropped all the same.
		t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	}
}

func TestADatabaseGoesWithItsTest(t *testing.T) {
	t.Parallel()
	var url string
	t.Run("test", func(t *testing.T) { //nolint:paralleltest // must end before we go on
		url = devtest.Postgres(t)
		require.NoError(t, devstack.PingPostgres(t.Context(), url))
	})
	require.Error(t, devstack.PingPostgres(t.Context(), url))
}

func TestEachTestHasAVirtualHostOfItsOwn(t *testing.T) {
	t.Parallel()
	one, other := devtest.RabbitMQ(t), devtest.RabbitMQ(t)
	if one == other {
		t.Log("the broker's HTTP API is unknown: nothing to see")
		return
	}
	for _, url := range []string{one, other} {
		conn, err := amqp.Dial(url)
		require.NoError(t, err)
		ch, err := conn.Channel()
		require.NoError(t, err)
		_, err = ch.QueueDeclare("mine", true, false, true, false, amqp.Table{})
		require.NoError(t, err, "exclusive, and yet nobody else has it")
		require.NoError(t, conn.Close())
	}
}

func TestARedisDatabaseIsEmpty(t *testing.T) {
	t.Parallel()
	require.NotEmpty(t, devtest.Redis(t))
	require.NotEmpty(t, devtest.Redis(t))
}

func TestPrivateServersCanBeBroken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		start func(testing.TB) *devtest.Server
		ping  func(ctx context.Context, url string) error
	}{
		"postgres": {devtest.PrivatePostgres, devstack.PingPostgres},
		"rabbitmq": {devtest.PrivateRabbitMQ, devstack.PingRabbitMQ},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := c.start(t)
			url := server.URL()
			ping := func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				return c.ping(ctx, url)
			}
			require.NoError(t, ping())
			server.Kill()
			require.Error(t, ping())
			server.Start()
			require.NoError(t, ping())
			server.Pause()
			require.Error(t, ping())
			server.Resume()
			require.NoError(t, ping())
			server.Stop()
			require.Error(t, ping())
			server.Start()
			require.NoError(t, ping())
			require.Equal(t, url, server.URL())
		})
	}
}
