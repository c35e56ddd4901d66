package repository

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/domain"
)

func TestLockTenantExcludesOtherReplicas(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	stores := []*Store{d.store, d.open(t, Options{})}
	id := newID(t)
	var inside, rounds atomic.Int32
	var g errgroup.Group
	for i := range 12 {
		g.Go(func() error {
			return stores[i%2].LockTenant(t.Context(), id, func(context.Context) error {
				if inside.Add(1) != 1 {
					return errors.New("not alone")
				}
				rounds.Add(1)
				_, err := stores[i%2].FindTenant(t.Context(), id)
				inside.Add(-1)
				if errors.Is(err, domain.ErrNotFound) {
					return nil
				}
				return err
			})
		})
	}
	require.NoError(t, g.Wait())
	require.EqualValues(t, 12, rounds.Load())
}

func TestLockTenantWaitsUntilTheContextEnds(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := newID(t)
	boom := errors.New("boom")
	err := d.store.LockTenant(t.Context(), id, func(context.Context) error {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		err := d.store.LockTenant(ctx, id, func(context.Context) error { return errors.New("must not run") })
		require.ErrorIs(t, err, domain.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		// Another tenant is free.
		return d.store.LockTenant(t.Context(), newID(t), func(context.Context) error { return boom })
	})
	require.Same(t, boom, err)
	require.Zero(t, countLocks(t, d))
}

func TestLockTenantUnlocks(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := newID(t)

	ctx, cancel := context.WithCancel(t.Context())
	err := d.store.LockTenant(ctx, id, func(context.Context) error {
		require.Equal(t, 1, countLocks(t, d))
		cancel()
		return nil
	})
	require.NoError(t, err)
	require.Zero(t, countLocks(t, d), "after a cancelled context")

	require.Panics(t, func() {
		_ = d.store.LockTenant(t.Context(), id, func(context.Context) error { panic("boom") })
	})
	require.Zero(t, countLocks(t, d), "after a panic")

	// The connection was kept all along.
	require.EqualValues(t, 1, d.store.locks.Stat().NewConnsCount())
}

func TestLockTenantTellsThatTheLockIsLost(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	admin := d.connect(t)
	err := d.store.LockTenant(t.Context(), newID(t), func(ctx context.Context) error {
		_, err := admin.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'lanekeeper-lock'`)
		require.NoError(t, err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(patience):
			return errors.New("nobody said that the lock is lost")
		}
	})
	require.ErrorIs(t, err, errLockLost)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.NoError(t, d.store.LockTenant(t.Context(), newID(t), func(context.Context) error { return nil }))
}

// More lockers than connections in every pool: they must take turns.
func TestLockTenantCannotStarve(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	small := d.open(t, Options{MaxConns: 2, DDLConns: 1, LockConns: 2, EraseWait: time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	var g errgroup.Group
	for i := range 50 {
		id := newID(t)
		g.Go(func() error {
			return small.LockTenant(ctx, id, func(ctx context.Context) error {
				if err := small.CreatePartition(ctx, id); err != nil || i%5 > 0 {
					return err
				}
				return small.ErasePartition(ctx, id)
			})
		})
	}
	require.NoError(t, g.Wait())
	var partitions int
	require.NoError(t, d.connect(t).QueryRow(ctx, `SELECT count(*) FROM pg_inherits WHERE inhparent = 'messages'::regclass`).Scan(&partitions))
	require.Equal(t, 40, partitions)
}

func countLocks(t testing.TB, d *database) int {
	t.Helper()
	var n int
	require.NoError(t, d.owner.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks l JOIN pg_database b ON b.oid = l.database
		WHERE l.locktype = 'advisory' AND b.datname = current_database()`).Scan(&n))
	return n
}
