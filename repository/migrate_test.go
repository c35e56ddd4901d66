package repository

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/pkg/devstack/devtest"
)

func TestMigrateUpDownUp(t *testing.T) {
	t.Parallel()
	m, err := NewMigrator(devtest.Postgres(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })

	before, err := m.Status(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, before)
	for _, step := range before {
		require.Zero(t, step.AppliedAt)
	}

	up, err := m.Up(t.Context())
	require.NoError(t, err)
	require.Len(t, up, len(before))
	require.Equal(t, before[0].Name, up[0].Name)

	after, err := m.Status(t.Context())
	require.NoError(t, err)
	for _, step := range after {
		require.NotZero(t, step.AppliedAt)
	}
	again, err := m.Up(t.Context())
	require.NoError(t, err)
	require.Empty(t, again)

	for range after {
		down, err := m.Down(t.Context())
		require.NoError(t, err)
		require.Len(t, down, 1)
	}
	none, err := m.Down(t.Context())
	require.NoError(t, err)
	require.Empty(t, none)
	up, err = m.Up(t.Context())
	require.NoError(t, err)
	require.Len(t, up, len(before))
}

func TestMigrateConcurrently(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	var g errgroup.Group
	for range 4 {
		g.Go(func() error { return Migrate(t.Context(), url) })
	}
	require.NoError(t, g.Wait())
}

// Whoever upgrades has partitions with rows, and somebody who reads them. The
// new column neither makes readers wait for long nor gives up, and rows without
// a size are read all the same.
func TestMigrateMessagesThatAreInUse(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	m, err := NewMigrator(d.url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	for version := int64(0); version != messageBytesVersion; {
		down, err := m.Down(t.Context())
		require.NoError(t, err)
		version = down[0].Version
	}
	id := newID(t)
	p := partitionOf(id)
	conn := d.connect(t)
	_, err = conn.Exec(t.Context(), `
		CREATE TABLE `+p.table+` PARTITION OF messages FOR VALUES IN (`+p.bound+`);
		INSERT INTO tenant_streams (tenant_id, last_seq) VALUES (`+p.bound+`, 3);
		INSERT INTO messages (id, tenant_id, payload, seq) SELECT gen_random_uuid(), `+p.bound+`, '{"a": 1}', n FROM generate_series(1, 3) n`)
	require.NoError(t, err)

	release := d.holdSelect(t, false)
	migrated := make(chan error, 1)
	go func() {
		_, err := m.Up(t.Context())
		migrated <- err
	}()
	// Until it has waited in vain once, and waits again.
	waiting := func() (begun time.Time) {
		require.Eventually(t, func() bool {
			err := conn.QueryRow(t.Context(), `
				SELECT query_start FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%ADD COLUMN bytes%'`).Scan(&begun)
			return err == nil
		}, patience, 10*time.Millisecond)
		return begun
	}
	first := waiting()
	begun := time.Now()
	_, err = conn.Exec(t.Context(), `SELECT count(*) FROM messages`)
	require.NoError(t, err)
	require.Less(t, time.Since(begun), 4*time.Second, "a reader waits behind the migration as long as that waits")
	require.True(t, waiting().After(first), "it is tried again")
	release()
	require.NoError(t, <-migrated)

	require.Len(t, d.history(t, id), 3)
	_, err = d.store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{id}, 2))
	require.NoError(t, err)
	requireDense(t, d.history(t, id))
	var known int
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(bytes) FROM messages WHERE tenant_id = $1`, id).Scan(&known))
	require.Equal(t, 2, known)

	var storage string
	require.NoError(t, conn.QueryRow(t.Context(),
		`SELECT attstorage FROM pg_attribute WHERE attrelid = $1::regclass AND attname = 'headers'`, p.table).Scan(&storage))
	require.Equal(t, "e", storage, "pages count headers by what they take")
}

// messageBytesVersion is the migration that adds the size of a message.
const messageBytesVersion = 13

// Users that are there when the version with failed logins comes are as they were.
func TestMigrateUsers(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	m, err := NewMigrator(d.url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	for version := int64(0); version != loginsVersion; {
		down, err := m.Down(t.Context())
		require.NoError(t, err)
		version = down[0].Version
	}
	conn := d.connect(t)
	_, err = conn.Exec(t.Context(), `
		INSERT INTO users (name, email, password, role) SELECT 'u', n || '@example.com', '$argon2id$v=19$m=65536,t=3,p=4$a$' || n, 'admin' FROM generate_series(1, 1000) n;
		INSERT INTO users (name, email, password) VALUES ('b', 'b@example.com', '$2b$12$abc'), ('c', 'c@example.com', NULL)`)
	require.NoError(t, err)
	_, err = m.Up(t.Context())
	require.NoError(t, err)
	user, err := d.store.FindUserByEmail(t.Context(), "7@example.com")
	require.NoError(t, err)
	require.False(t, user.Disabled())
	require.Equal(t, "$argon2id$v=19$m=65536,t=3,p=4$a$7", user.PasswordHash)
	forms, err := d.store.OutdatedPasswordForms(t.Context(), 10)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"$2b$12$", "$argon2id$v=19$m=65536,t=3,p=4$"}, forms)
	// An earlier version that still runs changes users as it always did.
	_, err = conn.Exec(t.Context(), `UPDATE users SET name = 'x', email = email, password = NULL, role = role, tenant_id = NULL, token_version = 1 WHERE email = 'b@example.com'`)
	require.NoError(t, err)
}

// loginsVersion is the migration that counts failed logins.
const loginsVersion = 23
