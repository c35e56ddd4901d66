package repository

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/domain"
)

// A transaction that has read all of messages and stays open delays neither
// those who append nor those who create tenants, also while tenants are
// deleted; and once it is gone, so are the deleted tenants.
func TestOpenTransactionDelaysNobody(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ snapshot, plain bool }{
		"read committed, concurrently":  {false, false},
		"repeatable read, concurrently": {true, false},
		"read committed, plainly":       {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testOpenTransactionDelaysNobody(t, tt.snapshot, tt.plain)
		})
	}
}

func testOpenTransactionDelaysNobody(t *testing.T, snapshot, plain bool) {
	t.Helper()
	const bound = 2 * time.Second
	d := newDatabase(t)
	eraser := d.open(t, Options{EraseWait: 300 * time.Millisecond})
	eraser.plainDetach = plain
	living, doomed := d.newTenants(t, 4), d.newTenants(t, 20)
	_, err := d.store.AppendMessages(t.Context(), messagesFor(t, doomed, 200))
	require.NoError(t, err)
	release := d.holdSelect(t, snapshot)

	// Appends and creations go on until all deletions were tried twice.
	work, stop := context.WithCancel(t.Context())
	defer stop()
	var others errgroup.Group
	var appends, creations atomic.Int64
	var slowestAppend, slowestCreation longest
	for i := range 2 {
		others.Go(func() error {
			for work.Err() == nil {
				ctx, cancel := context.WithTimeout(t.Context(), bound)
				start := time.Now()
				_, err := appendPatiently(ctx, d.store, messagesFor(t, living[2*i:2*i+2], 20))
				cancel()
				if err != nil {
					return fmt.Errorf("append: %w", err)
				}
				slowestAppend.note(time.Since(start))
				appends.Add(1)
			}
			return nil
		})
		others.Go(func() error {
			for work.Err() == nil {
				ctx, cancel := context.WithTimeout(t.Context(), bound)
				start := time.Now()
				err := d.store.CreatePartition(ctx, uuid.New())
				cancel()
				if err != nil {
					return fmt.Errorf("create: %w", err)
				}
				slowestCreation.note(time.Since(start))
				creations.Add(1)
			}
			return nil
		})
	}
	var deletions errgroup.Group
	for _, id := range doomed {
		deletions.Go(func() error {
			for range 2 {
				if err := eraser.ErasePartition(t.Context(), id); err != nil && !isKind(err, domain.ErrContended) {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, deletions.Wait())
	stop()
	require.NoError(t, others.Wait())
	t.Logf("%d appends, the slowest %v; %d creations, the slowest %v", appends.Load(), slowestAppend.d, creations.Load(), slowestCreation.d)
	require.Positive(t, appends.Load())
	require.Positive(t, creations.Load())

	// The rows are gone although the partitions had to stay.
	for _, id := range doomed {
		var rows int
		require.NoError(t, d.connect(t).QueryRow(t.Context(), `SELECT count(*) FROM `+partitionOf(id).table).Scan(&rows))
		require.Zero(t, rows)
	}

	release()
	for _, id := range doomed {
		require.Eventually(t, func() bool { return eraser.ErasePartition(t.Context(), id) == nil }, patience, 10*time.Millisecond)
		requireErased(t, d, id)
	}
	for _, id := range living {
		requireDense(t, d.history(t, id))
	}
}

type longest struct {
	mu sync.Mutex
	d  time.Duration
}

func (l *longest) note(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.d = max(l.d, d)
}

// A replica that dies in the middle of a detachment leaves it pending; the
// next erasure, of whichever tenant, ends it.
func TestErasePartitionFinishesWhatAnotherLeft(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ids := d.newTenants(t, 3)
	release := d.holdSelect(t, false)
	conn := d.connect(t)
	_, err := conn.Exec(t.Context(), `SET statement_timeout = '200ms'`)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `ALTER TABLE messages DETACH PARTITION `+partitionOf(ids[0]).table+` CONCURRENTLY`)
	require.Error(t, err)
	state, err := partitionOf(ids[0]).state(t.Context(), conn)
	require.NoError(t, err)
	require.Equal(t, partitionDetaching, state)

	// It keeps nobody from anything.
	ids = append(ids, d.newTenants(t, 1)...)
	_, err = d.store.AppendMessages(t.Context(), messagesFor(t, ids[1:], 30))
	require.NoError(t, err)
	require.Len(t, d.history(t, ids[3]), 10)
	require.ErrorIs(t, d.store.ErasePartition(t.Context(), ids[1]), domain.ErrContended)

	release()
	require.NoError(t, d.store.ErasePartition(t.Context(), ids[1]))
	requireErased(t, d, ids[1])
	require.NoError(t, d.store.ErasePartition(t.Context(), ids[0]))
	requireErased(t, d, ids[0])
	require.Len(t, d.history(t, ids[2]), 10)
}

// An erasure waits for another one no longer than it may.
func TestErasePartitionWaitsForOthersInBounds(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	store := d.open(t, Options{EraseWait: 300 * time.Millisecond})
	id := d.newTenants(t, 1)[0]
	_, err := store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{id}, 12_000))
	require.NoError(t, err)

	conn := d.connect(t)
	_, err = conn.Exec(t.Context(), `SELECT pg_advisory_lock($1)`, lockKey("erase", uuid.Nil))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.ErrorIs(t, store.ErasePartition(ctx, id), domain.ErrContended)
	require.Empty(t, d.history(t, id), "the rows go at once")

	_, err = conn.Exec(t.Context(), `SELECT pg_advisory_unlock_all()`)
	require.NoError(t, err)
	require.NoError(t, store.ErasePartition(ctx, id))
	requireErased(t, d, id)
}

// Erasing waits for an append that has begun; one that begins later finds the
// tenant gone, and no row is left behind.
func TestErasePartitionAgainstAppends(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for range 5 {
		id := d.newTenants(t, 1)[0]
		var g errgroup.Group
		started := make(chan struct{}, 4)
		for range 4 {
			g.Go(func() error {
				for first := true; ; first = false {
					outcomes, err := d.store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{id}, 10))
					if first {
						started <- struct{}{}
					}
					if err != nil && !isKind(err, domain.ErrContended) {
						return err
					}
					if err == nil && outcomes[0].Outcome == domain.AppendNoTenant {
						return nil
					}
				}
			})
		}
		<-started
		g.Go(func() error { return d.store.ErasePartition(t.Context(), id) })
		require.NoError(t, g.Wait())
		requireErased(t, d, id)
	}
}

// Making a partition that is there waits for nobody, not even for who has the
// tenant's stream locked.
func TestCreatePartitionThatIsThereTakesNoLock(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenant := d.newTenants(t, 1)[0]
	tx, err := d.connect(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT 1 FROM tenant_streams WHERE tenant_id = $1 FOR UPDATE`, tenant)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	require.NoError(t, d.store.CreatePartition(ctx, tenant))
	require.NoError(t, tx.Rollback(t.Context()))

	// Without its stream it is not all there.
	_, err = d.connect(t).Exec(t.Context(), `DELETE FROM tenant_streams WHERE tenant_id = $1`, tenant)
	require.NoError(t, err)
	require.NoError(t, d.store.CreatePartition(ctx, tenant))
	require.Equal(t, 1, d.count(t, `SELECT count(*) FROM tenant_streams`))
}
