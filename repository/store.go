package repository

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
	"lanekeeper/pkg/sealing"
	"lanekeeper/pkg/shares"
)

// Default sizes of the pools, and limits the server puts on statements.
const (
	defaultMaxConns      = 10
	defaultWriterConns   = 2
	defaultDDLConns      = 4
	defaultLockConns     = 8
	defaultStreamConns   = 4
	defaultEraseWait     = 5 * time.Second
	defaultDeliveryConns = 4
	fleetConns           = 4
	// settleConns is how many connections settle deliveries: one at a time does,
	// and another one what is tried apart.
	settleConns = 2
	// callerConns is how many connections look up callers' tenants and tickets and, one at
	// a time, where histories end. Each look-up finds rows by their keys, so a few serve thousands
	// in a second.
	callerConns = 3
	// tokenConns is how many connections look up whose token comes with a call, when
	// that is not known from a moment ago.
	tokenConns = 2
	// loginConns is how many connections are for logins and what is changed of users:
	// one at a time does, because hashing passwords takes longer, and another one for
	// counting them.
	loginConns = 2

	queryTimeout  = 10 * time.Second
	streamTimeout = 5 * time.Second
	appendTimeout = 10 * time.Second
	ddlTimeout    = 30 * time.Second
	fleetTimeout  = 3 * time.Second
	callerTimeout = 2 * time.Second
	loginTimeout  = 2 * time.Second
	lockTimeout   = 5 * time.Second
	// queryLockTimeout is short: a call that waits for a lock holds a connection.
	queryLockTimeout = time.Second
	// appendLockTimeout is short: a blocked tenant is tried on its own, and must
	// not hold up the batch of the others.
	appendLockTimeout = 100 * time.Millisecond
	// streamLockTimeout is short: streams of a blocked tenant try again, and must
	// not hold the connections of the others.
	streamLockTimeout = 250 * time.Millisecond
	// callerLockTimeout is short: a call that waits for a row that is locked keeps
	// others from logging in.
	callerLockTimeout = 250 * time.Millisecond
	// loginLockTimeout is how long a login waits for the counters of failed ones,
	// which all replicas share.
	loginLockTimeout = 500 * time.Millisecond
	deliveryTimeout  = 10 * time.Second
	// deliveryLockTimeout is how long a claim waits for settlements, which take
	// milliseconds.
	deliveryLockTimeout = time.Second
	settleTimeout       = 10 * time.Second
	// settleLockTimeout is short: an endpoint that is locked must not hold up the
	// settlements of the others.
	settleLockTimeout = 250 * time.Millisecond
	ddlLockTimeout    = time.Second
	idleInTxTimeout   = 15 * time.Second
	cleanupTimeout    = 5 * time.Second
	// cleanupGrace is how long after the end of a call its cleaning up may go
	// on: a request must not wait for a server that is silent. A connection that
	// is not clean then is closed.
	cleanupGrace = 100 * time.Millisecond
)

// Options configures a Store; zero values mean the defaults.
type Options struct {
	// URL is where the data is read and written.
	URL string
	// AdminURL leads to the same database as a role that owns the tables, for
	// partitions and advisory locks, without a pooler in between; URL unless
	// given.
	AdminURL string
	// MaxConns is the size of the general pool; 10 by default.
	MaxConns int
	// WriterConns is the number of connections that append messages; 2 by
	// default. Each caches what it knows of every partition it has seen.
	WriterConns int
	// DDLConns is the number of connections that change partitions; 4 by
	// default.
	DDLConns int
	// LockConns is the number of tenants this process can lock at a time; 8
	// by default.
	LockConns int
	// StreamConns is the number of connections that read for realtime
	// streams; 4 by default.
	StreamConns int
	// DeliveryConns is the number of connections that read for deliveries to
	// endpoints; 4 by default.
	DeliveryConns int
	// EraseWait is how long ErasePartition waits for other transactions before
	// it leaves the partition for a later call; 5 s by default.
	EraseWait time.Duration
	// Sealer encrypts the secrets and headers of endpoints; nil for not.
	Sealer *sealing.Sealer
	// Roles are those as which the connections act. With AwaitRoles they are not known
	// yet: connections wait until Store.ActAs says so.
	Roles      Roles
	AwaitRoles bool
	// Tracer is told of statements; nil for nobody.
	Tracer pgx.QueryTracer
}

