package repository

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"lanekeeper/pkg/backoff"
)

// Advisory locks are tried again and again rather than waited for in the
// server: a session that waits there holds a snapshot, for which detaching a
// partition waits in turn.
const (
	lockRetryFirst = 10 * time.Millisecond
	lockRetryMax   = 250 * time.Millisecond
)

const (
	tryLockSQL = `SELECT pg_try_advisory_lock($1)`
	unlockSQL  = `SELECT pg_advisory_unlock($1)`
)

var errLockLost = errors.New("the connection that held the lock is gone")

// LockTenant implements domain.TenantRepository. When the connection that
// holds the lock breaks, the context of fn is cancelled and the error is an
// ErrUnavailable. Fn must not lock a tenant itself.
func (s *Store) LockTenant(ctx context.Context, id uuid.UUID, fn func(context.Context) error) error {
	key := lockKey("tenant", id)
	conn, err := acquireLock(ctx, s.locks, key)
	if err != nil {
		return translate(err, "lock tenant")
	}
	defer releaseLock(ctx, conn, key)

	held, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		// Nothing is ever notified here: this returns when held ends or when
		// the connection breaks.
		for held.Err() == nil {
			if _, err := conn.Conn().WaitForNotification(held); err != nil && held.Err() == nil {
				cancel(fmt.Errorf("%w: %w", errLockLost, err))
			}
		}
	}()
	defer func() {
		cancel(nil)
		<-watched
	}()

	err = fn(held)
	if cause := context.Cause(held); errors.Is(cause, errLockLost) {
		return unavailable(errors.Join(cause, err))
	}
	return err
}

// acquireLock returns a connection that holds the advisory lock. While the
// lock is taken it keeps no connection.
func acquireLock(ctx context.Context, pool *pgxpool.Pool, key int64) (*pgxpool.Conn, error) {
	retry := backoff.New(lockRetryFirst, lockRetryMax)
	for {
		conn, err := tryLock(ctx, pool, key)
		if err != nil || conn != nil {
			return conn, err
		}
		if err := retry.Wait(ctx); err != nil {
			return nil, fmt.Errorf("wait for advisory lock: %w", err)
		}
	}
}

// tryLock returns nil when the lock is taken.
func tryLock(ctx context.Context, pool *pgxpool.Pool, key int64) (*pgxpool.Conn, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("acquire connection: %w", err)
	}
	var locked bool
	if err := conn.QueryRow(ctx, tryLockSQL, key).Scan(&locked); err != nil {
		// It may hold the lock without our knowing.
		closeConn(ctx, conn)
		return nil, fmt.Errorf("try advisory lock: %w", err)
	}
	if !locked {
		conn.Release()
		return nil, nil
	}
	return conn, nil
}

// releaseLock gives the lock back, if need be by closing the connection.
func releaseLock(ctx context.Context, conn *pgxpool.Conn, key int64) {
	cleanup, cancel := cleaningUp(ctx)
	defer cancel()
	var unlocked bool
	if err := conn.QueryRow(cleanup, unlockSQL, key).Scan(&unlocked); err != nil || !unlocked {
		closeConn(ctx, conn)
		return
	}
	conn.Release()
}

// closeConn closes a connection whose state is unknown and takes it out of its
// pool.
func closeConn(ctx context.Context, conn *pgxpool.Conn) {
	cleanup, cancel := cleaningUp(ctx)
	defer cancel()
	_ = conn.Conn().Close(cleanup) // it is given up either way
	conn.Release()
}

// lockKey spreads the locks of one purpose over the 64-bit space of advisory
// locks.
func lockKey(purpose string, id uuid.UUID) int64 {
	sum := sha256.Sum256(append([]byte("lanekeeper/"+purpose+"/"), id[:]...))
	return int64(binary.BigEndian.Uint64(sum[:8])) //nolint:gosec // any 64 bits will do
}
