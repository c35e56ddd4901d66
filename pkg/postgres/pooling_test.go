package postgres_test

import (
	"context"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/pkg/postgres"
)

// A pooler is fine in session mode, and told from one in the other modes, also
// while others use it.
func TestPooling(t *testing.T) {
	t.Parallel()
	direct := devtest.Postgres(t)
	for range 3 {
		require.NoError(t, postgres.CheckPooling(t.Context(), direct))
	}
	for mode, want := range map[string]error{"session": nil, "transaction": postgres.ErrPooled, "statement": postgres.ErrPooled} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			url := devtest.PgBouncer(t, direct, mode)
			busy, stop := context.WithCancel(t.Context())
			var others sync.WaitGroup
			t.Cleanup(func() { stop(); others.Wait() })
			for i := range 12 {
				if i == 4 {
					keepBusy(t, busy, &others, url)
				}
				err := postgres.CheckPooling(t.Context(), url)
				require.ErrorIs(t, err, want)
				require.Equal(t, want != nil, postgres.IsMisconfigured(err))
			}
		})
	}
	err := postgres.CheckPooling(t.Context(), "postgres://a:hunter2@127.0.0.1:1/b")
	require.Equal(t, postgres.ClassUnavailable, postgres.Classify(err))
	require.False(t, postgres.IsMisconfigured(err))
	require.NotContains(t, err.Error(), "hunter2")
}

// keepBusy lets several others use the pooler until ctx ends.
func keepBusy(t *testing.T, ctx context.Context, others *sync.WaitGroup, url string) {
	t.Helper()
	for range 4 {
		config, err := postgres.ParseConfig(url, postgres.PoolOptions{Name: "busy", Unprepared: true})
		require.NoError(t, err)
		conn, err := pgx.ConnectConfig(ctx, config)
		require.NoError(t, err)
		others.Go(func() {
			defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
			for ctx.Err() == nil {
				_, _ = conn.Exec(ctx, "SELECT pg_sleep(0.001)")
			}
		})
	}
}
