package repository

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

// Each fault is a real one; the kind tells the writer how to go on, and
// nothing of the batch is stored.
func TestAppendFaults(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	// Dropping a partition waits for a held SELECT, and everybody for that.
	var parent sync.Mutex
	for name, tt := range map[string]struct {
		kind   domain.Kind
		code   string // SQLSTATE
		params []string
		// inject causes the fault and returns what ends it.
		inject func(t *testing.T, id uuid.UUID, bad *domain.Message) (end func())
	}{
		"stream is locked":    {domain.ErrContended, "55P03", []string{"lock_timeout", "100"}, lockStream(d)},
		"statement times out": {domain.ErrContended, "57014", []string{"statement_timeout", "100"}, lockStream(d)},
		"server is read-only": {domain.ErrUnavailable, "25006", []string{"default_transaction_read_only", "on"}, nil},
		"partition was dropped": {domain.ErrPartitionMissing, "23514", nil, func(t *testing.T, id uuid.UUID, _ *domain.Message) func() {
			t.Helper()
			parent.Lock()
			defer parent.Unlock()
			return exec(t, d, `DROP TABLE `+partitionOf(id).table)
		}},
		"partition is being detached": {domain.ErrPartitionMissing, "23514", nil, func(t *testing.T, id uuid.UUID, _ *domain.Message) func() {
			t.Helper()
			parent.Lock()
			release := d.holdSelect(t, false)
			conn := d.connect(t)
			_, err := conn.Exec(t.Context(), `SET statement_timeout = '100ms'`)
			require.NoError(t, err)
			_, err = conn.Exec(t.Context(), `ALTER TABLE messages DETACH PARTITION `+partitionOf(id).table+` CONCURRENTLY`)
			require.True(t, postgres.IsQueryCanceled(err))
			return func() { release(); parent.Unlock() }
		}},
		"stream is behind": {domain.ErrPartitionMissing, "23505", nil, func(t *testing.T, id uuid.UUID, _ *domain.Message) func() {
			t.Helper()
			return exec(t, d, `UPDATE tenant_streams SET last_seq = 0 WHERE tenant_id = `+partitionOf(id).bound)
		}},
		"payload with a NUL": {domain.ErrRejected, "22P05", nil, payload(`{"text": "a\u0000b"}`)},
		"lone surrogate":     {domain.ErrRejected, "22P02", nil, payload(`"\ud800"`)},
		"not JSON":           {domain.ErrRejected, "22P02", nil, payload(`hello`)},
		"no payload":         {domain.ErrRejected, "22P02", nil, payload(``)},
		"not UTF-8":          {domain.ErrRejected, "22021", nil, payload("\"\xff\"")},
		"number too large":   {domain.ErrRejected, "22003", nil, payload(`1e999999`)},
		"too deep":           {domain.ErrRejected, "54001", nil, payload(strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000))},
		"table is not there": {domain.ErrUnavailable, "42P01", []string{"search_path", "pg_catalog"}, nil},
		"same id twice": {domain.ErrRejected, "23505", nil, func(_ *testing.T, id uuid.UUID, bad *domain.Message) func() {
			*bad = domain.Message{ID: id, TenantID: bad.TenantID, Payload: bad.Payload}
			return func() {}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tenants := d.newTenants(t, 2)
			_, err := d.store.AppendMessages(t.Context(), messagesFor(t, tenants, 2))
			require.NoError(t, err)
			// The other faults lock tables for moments; that is not meant here.
			patient := []string{"lock_timeout", "10000"}
			faulty := d.open(t, Options{URL: d.withParams(t, append(patient, tt.params...)...)})
			batch := messagesFor(t, []uuid.UUID{tenants[1], tenants[0], tenants[1]}, 3)
			if tt.inject != nil {
				end := tt.inject(t, tenants[0], &batch[1])
				defer end()
			}
			if name == "same id twice" {
				batch[2].TenantID, batch[2].ID = batch[1].TenantID, batch[1].ID
			}
			outcomes, err := faulty.AppendMessages(t.Context(), batch)
			require.Nil(t, outcomes)
			require.ErrorIs(t, err, tt.kind)
			require.Equal(t, tt.code, postgres.Code(err), "%v", err)
			require.Len(t, d.history(t, tenants[1]), 1, "the batch is all or nothing")
		})
	}
}

func lockStream(d *database) func(*testing.T, uuid.UUID, *domain.Message) func() {
	return func(t *testing.T, id uuid.UUID, _ *domain.Message) func() {
		t.Helper()
		tx, err := d.connect(t).Begin(t.Context())
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), `SELECT 1 FROM tenant_streams WHERE tenant_id = $1 FOR UPDATE`, id)
		require.NoError(t, err)
		return func() { require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context()))) }
	}
}

func payload(text string) func(*testing.T, uuid.UUID, *domain.Message) func() {
	return func(_ *testing.T, _ uuid.UUID, bad *domain.Message) func() {
		bad.Payload = []byte(text)
		return func() {}
	}
}

func exec(t *testing.T, d *database, sql string) func() {
	t.Helper()
	_, err := d.connect(t).Exec(t.Context(), sql)
	require.NoError(t, err)
	return func() {}
}

