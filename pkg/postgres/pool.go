package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	defaultConnectTimeout = 5 * time.Second
	maxConnIdleTime       = 5 * time.Minute
	maxConnLifetime       = time.Hour
	pingTimeout           = 2 * time.Second
	// statementCache is how many statements a connection keeps prepared; the
	// driver's own default.
	statementCache = 512
	// cancelDeadline is how long a cancelled statement may take to end after
	// the server was asked to cancel it; then the connection is cut. A call ends
	// so much later than its context where the server is silent.
	cancelDeadline = 300 * time.Millisecond

	// A server that has vanished without a word is noticed in 15 s on a
	// connection that waits for it, and a client that has vanished in 25 s. The
	// client comes first: until then what it holds, such as an advisory lock, is
	// still its own. Without this Linux takes two hours and eleven minutes.
	clientAliveIdle  = 5 * time.Second
	clientAliveEvery = 5 * time.Second
	clientAliveTries = 2
	serverAliveIdle  = "10" // seconds, as are the intervals
	serverAliveEvery = "5"
	serverAliveTries = "3"
	// serverUserTimeout is the same, in milliseconds, for a client that does not
	// confirm what the server has sent.
	serverUserTimeout = "25000"
)

// PlanMode is a value of the server's setting plan_cache_mode; "" leaves the
// choice to the server.
type PlanMode string

// The modes.
const (
	// CustomPlans makes a plan for the actual parameters of each execution.
	// Queries of a partitioned table need it: their generic plan locks every
	// partition before it leaves any out.
	CustomPlans PlanMode = "force_custom_plan"
	// GenericPlans makes one plan for all parameters.
	GenericPlans PlanMode = "force_generic_plan"
)

// PoolOptions describes a pool. Settings that the URL names itself win over
// those here, but not over how the driver talks and what the statements count
// on. All are set after connecting, so that a pooler in session mode needs to
// know none of them.
type PoolOptions struct {
	// Name is the application_name under which the server lists the
	// connections.
	Name string
	// MaxConns is the largest number of connections; at least 1.
	MaxConns int32
	// StatementTimeout, LockTimeout and IdleInTransactionTimeout are the
	// server's limits; zero leaves the server's default.
	StatementTimeout         time.Duration
	LockTimeout              time.Duration
	IdleInTransactionTimeout time.Duration
	// Plans says how the server plans prepared statements.
	Plans PlanMode
	// PreferIndexes is for pools whose statements look rows up by keys and read
	// them in the order of an index. It keeps the planner from reading or
	// sorting a whole table that it takes for small because it has grown since
	// its statistics were made.
	PreferIndexes bool
	// Unprepared sends statements without preparing them, for those that are
	// hardly ever repeated.
	Unprepared bool
	// KeepOnCancel makes a cancelled context end the wait only, without a
	// cancel request to the server. Such a pool is for connections that wait
	// while they are idle.
	KeepOnCancel bool
	// Role returns the role as which a new connection acts, "" for the one that it
	// logs in as; it may wait, for as long as connecting may take. Nil means "".
	Role func(context.Context) (string, error)
	// Tracer is told of what the connections do, and may be nil.
	Tracer pgx.QueryTracer
	// Dialed is given every connection to the server that was made, also those
	// for cancel requests, and returns what is used instead. It may be nil.
	Dialed func(net.Conn) net.Conn
	// Losses is shared by the pools of a server. Nil stands for one of its own.
	Losses *Losses
}

// NewPool returns a pool that connects when it is first used, so it needs no
// running server. Errors never contain the URL.
func NewPool(ctx context.Context, url string, o PoolOptions) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, invalidURL(err)
	}
	config.MaxConns = max(1, o.MaxConns)
	config.MinConns, config.MinIdleConns = 0, 0
	config.MaxConnIdleTime = maxConnIdleTime
	config.MaxConnLifetime = maxConnLifetime
	config.MaxConnLifetimeJitter = maxConnLifetime / 10
	config.PingTimeout = pingTimeout
	if o.Losses == nil {
		o.Losses = new(Losses)
	}
	o.apply(config.ConnConfig)
	o.Losses.watch(config)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("make connection pool: %w", err)
	}
	return pool, nil
}

// ParseConfig parses a database URL (or DSN) with the options' settings
// applied, for a connection outside of a pool. Errors never contain the URL.
func ParseConfig(url string, o PoolOptions) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, invalidURL(err)
	}
	for name := range config.RuntimeParams { // the driver's pool has them
		if strings.HasPrefix(name, "pool_") {
			delete(config.RuntimeParams, name)
		}
	}
	o.apply(config)
	return config, nil
}

func (o PoolOptions) apply(config *pgx.ConnConfig) {
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: clientAliveIdle, Interval: clientAliveEvery, Count: clientAliveTries,
	}}
	config.DialFunc = dialer.DialContext
	if dial := config.DialFunc; o.Dialed != nil {
		config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return o.Dialed(conn), nil
		}
	}
	if o.Tracer != nil {
		config.Tracer = o.Tracer
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = defaultConnectTimeout
	}
	params := config.RuntimeParams
	setDefault := func(name, value string) {
		if _, set := params[name]; !set && value != "" {
			params[name] = value
		}
	}
	setDefault("application_name", o.Name)
	setDefault("statement_timeout", milliseconds(o.StatementTimeout))
	setDefault("lock_timeout", milliseconds(o.LockTimeout))
	setDefault("idle_in_transaction_session_timeout", milliseconds(o.IdleInTransactionTimeout))
	setDefault("tcp_keepalives_idle", serverAliveIdle)
	setDefault("tcp_keepalives_interval", serverAliveEvery)
	setDefault("tcp_keepalives_count", serverAliveTries)
	setDefault("tcp_user_timeout", serverUserTimeout)
	// A plan over many partitions looks expensive enough to be compiled,
	// which takes longer than running it.
	setDefault("jit", "off")
	setDefault("plan_cache_mode", string(o.Plans))
	if o.PreferIndexes {
		setDefault("enable_seqscan", "off")
		setDefault("enable_bitmapscan", "off")
		setDefault("enable_sort", "off")
	}
	settleParameters(config, o.Unprepared)
	if o.Role != nil {
		takeRole(config, o.Role)
	}
	if !o.KeepOnCancel {
		config.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
			return &canceller{conn: conn}
		}
	}
	closeOnFatal := config.OnPgError
	config.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		// After a failover the connection may still lead to the old primary;
		// a new one finds the new primary.
		return err.Code != codeReadOnlyTransaction && closeOnFatal(conn, err)
	}
}

func milliseconds(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return strconv.FormatInt(max(1, d.Milliseconds()), 10)
}

// invalidURL keeps only the reason of a parse error: the driver's own text
// quotes the URL and redacts passwords on a best-effort basis.
func invalidURL(err error) error {
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("the database URL names a file that cannot be read (sslrootcert, sslcert, sslkey, passfile or servicefile): %w", file.Err)
	}
	if _, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		return errors.New("the database URL, or one of its parameters, is not valid; expected postgres://user:password@host:port/name, with what is special in a URL percent-encoded")
	}
	return errors.New("the database URL has an invalid pool setting")
}