// Store is the database. It is safe for concurrent use, and connects when it
// is first used.
//
// The holder of a tenant's lock waits for connections of the other pools, and no
// holder of one of those waits for a connection: so the pools cannot
// starve each other.
type Store struct {
	general *pgxpool.Pool
	writers *pgxpool.Pool
	ddl     *pgxpool.Pool
	locks   *pgxpool.Pool
	streams *pgxpool.Pool
	fleet   *pgxpool.Pool // for heartbeats, which must not wait for requests
	callers *pgxpool.Pool // for callers' tenants, their tickets and the ends of histories, which must not wait for reads
	tokens  *pgxpool.Pool // for whose token comes with a call, for which all calls wait
	logins  *pgxpool.Pool // for logins, which must not wait for anybody, nor anybody for them
	// deliveries reads for deliveries and claims them, settlers settles them.
	deliveries *pgxpool.Pool
	settlers   *pgxpool.Pool

	tenantConnLimit *shares.Shares // in the general pool
	largeReads      *shares.Shares // turns in it
	eraseWait       time.Duration
	sealer          *sealing.Sealer
	choice          roleChoice
	// upgraded is the tenants that had an endpoint before there could be several;
	// nil until it is asked for.
	upgraded atomic.Pointer[map[uuid.UUID]struct{}]
	// erasing holds a token while no goroutine of this process erases.
	erasing chan struct{}
	// plainDetach keeps to what servers before version 14 can do.
	plainDetach bool
	// cut breaks the connections of all pools, and those that are made later.
	cut    context.CancelFunc
	losses postgres.Losses // of all pools
}

var (
	_ domain.TenantRepository        = (*Store)(nil)
	_ domain.PartitionRepository     = (*Store)(nil)
	_ domain.MessageRepository       = (*Store)(nil)
	_ domain.IdempotencyRepository   = (*Store)(nil)
	_ domain.EndpointRepository      = (*Store)(nil)
	_ domain.RetentionRepository     = (*Store)(nil)
	_ domain.UserRepository          = (*Store)(nil)
	_ domain.SecretRepository        = (*Store)(nil)
	_ domain.DeadLetterRepository    = (*Store)(nil)
	_ domain.DeadLetterJobRepository = (*Store)(nil)
	_ domain.ReplicaRepository       = (*Store)(nil)
	_ domain.ReportRepository        = (*Store)(nil)
	_ domain.DatabaseClock           = (*Store)(nil)
	_ domain.ChangeWatcher           = (*Store)(nil)
	_ domain.StreamRepository        = (*Store)(nil)
	_ domain.TailRepository          = (*Store)(nil)

	_ domain.MessageDeliveryRepository = (*Store)(nil)
	_ domain.DeliveryRepository        = (*Store)(nil)
	_ domain.AttemptRepository         = (*Store)(nil)
	_ domain.ReplayRepository          = (*Store)(nil)
)

