package repository

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// A tenant holds its share at most, however many of its calls there are; those
// that wait too long are told so, and nobody else waits at all.
func TestSharesOfAPool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Store{tenantConnLimit: newTenantConnLimit(20)}
		slow, other := uuid.New(), uuid.New()
		release := make(chan struct{})
		var held, refused atomic.Int32
		var calls sync.WaitGroup
		for range 30 {
			calls.Go(func() {
				giveBack, err := takePlace(t.Context(), s.tenantConnLimit, slow)
				if err != nil {
					refused.Add(1)
					if domain.CodeOf(err) != "tenant_busy" {
						t.Error(err)
					}
					return
				}
				held.Add(1)
				<-release
				giveBack()
			})
		}
		synctest.Wait()
		require.EqualValues(t, 5, held.Load())
		begun := time.Now()
		for range 100 {
			giveBack, err := takePlace(t.Context(), s.tenantConnLimit, other)
			require.NoError(t, err)
			giveBack()
		}
		require.Zero(t, time.Since(begun))

		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := takePlace(gone, s.tenantConnLimit, slow)
		require.ErrorIs(t, err, context.Canceled)
		<-time.After(shareWait)
		synctest.Wait()
		require.EqualValues(t, 25, refused.Load())
		close(release)
		calls.Wait()
		require.Zero(t, s.tenantConnLimit.Used())
	})
}

// However many large reads one owner has waiting, that of another is the next
// but one, and what is small waits for none of them.
func TestLargeReadsTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Store{largeReads: newLargeReads()}
		heavy, other := uuid.New(), uuid.New()
		const each = 5 * time.Millisecond
		var most, reading atomic.Int64
		read := func(tenant uuid.UUID, bytes int) {
			done, err := s.awaitReadTurn(t.Context(), tenant, bytes)
			if err != nil {
				t.Error(err)
				return
			}
			if n := reading.Add(1); n > most.Load() {
				most.Store(n) // with synctest nothing comes in between
			}
			<-time.After(each)
			reading.Add(-1)
			done()
		}
		var calls sync.WaitGroup
		for range 100 {
			calls.Go(func() { read(heavy, smallRead+1) })
		}
		defer calls.Wait()
		synctest.Wait()
		begun := time.Now()
		read(other, smallRead+1)
		require.LessOrEqual(t, time.Since(begun), (1+turnRest)*3*each)
		require.EqualValues(t, max(1, runtime.GOMAXPROCS(0)/processorsPerTurn), most.Load())
		begun = time.Now()
		read(other, smallRead)
		require.Equal(t, each, time.Since(begun))
		calls.Wait()
		requireUnused := func() {
			<-time.After(turnRest * each)
			synctest.Wait()
			require.Zero(t, s.largeReads.Used())
		}
		requireUnused()

		// One that waits for a lock is not what turns are for.
		stuck, err := s.awaitReadTurn(t.Context(), heavy, smallRead+1)
		require.NoError(t, err)
		begun = time.Now()
		read(other, smallRead+1)
		require.LessOrEqual(t, time.Since(begun), turnAtMost+each)
		stuck()
		requireUnused()
	})
}

// While the partitions of all of an owner's tenants are locked and many want to
// read them, the history of others, and who calls, are found as quickly as ever.
func TestOwnerOfManyTenantsLeavesConnectionsToOthers(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	store := d.open(t, Options{MaxConns: 8})
	ids := d.newTenants(t, 9)
	mine, other := ids[:8], ids[8]
	_, err := store.AppendMessages(t.Context(), messagesFor(t, ids, 9))
	require.NoError(t, err)
	holder := d.connect(t)
	_, err = holder.Exec(t.Context(), `BEGIN`)
	require.NoError(t, err)
	for _, id := range mine {
		_, err = holder.Exec(t.Context(), `LOCK TABLE `+partitionOf(id).table+` IN ACCESS EXCLUSIVE MODE`)
		require.NoError(t, err)
	}
	ctx, cancel := context.WithCancel(domain.WithOwner(t.Context(), "them"))
	var readers sync.WaitGroup
	for i := range 80 {
		readers.Go(func() {
			for ctx.Err() == nil {
				_, _ = store.History(ctx, domain.HistoryQuery{TenantID: mine[i%len(mine)], Limit: 10})
			}
		})
	}
	defer readers.Wait()
	defer cancel()
	require.Eventually(t, func() bool { return store.general.Stat().AcquiredConns() >= 4 }, 10*time.Second, time.Millisecond)
	reads, begun := 0, time.Now()
	for time.Since(begun) < 3*time.Second {
		_, err := store.History(domain.WithOwner(t.Context(), "other"), domain.HistoryQuery{TenantID: other, Limit: 10, MaxBytes: smallRead})
		require.NoError(t, err)
		_, err = store.FindUserByEmail(t.Context(), "nobody@example.com")
		require.ErrorIs(t, err, domain.ErrNotFound)
		_, err = store.ListTenants(domain.WithOwner(t.Context(), "other"), domain.TenantQuery{Limit: 10})
		require.NoError(t, err)
		reads++
	}
	require.Greater(t, reads, 100, "three seconds of reading, one after the other")
}

// While one tenant's partition is locked and many want to read it, the history
// of others, and their keys, are as quick as ever.
func TestLockedTenantLeavesConnectionsToOthers(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	store := d.open(t, Options{MaxConns: 8})
	ids := d.newTenants(t, 2)
	_, err := store.AppendMessages(t.Context(), messagesFor(t, ids, 2))
	require.NoError(t, err)
	holder := d.connect(t)
	_, err = holder.Exec(t.Context(), `BEGIN; LOCK TABLE `+partitionOf(ids[0]).table+` IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	read := func(ctx context.Context, id uuid.UUID, bytes int) error {
		_, err := store.History(ctx, domain.HistoryQuery{TenantID: id, Limit: 10, MaxBytes: bytes})
		return err
	}
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	var busy atomic.Int32
	for i := range 40 {
		readers.Go(func() {
			for {
				err := read(ctx, ids[0], smallRead+i%2)
				switch code := domain.CodeOf(err); {
				case ctx.Err() != nil:
					return
				case code == "tenant_busy":
					busy.Add(1)
				case code != "database_locked":
					t.Errorf("it is neither away nor anybody else's fault: %v", err)
					return
				}
			}
		})
	}
	defer readers.Wait()
	defer cancel()
	require.Eventually(t, func() bool { return store.general.Stat().AcquiredConns() >= 2 }, 10*time.Second, time.Millisecond)
	begun := time.Now()
	reads := 0
	for time.Since(begun) < 3*time.Second {
		require.NoError(t, read(t.Context(), ids[1], smallRead))
		reads++
	}
	require.Greater(t, reads, 100, "three seconds of reading, one after the other")
	begun = time.Now()
	require.NoError(t, read(t.Context(), ids[1], 2*smallRead))
	require.Less(t, time.Since(begun), time.Second, "nor do large reads wait for as long as that is locked")
	_, err = store.ClaimKeys(t.Context(), []domain.IdempotencyClaim{claim(t, ids[1], "k", 1)})
	require.NoError(t, err)
	require.Positive(t, busy.Load())
}
