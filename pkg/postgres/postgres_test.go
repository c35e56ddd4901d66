package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/pkg/postgres"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err  error
		want postgres.Class
	}{
		"nothing":                   {nil, postgres.ClassNone},
		"connection failure":        {&pgconn.PgError{Code: "08006"}, postgres.ClassUnavailable},
		"administrator's shutdown":  {&pgconn.PgError{Code: "57P01"}, postgres.ClassUnavailable},
		"starting up":               {&pgconn.PgError{Code: "57P03"}, postgres.ClassUnavailable},
		"too many connections":      {&pgconn.PgError{Code: "53300"}, postgres.ClassUnavailable},
		"disk full":                 {&pgconn.PgError{Code: "53100"}, postgres.ClassUnavailable},
		"serialization failure":     {&pgconn.PgError{Code: "40001"}, postgres.ClassUnavailable},
		"read-only":                 {&pgconn.PgError{Code: "25006"}, postgres.ClassUnavailable},
		"wrong password":            {&pgconn.PgError{Code: "28P01"}, postgres.ClassUnavailable},
		"no such table":             {&pgconn.PgError{Code: "42P01"}, postgres.ClassUnavailable},
		"lock timeout":              {&pgconn.PgError{Code: "55P03"}, postgres.ClassContended},
		"statement timeout":         {&pgconn.PgError{Code: "57014"}, postgres.ClassContended},
		"deadlock":                  {&pgconn.PgError{Code: "40P01"}, postgres.ClassContended},
		"untranslatable character":  {&pgconn.PgError{Code: "22P05"}, postgres.ClassData},
		"unique violation":          {&pgconn.PgError{Code: "23505"}, postgres.ClassData},
		"program limit":             {&pgconn.PgError{Code: "54000"}, postgres.ClassData},
		"damaged table":             {&pgconn.PgError{Code: "XX001"}, postgres.ClassUnavailable},
		"damaged index":             {&pgconn.PgError{Code: "XX002"}, postgres.ClassUnavailable},
		"internal error":            {&pgconn.PgError{Code: "XX000"}, postgres.ClassOther},
		"wrapped":                   {fmt.Errorf("run: %w", &pgconn.PgError{Code: "40P01"}), postgres.ClassContended},
		"end of file":               {io.ErrUnexpectedEOF, postgres.ClassUnavailable},
		"network":                   {&net.OpError{Op: "read", Err: errors.New("reset")}, postgres.ClassUnavailable},
		"deadline":                  {context.DeadlineExceeded, postgres.ClassUnavailable},
		"no rows":                   {pgx.ErrNoRows, postgres.ClassOther},
		"column that does not scan": {pgx.ScanArgError{Err: errors.New("x")}, postgres.ClassOther},
	} {
		require.Equal(t, tt.want, postgres.Classify(tt.err), name)
	}
}

// The server answers in all of these cases, and in some for one table only.
func TestIsLocal(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{
		"53100": true, "58030": true, "55000": true, "42501": true, "42P01": true, "0A000": true, "XX001": true, "XX002": true,
		"08006": false, "25006": false, "26000": false, "28P01": false, "3D000": false, "40001": false, "57P01": false, "57P03": false, "F0000": false,
		"55P03": false, "57014": false, "22P05": false, "23505": false, "54000": false, "XX000": false,
	} {
		require.Equal(t, want, postgres.IsLocal(fmt.Errorf("insert: %w", &pgconn.PgError{Code: code})), code)
	}
	require.False(t, postgres.IsLocal(nil))
	require.False(t, postgres.IsLocal(io.ErrUnexpectedEOF))
	require.False(t, postgres.IsLocal(context.DeadlineExceeded))
}

