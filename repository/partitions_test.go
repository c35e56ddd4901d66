package repository

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/domain"
)

func TestCreatePartition(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := uuid.MustParse("0198c0de-0000-7000-8000-0000000000AB")
	require.NoError(t, d.store.CreatePartition(t.Context(), id))
	require.NoError(t, d.store.CreatePartition(t.Context(), id))

	conn := d.connect(t)
	var name, bound string
	err := conn.QueryRow(t.Context(), `SELECT c.relname, pg_get_expr(c.relpartbound, c.oid)
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'messages'::regclass`).Scan(&name, &bound)
	require.NoError(t, err)
	require.Equal(t, "messages_0198c0de_0000_7000_8000_0000000000ab", name)
	require.Equal(t, "FOR VALUES IN ('0198c0de-0000-7000-8000-0000000000ab')", bound)

	// Its indexes are partitions of the indexes of messages.
	var indexes int
	err = conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_index x JOIN pg_inherits i ON i.inhrelid = x.indexrelid
		WHERE x.indrelid = $1::regclass AND x.indisunique`, name).Scan(&indexes)
	require.NoError(t, err)
	require.Equal(t, 2, indexes)

	outcomes, err := d.store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{id}, 3))
	require.NoError(t, err)
	require.Len(t, outcomes, 3)
	require.NoError(t, d.store.CreatePartition(t.Context(), id))
	requireDense(t, d.history(t, id))
}

func TestCreatePartitionConcurrently(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other := d.open(t, Options{})
	same := newID(t)
	var g errgroup.Group
	for i := range 50 {
		id := same
		if i%2 == 0 {
			id = newID(t)
		}
		store := d.store
		if i%3 == 0 {
			store = other
		}
		g.Go(func() error { return store.CreatePartition(t.Context(), id) })
	}
	require.NoError(t, g.Wait())
	var partitions, streams int
	require.NoError(t, d.connect(t).QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_inherits WHERE inhparent = 'messages'::regclass),
		(SELECT count(*) FROM tenant_streams)`).Scan(&partitions, &streams))
	require.Equal(t, 26, partitions)
	require.Equal(t, 26, streams)
}

// Whatever was left half done, creating ends with a partition that takes
// messages and goes on counting.
func TestCreatePartitionConverges(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for name, damage := range map[string]string{
		"table without rows, not attached": `ALTER TABLE messages DETACH PARTITION {p}; DELETE FROM {p}; DELETE FROM tenant_streams WHERE tenant_id = {id}`,
		"table with rows, not attached":    `ALTER TABLE messages DETACH PARTITION {p}`,
		"no stream":                        `DELETE FROM tenant_streams WHERE tenant_id = {id}`,
		"stream behind":                    `UPDATE tenant_streams SET last_seq = 1 WHERE tenant_id = {id}`,
		"nothing but a stream":             `DROP TABLE {p}; UPDATE tenant_streams SET last_seq = 0 WHERE tenant_id = {id}`,
	} {
		id := d.newTenants(t, 1)[0]
		_, err := d.store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{id}, 4))
		require.NoError(t, err, name)
		p := partitionOf(id)
		_, err = d.connect(t).Exec(t.Context(), strings.NewReplacer("{p}", p.table, "{id}", p.bound).Replace(damage))
		require.NoError(t, err, name)

		require.NoError(t, d.store.CreatePartition(t.Context(), id), name)
		outcomes, err := d.store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{id}, 2))
		require.NoError(t, err, name)
		require.Equal(t, []domain.AppendOutcome{domain.AppendStored, domain.AppendStored}, outcomesOf(outcomes), name)
		requireDense(t, d.history(t, id))
	}
}

func TestErasePartition(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	plain := d.open(t, Options{})
	plain.plainDetach = true
	for name, store := range map[string]*Store{"concurrently": d.store, "plainly": plain} {
		ids := d.newTenants(t, 2)
		_, err := d.store.AppendMessages(t.Context(), messagesFor(t, ids, 20))
		require.NoError(t, err, name)
		require.NoError(t, store.ErasePartition(t.Context(), ids[0]), name)
		require.NoError(t, store.ErasePartition(t.Context(), ids[0]), name)
		requireErased(t, d, ids[0])
		require.Len(t, d.history(t, ids[1]), 10, name)

		outcomes, err := store.AppendMessages(t.Context(), messagesFor(t, ids, 2))
		require.NoError(t, err, name)
		require.Equal(t, []domain.AppendOutcome{domain.AppendNoTenant, domain.AppendStored}, outcomesOf(outcomes), name)
	}
}

func TestErasePartitionConverges(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for name, damage := range map[string]string{
		"stream gone":      `DELETE FROM tenant_streams WHERE tenant_id = {id}`,
		"detached":         `ALTER TABLE messages DETACH PARTITION {p}`,
		"dropped":          `DROP TABLE {p}`,
		"nothing happened": `SELECT 1`,
	} {
		id := d.newTenants(t, 1)[0]
		p := partitionOf(id)
		_, err := d.connect(t).Exec(t.Context(), strings.NewReplacer("{p}", p.table, "{id}", p.bound).Replace(damage))
		require.NoError(t, err, name)
		require.NoError(t, d.store.ErasePartition(t.Context(), id), name)
		requireErased(t, d, id)
	}
}

// What an erasure left half done may come from a version whose messages had
// fewer columns.
func TestCreatePartitionCompletesAnOlderTable(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newTenants(t, 1)[0]
	p := partitionOf(id)
	_, err := d.connect(t).Exec(t.Context(), `ALTER TABLE messages DETACH PARTITION `+p.table+`; ALTER TABLE `+p.table+` DROP COLUMN bytes`)
	require.NoError(t, err)
	require.NoError(t, d.store.CreatePartition(t.Context(), id))
	_, err = d.store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{id}, 3))
	require.NoError(t, err)
	require.Len(t, d.history(t, id), 3)
}

func requireErased(t testing.TB, d *database, id uuid.UUID) {
	t.Helper()
	var left int
	err := d.owner.QueryRow(context.WithoutCancel(t.Context()), `
		SELECT (SELECT count(*) FROM tenant_streams WHERE tenant_id = $1) + (SELECT count(*) FROM pg_class WHERE relname LIKE $2)`,
		id, "messages\\_"+strings.ReplaceAll(id.String(), "-", "\\_")+"%").Scan(&left)
	require.NoError(t, err)
	require.Zero(t, left)
	require.Empty(t, d.history(t, id))
}
