package repository

import (
	"context"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// meter is a way to the database that counts what comes from there.
type meter struct{ received atomic.Int64 }

// newMeter returns a meter, and the URL that leads through it.
func newMeter(t *testing.T, databaseURL string) (*meter, string) {
	t.Helper()
	u, err := url.Parse(databaseURL)
	require.NoError(t, err)
	server := u.Host
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	u.Host = listener.Addr().String()
	m := &meter{}
	var serving sync.WaitGroup
	t.Cleanup(func() { _ = listener.Close(); serving.Wait() })
	ctx := context.WithoutCancel(t.Context())
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { m.forward(ctx, client, server) })
		}
	})
	return m, u.String()
}

func (m *meter) forward(ctx context.Context, client net.Conn, server string) {
	defer client.Close()
	upstream, err := (&net.Dialer{}).DialContext(ctx, "tcp", server)
	if err != nil {
		return
	}
	defer upstream.Close()
	var asking sync.WaitGroup
	asking.Go(func() {
		_, _ = io.Copy(upstream, client)
		_ = upstream.Close()
	})
	_, _ = io.Copy(client, io.TeeReader(upstream, m))
	_ = client.Close()
	asking.Wait()
}

// Write implements io.Writer.
func (m *meter) Write(data []byte) (int, error) {
	m.received.Add(int64(len(data)))
	return len(data), nil
}

// fillWithOnes stores n payloads of a MiB each that take next to nothing in the
// store.
func (d *database) fillWithOnes(t *testing.T, tenantID uuid.UUID, n int, sql string) {
	t.Helper()
	_, err := d.connect(t).Exec(t.Context(), sql, tenantID, n)
	require.NoError(t, err)
	_, err = d.connect(t).Exec(t.Context(), `UPDATE tenant_streams SET last_seq = $2 WHERE tenant_id = $1`, tenantID, n)
	require.NoError(t, err)
}

// What a read costs the database, and brings from there, is bounded by the
// size of the payloads as text, however small they are in the store.
func TestReadsAreBoundedByTextNotByStorage(t *testing.T) {
	t.Parallel()
	const rows = 120
	for name, fill := range map[string]string{
		"stored with its size": `INSERT INTO messages (id, tenant_id, payload, seq, bytes)
			SELECT gen_random_uuid(), $1, p, n, octet_length(p::text)
			FROM generate_series(1, $2) AS n, to_jsonb(repeat('a', 1 << 20)) AS p`,
		"stored before sizes were": `INSERT INTO messages (id, tenant_id, payload, seq)
			SELECT gen_random_uuid(), $1, to_jsonb(repeat('a', 1 << 20)), n FROM generate_series(1, $2) AS n`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			id := d.newTenants(t, 1)[0]
			d.fillWithOnes(t, id, rows, fill)
			m, through := newMeter(t, d.url)
			store := d.open(t, Options{URL: through})
			for name, read := range map[string]func() int{
				"history": func() int {
					page, err := store.History(t.Context(), domain.HistoryQuery{TenantID: id, Limit: 1000})
					require.NoError(t, err)
					require.True(t, page.More)
					return len(page.Messages)
				},
				"history, newest first": func() int {
					page, err := store.History(t.Context(), domain.HistoryQuery{TenantID: id, Limit: 1000, Descending: true})
					require.NoError(t, err)
					require.True(t, page.More)
					return len(page.Messages)
				},
				"stream": func() int {
					messages, more, err := store.ReadStream(t.Context(), id, 0, 512, testBytes)
					require.NoError(t, err)
					require.True(t, more)
					return len(messages)
				},
			} {
				before := m.received.Load()
				require.NotZero(t, read(), name)
				require.Less(t, m.received.Load()-before, int64(2*maxPageBytes), name)
			}
		})
	}
}

// The size that is stored is that of the payload as it is read, which is not
// that of what was sent.
func TestAppendStoresTheSizeOfWhatIsRead(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newTenants(t, 1)[0]
	sent := []string{`1`, `{"a":1,"a":2,"b":[1,2,3]}`, `1e1000`, `"\u00e9\u0007"`, `  null `, `[1e999,1e-999]`, `"日本"`}
	batch := make([]domain.Message, len(sent))
	for i, payload := range sent {
		batch[i] = message(t, id, payload)
	}
	_, err := d.store.AppendMessages(t.Context(), batch)
	require.NoError(t, err)
	repeated := append(batch[:1:1], message(t, id, `[1,2]`)) // looks for what is stored
	_, err = d.store.AppendMessages(t.Context(), repeated)
	require.NoError(t, err)

	conn := d.connect(t)
	for _, m := range d.history(t, id) {
		var size *int
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT bytes FROM messages WHERE tenant_id = $1 AND seq = $2`, id, m.Seq).Scan(&size))
		require.NotNil(t, size, "seq %d", m.Seq)
		require.Equal(t, len(m.Payload), *size, "seq %d", m.Seq)
	}
}