// A server that has no connection left refuses everybody.
func TestNoConnectionIsNotLocal(t *testing.T) {
	t.Parallel()
	config, err := pgx.ParseConfig(devtest.Postgres(t))
	require.NoError(t, err)
	admin, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = admin.Close(context.WithoutCancel(t.Context())) })
	database := pgx.Identifier{config.Database}.Sanitize()
	role := pgx.Identifier{"nobody_" + config.Database}.Sanitize()
	_, err = admin.Exec(t.Context(), `CREATE ROLE `+role+` LOGIN PASSWORD 'nobody'; REVOKE CONNECT ON DATABASE `+database+` FROM PUBLIC`)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = admin.Exec(context.WithoutCancel(t.Context()), `DROP ROLE `+role) })
	config.User, config.Password = "nobody_"+config.Database, "nobody"
	_, err = pgx.ConnectConfig(t.Context(), config)
	require.Equal(t, "42501", postgres.Code(err), "%v", err)
	require.Equal(t, postgres.ClassUnavailable, postgres.Classify(err))
	require.False(t, postgres.IsLocal(err))
}

func TestNoPartitionIsNotACheckConstraint(t *testing.T) {
	t.Parallel()
	pool, err := postgres.NewPool(t.Context(), devtest.Postgres(t), postgres.PoolOptions{Name: "test", MaxConns: 1})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	_, err = pool.Exec(t.Context(), `CREATE TABLE lists (n int CHECK (n > 0)) PARTITION BY LIST (n)`)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `CREATE TABLE lists_0 PARTITION OF lists FOR VALUES IN (0)`)
	require.NoError(t, err)

	_, err = pool.Exec(t.Context(), `INSERT INTO lists VALUES (0)`)
	_, ok := postgres.NoPartition(err)
	require.False(t, ok)
	_, err = pool.Exec(t.Context(), `INSERT INTO lists VALUES (1)`)
	table, ok := postgres.NoPartition(err)
	require.True(t, ok)
	require.Equal(t, "lists", table)
}

// Cancelling the context ends the statement on the server too, and the
// connection stays in use.
func TestCancelEndsTheStatementOnTheServer(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	pool, err := postgres.NewPool(t.Context(), url, postgres.PoolOptions{Name: "cancelled", MaxConns: 1})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	pid := conn.Conn().PgConn().PID()

	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := conn.Exec(ctx, `SELECT pg_sleep(60)`)
		failed <- err
	}()
	watcher, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(watcher.Close)
	waitForState(t, watcher, pid, "active")
	cancel()
	require.True(t, postgres.IsQueryCanceled(<-failed))
	waitForState(t, watcher, pid, "idle")
	require.NoError(t, conn.Ping(t.Context()))
	require.Equal(t, pid, conn.Conn().PgConn().PID())
}

func waitForState(t *testing.T, watcher *pgxpool.Pool, pid uint32, want string) {
	t.Helper()
	for t.Context().Err() == nil {
		var state string
		require.NoError(t, watcher.QueryRow(t.Context(), `SELECT coalesce(state, '') FROM pg_stat_activity WHERE pid = $1`, int32(pid)).Scan(&state))
		if state == want {
			return
		}
	}
}

// A connection to a server that has vanished is noticed before the server, if
// it is there after all, gives away what the connection holds.
func TestSilentServersAreNoticed(t *testing.T) {
	t.Parallel()
	var dialed net.Conn
	config, err := postgres.ParseConfig(devtest.Postgres(t), postgres.PoolOptions{
		Dialed: func(conn net.Conn) net.Conn { dialed = conn; return conn },
	})
	require.NoError(t, err)
	conn, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	tcp, ok := dialed.(*net.TCPConn)
	require.True(t, ok)
	raw, err := tcp.SyscallConn()
	require.NoError(t, err)
	read := func(option int) (value int) {
		require.NoError(t, raw.Control(func(fd uintptr) {
			value, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, option)
		}))
		require.NoError(t, err)
		return value
	}
	client := read(syscall.TCP_KEEPIDLE) + read(syscall.TCP_KEEPINTVL)*read(syscall.TCP_KEEPCNT)
	number := func(setting string) (n int) {
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT current_setting($1)::int`, setting).Scan(&n))
		return n
	}
	server := number("tcp_keepalives_idle") + number("tcp_keepalives_interval")*number("tcp_keepalives_count")
	require.Less(t, client, server)
	require.LessOrEqual(t, server, 30)
	require.LessOrEqual(t, number("tcp_user_timeout"), 30_000)
}