// Open returns a Store. It does not connect, so it fails only on an invalid
// URL; errors never contain the URL.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{
		tenantConnLimit: newTenantConnLimit(cmp.Or(o.MaxConns, defaultMaxConns)), largeReads: newLargeReads(),
		eraseWait: cmp.Or(o.EraseWait, defaultEraseWait), sealer: o.Sealer,
		erasing: make(chan struct{}, 1), choice: roleChoice{known: make(chan struct{})},
	}
	if !o.AwaitRoles {
		s.ActAs(o.Roles)
	}
	s.erasing <- struct{}{}
	alive, cut := context.WithCancel(context.WithoutCancel(ctx))
	s.cut = cut
	admin := cmp.Or(o.AdminURL, o.URL)
	for _, p := range []struct {
		pool  **pgxpool.Pool
		url   string
		conns int
		role  func(Roles) string
		postgres.PoolOptions
	}{
		{&s.general, o.URL, cmp.Or(o.MaxConns, defaultMaxConns), actAsApp, postgres.PoolOptions{
			Name: "lanekeeper", StatementTimeout: queryTimeout, LockTimeout: queryLockTimeout, Plans: postgres.CustomPlans, PreferIndexes: true,
		}},
		{&s.writers, o.URL, cmp.Or(o.WriterConns, defaultWriterConns), actAsWriter, postgres.PoolOptions{
			Name: "lanekeeper-writer", StatementTimeout: appendTimeout, LockTimeout: appendLockTimeout, Plans: postgres.GenericPlans, PreferIndexes: true,
		}},
		{&s.ddl, admin, cmp.Or(o.DDLConns, defaultDDLConns), nil, postgres.PoolOptions{
			Name: "lanekeeper-ddl", StatementTimeout: ddlTimeout, LockTimeout: ddlLockTimeout, Unprepared: true,
		}},
		{&s.locks, admin, cmp.Or(o.LockConns, defaultLockConns), actAsApp, postgres.PoolOptions{
			Name: "lanekeeper-lock", StatementTimeout: queryTimeout, LockTimeout: lockTimeout, KeepOnCancel: true,
		}},
		{&s.streams, o.URL, cmp.Or(o.StreamConns, defaultStreamConns), actAsApp, postgres.PoolOptions{
			Name: "lanekeeper-stream", StatementTimeout: streamTimeout, LockTimeout: streamLockTimeout, Plans: postgres.CustomPlans, PreferIndexes: true,
		}},
		{&s.fleet, o.URL, fleetConns, actAsSystem, postgres.PoolOptions{
			Name: "lanekeeper-fleet", StatementTimeout: fleetTimeout, LockTimeout: fleetTimeout,
		}},
		{&s.callers, o.URL, callerConns, actAsSystem, postgres.PoolOptions{
			Name: "lanekeeper-callers", StatementTimeout: callerTimeout, LockTimeout: callerLockTimeout,
		}},
		{&s.tokens, o.URL, tokenConns, actAsSystem, postgres.PoolOptions{
			Name: "lanekeeper-token", StatementTimeout: callerTimeout, LockTimeout: callerLockTimeout, PreferIndexes: true,
		}},
		{&s.logins, o.URL, loginConns, actAsSystem, postgres.PoolOptions{
			Name: "lanekeeper-login", StatementTimeout: loginTimeout, LockTimeout: loginLockTimeout, PreferIndexes: true,
		}},
		{&s.deliveries, o.URL, cmp.Or(o.DeliveryConns, defaultDeliveryConns), actAsApp, postgres.PoolOptions{
			Name: "lanekeeper-delivery", StatementTimeout: deliveryTimeout, LockTimeout: deliveryLockTimeout, Plans: postgres.CustomPlans, PreferIndexes: true,
		}},
		{&s.settlers, o.URL, settleConns, actAsSystem, postgres.PoolOptions{
			Name: "lanekeeper-settle", StatementTimeout: settleTimeout, LockTimeout: settleLockTimeout, Plans: postgres.GenericPlans, PreferIndexes: true,
		}},
	} {
		p.MaxConns = int32(min(p.conns, 1000)) //nolint:gosec // within range
		p.IdleInTransactionTimeout = idleInTxTimeout
		if p.role != nil { // partitions belong to who logs in
			p.Role = s.role(p.role)
		}
		p.Tracer, p.Losses = o.Tracer, &s.losses
		p.Dialed = func(conn net.Conn) net.Conn { return newSocket(alive, conn) }
		pool, err := postgres.NewPool(ctx, p.url, p.PoolOptions)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("open the database pool %q: %w", p.Name, err)
		}
		*p.pool = pool
	}
	return s, nil
}

// Ping returns nil when the database answers, else an ErrUnavailable.
func (s *Store) Ping(ctx context.Context) error {
	return translate(s.general.Ping(ctx), "ping the database")
}

// session is what a repository runs its statements on: a connection or a
// transaction.
type session interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// access says what WithTenant's caller is about to do.
type access uint8