// The server ends the connection, the caller gives up, or two transactions
// lock each other out while an append waits for a stream.
func TestAppendInterrupted(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for name, tt := range map[string]struct {
		kind      domain.Kind
		interrupt func(t *testing.T, holder pgx.Tx, cancel context.CancelFunc)
	}{
		"backend killed": {domain.ErrUnavailable, func(t *testing.T, holder pgx.Tx, _ context.CancelFunc) {
			t.Helper()
			_, err := holder.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE pid IN (SELECT unnest(array_agg(pid)) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid)))`)
			require.NoError(t, err)
		}},
		"caller gives up": {domain.ErrUnavailable, func(_ *testing.T, _ pgx.Tx, cancel context.CancelFunc) { cancel() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tenants := d.newTenants(t, 2) // in the order of their ids
			holder := d.hold(t, tenants[1])
			store := d.openPatient(t)
			batch := messagesFor(t, tenants, 4)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var wg sync.WaitGroup
			var appendErr error
			wg.Go(func() { _, appendErr = store.AppendMessages(ctx, batch) })
			d.awaitBlockedBy(t, holder)
			tt.interrupt(t, holder, cancel)
			wg.Wait()
			require.ErrorIs(t, appendErr, tt.kind)
			require.NoError(t, holder.Rollback(t.Context()))
			d.requireAppends(t, store, tenants, batch)
		})
	}
}

// A deadlock with somebody who locks streams in another order. The database
// looks for one when a lock has been waited for deadlock_timeout, once, and ends
// who looks. So that it is the append, whatever the machine is busy with, the
// other waits already when the append comes to wait for it.
func TestAppendInDeadlock(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants := d.newTenants(t, 3) // in the order of their ids
	gate, holder := d.hold(t, tenants[1]), d.hold(t, tenants[2])
	store := d.openPatient(t, "deadlock_timeout", "100")
	batch := messagesFor(t, tenants, 6)
	var wg sync.WaitGroup
	var appendErr, holderErr error
	wg.Go(func() { _, appendErr = store.AppendMessages(t.Context(), batch) })
	d.awaitBlockedBy(t, gate) // it has the first stream
	_, err := holder.Exec(t.Context(), `SET LOCAL deadlock_timeout = '1min'`)
	require.NoError(t, err)
	wg.Go(func() {
		_, holderErr = holder.Exec(t.Context(), `UPDATE tenant_streams SET last_seq = last_seq WHERE tenant_id = $1`, tenants[0])
	})
	d.awaitBlocked(t, holder)
	require.NoError(t, gate.Rollback(t.Context()))
	wg.Wait()
	require.ErrorIs(t, appendErr, domain.ErrContended)
	require.NoError(t, holderErr)
	require.NoError(t, holder.Rollback(t.Context()))
	d.requireAppends(t, store, tenants, batch)
}

// openPatient returns a store that waits for locks until the test has done with
// it what it wants, and not for the usual tenth of a second.
func (d *database) openPatient(t *testing.T, settings ...string) *Store {
	t.Helper()
	return d.open(t, Options{URL: d.withParams(t, append(settings, "lock_timeout", "60000", "statement_timeout", "60000")...)})
}

// hold locks a tenant's stream until the transaction ends.
func (d *database) hold(t *testing.T, tenant uuid.UUID) pgx.Tx {
	t.Helper()
	holder, err := d.connect(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = holder.Exec(t.Context(), `SELECT 1 FROM tenant_streams WHERE tenant_id = $1 FOR UPDATE`, tenant)
	require.NoError(t, err)
	return holder
}

// awaitBlockedBy waits until somebody waits for the transaction.
func (d *database) awaitBlockedBy(t *testing.T, tx pgx.Tx) {
	t.Helper()
	d.awaitLock(t, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1::int = ANY (pg_blocking_pids(pid)))`, tx)
}

// awaitBlocked waits until the transaction waits for somebody.
func (d *database) awaitBlocked(t *testing.T, tx pgx.Tx) {
	t.Helper()
	d.awaitLock(t, `SELECT cardinality(pg_blocking_pids($1::int)) > 0`, tx)
}

func (d *database) awaitLock(t *testing.T, sql string, tx pgx.Tx) {
	t.Helper()
	watcher := d.connect(t)
	require.Eventually(t, func() bool {
		var so bool
		err := watcher.QueryRow(t.Context(), sql, tx.Conn().PgConn().PID()).Scan(&so)
		return err == nil && so
	}, patience, 5*time.Millisecond)
}

// requireAppends requires the store to go on, and what it could not append to
// be there once.
func (d *database) requireAppends(t *testing.T, store *Store, tenants []uuid.UUID, batch []domain.Message) {
	t.Helper()
	appended, err := store.AppendMessages(t.Context(), batch)
	require.NoError(t, err, "the store goes on")
	d.requireAppended(t, batch, appended)
	for _, id := range tenants {
		history := d.history(t, id)
		require.Len(t, history, len(batch)/len(tenants))
		requireDense(t, history)
	}
}

func TestAppendRefusesTooMuchAtOnce(t *testing.T) {
	t.Parallel()
	huge := make([]byte, maxAppendBytes/2+1)
	s, err := Open(t.Context(), Options{URL: "postgres://127.0.0.1:1/none"})
	require.NoError(t, err)
	defer s.Close()
	_, err = s.AppendMessages(t.Context(), []domain.Message{{Payload: huge}, {Payload: huge}})
	require.ErrorIs(t, err, domain.ErrRejected)
}

// After a failover the pool may still be connected to what is a standby now;
// it must not keep such a connection.
func TestReadOnlyConnectionsAreGivenUp(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newTenants(t, 1)[0]
	store := d.open(t, Options{WriterConns: 1})
	admin := d.connect(t)
	_, err := admin.Exec(t.Context(), `ALTER DATABASE `+pgx.Identifier{admin.Config().Database}.Sanitize()+` SET default_transaction_read_only = on`)
	require.NoError(t, err)
	_, err = store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{id}, 1))
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.Equal(t, "25006", postgres.Code(err))
	_, err = admin.Exec(t.Context(), `ALTER DATABASE `+pgx.Identifier{admin.Config().Database}.Sanitize()+` RESET default_transaction_read_only`)
	require.NoError(t, err)
	_, err = store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{id}, 1))
	require.NoError(t, err)
}
