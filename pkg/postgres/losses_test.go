package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/pkg/postgres"
)

// Once somebody has noticed that the server ended connections, nobody else's
// statement fails for it, in any pool.
func TestLostConnectionsAreNoticedOnce(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	var losses postgres.Losses
	pools := make([]*pgxpool.Pool, 2)
	var ended []int
	for i := range pools {
		pool, err := postgres.NewPool(t.Context(), url, postgres.PoolOptions{Name: "test", MaxConns: 3, Losses: &losses})
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		pools[i] = pool
		ended = append(ended, backends(t, pool, 3)...)
	}
	other, err := postgres.NewPool(t.Context(), url, postgres.PoolOptions{Name: "other", MaxConns: 1})
	require.NoError(t, err)
	t.Cleanup(other.Close)
	_, err = other.Exec(t.Context(), `SELECT pg_terminate_backend(pid, 5000) FROM unnest($1::int[]) AS pid`, ended)
	require.NoError(t, err)

	_, err = pools[0].Exec(t.Context(), `SELECT 1`)
	require.Error(t, err, "the first one notices")
	for range 6 {
		for _, pool := range pools {
			_, err := pool.Exec(t.Context(), `SELECT 1`)
			require.NoError(t, err)
		}
	}
}

// backends fills the pool with n connections and returns the processes of the server
// behind them.
func backends(t *testing.T, pool *pgxpool.Pool, n int) []int {
	t.Helper()
	ids := make([]int, 0, n)
	for range n {
		conn, err := pool.Acquire(context.WithoutCancel(t.Context()))
		require.NoError(t, err)
		defer conn.Release()
		ids = append(ids, int(conn.Conn().PgConn().PID()))
	}
	return ids
}