const (
	// queryAccess is a single statement on a connection of the general pool.
	queryAccess access = iota + 1
	// appendAccess is a connection of the writers' pool. fn begins and commits a
	// transaction on it, in as few round trips as it can; one that it leaves open
	// is rolled back, whether ctx is alive or not.
	appendAccess
	// streamAccess is like queryAccess, on a connection of the streams' pool.
	streamAccess
	// deliveryAccess is a connection of the deliveries' pool, for a statement or,
	// as with appendAccess, a transaction.
	deliveryAccess
	// settleAccess is like appendAccess, on a connection that settles deliveries.
	settleAccess
	// lookupAccess is a single statement that finds rows by their keys, on a
	// connection of the callers' pool.
	lookupAccess
)

// WithTenant runs fn with a session for the data of the named tenants. Every
// read and write of a tenant's data passes through here. Errors are those of
// fn and of the driver, untranslated.
func (s *Store) WithTenant(ctx context.Context, how access, tenantIDs []uuid.UUID, fn func(session) error) error {
	if len(tenantIDs) == 0 {
		return nil
	}
	pool := s.streams
	switch how {
	case appendAccess:
		pool = s.writers
	case deliveryAccess:
		pool = s.deliveries
	case settleAccess:
		pool = s.settlers
	case streamAccess:
	case lookupAccess:
		pool = s.callers
	case queryAccess:
		if len(tenantIDs) > 1 {
			return s.shared(ctx, uuid.Nil, func(conn *pgxpool.Conn) error { return fn(s.ofTenants(conn, tenantIDs...)) })
		}
		return s.shared(ctx, tenantIDs[0], func(conn *pgxpool.Conn) error { return fn(s.ofTenants(conn, tenantIDs...)) })
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("acquire connection: %w", err)
	}
	defer conn.Release()
	if how != streamAccess {
		defer rollBackOpen(ctx, conn.Conn())
	}
	return postgres.Judge(fn(s.within(conn, how, tenantIDs)), conn.Conn())
}

// What begins and commits a transaction that is sent as a batch.
const (
	beginSQL  = `BEGIN ISOLATION LEVEL READ COMMITTED`
	commitSQL = `COMMIT`
)

// cleaningUp returns the context of what has to be done whether ctx is alive or
// not. It ends soon after ctx.
func cleaningUp(ctx context.Context) (context.Context, context.CancelFunc) {
	cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	stop := context.AfterFunc(ctx, func() {
		grace := time.NewTimer(cleanupGrace)
		defer grace.Stop()
		select {
		case <-grace.C:
			cancel()
		case <-cleanup.Done():
		}
	})
	return cleanup, func() { stop(); cancel() }
}

// rollBackOpen rolls back when a transaction is open.
func rollBackOpen(ctx context.Context, conn *pgx.Conn) {
	const idle = 'I'
	if conn.IsClosed() || conn.PgConn().TxStatus() == idle {
		return
	}
	cleanup, cancel := cleaningUp(ctx)
	defer cancel()
	_, _ = conn.Exec(cleanup, `ROLLBACK`) // a connection that cannot is closed by the pool
}

// beginner is a pool or a connection.
type beginner interface {
	BeginTx(ctx context.Context, o pgx.TxOptions) (pgx.Tx, error)
}

// inTransaction runs fn in a READ COMMITTED transaction and commits it when fn
// returns nil. A rollback does not depend on ctx being alive.
func inTransaction(ctx context.Context, on beginner, fn func(pgx.Tx) error) error {
	return inScope(ctx, on, scope{}, fn)
}

// inScope is inTransaction for one with a scope.
func inScope(ctx context.Context, on beginner, within scope, fn func(pgx.Tx) error) (err error) {
	tx, err := on.BeginTx(ctx, pgx.TxOptions{BeginQuery: within.begin()})
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	committed := false
	defer func() {
		if committed {
			return
		}
		cleanup, cancel := cleaningUp(ctx)
		defer cancel()
		_ = tx.Rollback(cleanup) // a connection that cannot roll back is closed by the pool
	}()
	if err := fn(tx); err != nil {
		return err
	}
	committed = true
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
