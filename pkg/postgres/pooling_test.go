package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/pkg/postgres"
)

// A pooler is fine in session mode, and not taken for one in the other modes, also
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

// Whatever a session holds is there behind PgBouncer in session mode, with
// nothing to be ignored in its configuration.
func TestSessionMode(t *testing.T) {
	t.Parallel()
	url := devtest.PgBouncer(t, devtest.Postgres(t), "session")
	pool, err := postgres.NewPool(t.Context(), url+"&search_path=public,elsewhere", postgres.PoolOptions{
		Name: "pooled", MaxConns: 4, StatementTimeout: 3 * time.Second, LockTimeout: 2 * time.Second, IdleInTransactionTimeout: time.Second,
		Plans: postgres.CustomPlans, PreferIndexes: true,
	})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	one, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer one.Release()
	other, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer other.Release()
	for range 3 { // prepared the first time
		for _, conn := range []*pgxpool.Conn{one, other} {
			var settings string
			require.NoError(t, conn.QueryRow(t.Context(), `SELECT string_agg(current_setting(name), ' ' ORDER BY at) FROM unnest($1::text[]) WITH ORDINALITY AS s (name, at)`,
				[]string{"application_name", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "plan_cache_mode", "enable_seqscan", "jit", "search_path"}).Scan(&settings))
			require.Equal(t, "pooled 3s 2s 1s force_custom_plan off off public,elsewhere", settings)
		}
	}
	var locked bool
	_, err = one.Exec(t.Context(), `SELECT pg_advisory_lock(1)`)
	require.NoError(t, err)
	require.NoError(t, other.QueryRow(t.Context(), `SELECT pg_try_advisory_lock(1)`).Scan(&locked))
	require.False(t, locked)
	_, err = one.Exec(t.Context(), `LISTEN changes`)
	require.NoError(t, err)
	_, err = other.Exec(t.Context(), `NOTIFY changes, 'heard'`)
	require.NoError(t, err)
	limited, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	notification, err := one.Conn().WaitForNotification(limited)
	require.NoError(t, err)
	require.Equal(t, "heard", notification.Payload)
	_, err = other.Exec(t.Context(), `SELECT pg_sleep(10)`)
	require.Equal(t, "57014", postgres.Code(err), "the statement timeout: %v", err)
	for range 5 {
		short, end := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err = other.Exec(short, `SELECT pg_sleep(2)`)
		end()
		require.Error(t, err)
		require.NoError(t, other.Ping(t.Context()), "cancelling goes through the pooler, too")
	}
}
