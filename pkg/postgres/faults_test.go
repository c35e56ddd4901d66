package postgres_test

import (
	"context"
	"errors"
	"io"
	"net"
	neturl "net/url"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/pkg/postgres"
)

// What never left the process is a fault of ours, and no outage that passes.
func TestFaultsOfOursAreNoOutage(t *testing.T) {
	t.Parallel()
	pool, err := postgres.NewPool(t.Context(), devtest.Postgres(t), postgres.PoolOptions{Name: "test", MaxConns: 1})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	var number int
	var text string
	for name, run := range map[string]func(*pgxpool.Pool) error{
		"parameter that cannot be encoded": func(p *pgxpool.Pool) error { _, err := p.Exec(t.Context(), `SELECT $1::int`, struct{}{}); return err },
		"parameter that is too large": func(p *pgxpool.Pool) error {
			_, err := p.Exec(t.Context(), `SELECT $1::int4`, int64(1)<<40)
			return err
		},
		"too few parameters":        func(p *pgxpool.Pool) error { _, err := p.Exec(t.Context(), `SELECT $1::int, $2::int`, 1); return err },
		"too many parameters":       func(p *pgxpool.Pool) error { _, err := p.Exec(t.Context(), `SELECT $1::int`, 1, 2); return err },
		"column that does not scan": func(p *pgxpool.Pool) error { return p.QueryRow(t.Context(), `SELECT 'a'::text`).Scan(&number) },
		"null that does not scan":   func(p *pgxpool.Pool) error { return p.QueryRow(t.Context(), `SELECT NULL::text`).Scan(&text) },
		"too few targets":           func(p *pgxpool.Pool) error { return p.QueryRow(t.Context(), `SELECT 1, 2`).Scan(&number) },
		"struct without the column": func(p *pgxpool.Pool) error {
			rows, err := p.Query(t.Context(), `SELECT 1 AS a`)
			require.NoError(t, err)
			_, err = pgx.CollectRows(rows, pgx.RowToStructByName[struct{ B int }])
			return err
		},
		"batch with a parameter that cannot be encoded": func(p *pgxpool.Pool) error {
			var batch pgx.Batch
			batch.Queue(`SELECT 1`)
			batch.Queue(`SELECT $1::int`, struct{}{})
			return p.SendBatch(t.Context(), &batch).Close()
		},
	} {
		err := run(pool)
		require.Error(t, err, name)
		require.Equal(t, postgres.ClassOther, postgres.Classify(err), "%s: %v", name, err)
	}
	require.NoError(t, pool.Ping(t.Context()), "the connection is still there")
	require.Equal(t, postgres.ClassOther, postgres.Classify(errors.New("what nobody knows")))
}

// What ends a connection is an outage, whatever error it gives.
func TestLostConnectionsAreAnOutage(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	sockets := make(chan net.Conn, 10)
	pool, err := postgres.NewPool(t.Context(), url, postgres.PoolOptions{
		Name: "test", MaxConns: 1, Dialed: func(c net.Conn) net.Conn { sockets <- c; return c },
	})
	require.NoError(t, err)
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	require.NoError(t, (<-sockets).Close())
	_, err = conn.Exec(t.Context(), `SELECT 1`)
	require.Equal(t, postgres.ClassUnavailable, postgres.Classify(err), "%v", err)
	_, err = conn.Exec(t.Context(), `SELECT 1`)
	require.Equal(t, postgres.ClassUnavailable, postgres.Classify(err), "closed already: %v", err)
	require.Equal(t, postgres.ClassUnavailable, postgres.Classify(postgres.Judge(errors.New("garbage"), conn.Conn())))
	conn.Release()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = pool.Exec(gone, `SELECT 1`)
	require.Equal(t, postgres.ClassUnavailable, postgres.Classify(err), "%v", err)

	conn, err = pool.Acquire(t.Context())
	require.NoError(t, err)
	require.Equal(t, postgres.ClassOther, postgres.Classify(postgres.Judge(errors.New("ours"), conn.Conn())))
	require.NoError(t, postgres.Judge(nil, conn.Conn()))
	conn.Release()
	pool.Close()
	_, err = pool.Exec(t.Context(), `SELECT 1`)
	require.Equal(t, postgres.ClassUnavailable, postgres.Classify(err), "%v", err)

	// Servers that are not one: silent, away, or of another kind.
	for name, answer := range map[string]func(net.Conn){
		"closes": func(c net.Conn) { _ = c.Close() },
		"garbage": func(c net.Conn) {
			_, _ = io.ReadAtLeast(c, make([]byte, 8), 8)
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_ = c.Close()
		},
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { _ = listener.Close() })
		go func() {
			for {
				c, err := listener.Accept()
				if err != nil {
					return
				}
				answer(c)
			}
		}()
		other, err := postgres.NewPool(t.Context(), "postgres://a:b@"+listener.Addr().String()+"/c?sslmode=disable", postgres.PoolOptions{MaxConns: 1})
		require.NoError(t, err)
		t.Cleanup(other.Close)
		err = other.Ping(t.Context())
		require.Equal(t, postgres.ClassUnavailable, postgres.Classify(err), "%s: %v", name, err)
	}
}

// No parameter of the URL changes how the driver talks: some modes cannot encode
// what the service sends.
func TestTheURLDoesNotChangeHowTheDriverTalks(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	for _, parameter := range []string{
		"default_query_exec_mode=simple_protocol", "default_query_exec_mode=exec", "default_query_exec_mode=describe_exec",
		"default_query_exec_mode=cache_describe", "statement_cache_capacity=0", "description_cache_capacity=0",
		"pool_max_conns=1", "client_encoding=LATIN1", "DateStyle=German", "bytea_output=escape", "standard_conforming_strings=off",
		"default_transaction_isolation=serializable", "IntervalStyle=sql_standard",
	} {
		pool, err := postgres.NewPool(t.Context(), url+"&"+parameter, postgres.PoolOptions{Name: "test", MaxConns: 2, Plans: postgres.GenericPlans})
		require.NoError(t, err, parameter)
		t.Cleanup(pool.Close)
		require.Equal(t, pgx.QueryExecModeCacheStatement, pool.Config().ConnConfig.DefaultQueryExecMode, parameter)
		var got [][]byte
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT $1::bytea[]`, [][]byte{[]byte(`\x`), {0, 255}}).Scan(&got), parameter)
		require.Equal(t, [][]byte{[]byte(`\x`), {0, 255}}, got, parameter)
		var settings string
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT concat_ws(' ', current_setting('client_encoding'), current_setting('DateStyle'), current_setting('bytea_output'),
			current_setting('standard_conforming_strings'), current_setting('default_transaction_isolation'), current_setting('IntervalStyle'),
			current_setting('plan_cache_mode'), 'ü')`).Scan(&settings), parameter)
		require.Regexp(t, `^UTF8 ISO, \w+ hex on read committed postgres force_generic_plan ü$`, settings, parameter)
	}
	pool, err := postgres.NewPool(t.Context(), url+`&statement_timeout=1234&search_path=a'b\c,public`, postgres.PoolOptions{Name: "test", MaxConns: 2})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	var timeout, path, name string
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT current_setting('statement_timeout'), current_setting('search_path'), current_setting('application_name')`).Scan(&timeout, &path, &name))
	require.Equal(t, []string{"1234ms", `a'b\c,public`, "test"}, []string{timeout, path, name}, "what may be set is")
}

// What a server refuses for good is not taken for one that is away, in words
// without secrets.
func TestExplain(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	config, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	admin, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = admin.Close(context.WithoutCancel(t.Context())) })
	const canary = "hunter2"
	at := "@" + net.JoinHostPort(config.Host, portOf(config)) + "/"
	user, unknownRole := config.User, "no such role"
	if config.Password != "" { // then the server does not say which of both is wrong
		user, unknownRole = neturl.UserPassword(config.User, config.Password).String(), "refuses the user's password"
	}
	for name, c := range map[string]struct {
		url, says     string
		misconfigured bool
	}{
		"unknown parameter": {url + "&schema=" + canary, `"schema"`, true},
		"libpq's parameter": {url + "&keepalives=1", `"keepalives"`, true},
		"value":             {url + "&statement_timeout=" + canary, `"statement_timeout" of the database URL has a value`, true},
		"not in a session":  {url + "&max_connections=7", `"max_connections"`, true},
		"secret as a name":  {url + "&" + canary + "%40h/db=1", "a parameter of the database URL", true},
		"options":           {url + "&options=-c%20" + canary + "%3D1", "options", true},
		"no such database":  {"postgres://" + user + at + "nowhere?sslmode=disable", "no such database", false},
		"no such role":      {"postgres://nobody-" + canary + ":" + canary + at + config.Database + "?sslmode=disable", unknownRole, false},
		"no TLS":            {"postgres://" + user + at + config.Database + "?sslmode=require", "takes no TLS", false},
		"away":              {"postgres://a:" + canary + "@127.0.0.1:1/db?sslmode=disable", "", false},
		"away, TLS":         {"postgres://a:" + canary + "@127.0.0.1:1/db?sslmode=require", "", false},
	} {
		parsed, err := postgres.ParseConfig(c.url, postgres.PoolOptions{Name: "test"})
		require.NoError(t, err, name)
		_, err = pgx.ConnectConfig(t.Context(), parsed)
		require.Error(t, err, name)
		require.Equal(t, postgres.ClassUnavailable, postgres.Classify(err), "%s: %v", name, err)
		require.Equal(t, c.misconfigured, postgres.IsMisconfigured(err), "%s: %v", name, err)
		require.NotContains(t, postgres.Explain(err), canary, name)
		if c.says == "" {
			require.Empty(t, postgres.Explain(err), name)
			continue
		}
		require.Contains(t, postgres.Explain(err), c.says, name)
	}
}

func portOf(c *pgx.ConnConfig) string { return strconv.Itoa(int(c.Port)) }
