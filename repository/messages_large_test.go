package repository

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// beforeSecond has something happen before a pool is used for the second time.
func beforeSecond(t testing.TB, pool **pgxpool.Pool, happen func(context.Context) error) {
	t.Helper()
	config := (*pool).Config()
	var uses atomic.Int32
	config.PrepareConn = func(ctx context.Context, _ *pgx.Conn) (bool, error) {
		if uses.Add(1) == 2 {
			return true, happen(ctx)
		}
		return true, nil
	}
	changed, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	(*pool).Close()
	*pool = changed // closed with the store
}

// A message that has no room is read by itself. When retention deletes it before that,
// the next one is, however large: nothing means that there is nothing.
func TestReadPastADeletedOne(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(*database, *domain.Replay) ([]domain.Message, error){
		"deliveries": func(d *database, r *domain.Replay) ([]domain.Message, error) {
			return d.store.ReadDeliveries(t.Context(), r.TenantID, 0, 10, 1)
		},
		"replay": func(d *database, r *domain.Replay) ([]domain.Message, error) {
			members, _, err := d.store.ReadReplay(t.Context(), r, 0, 10, 1)
			return members, err
		},
		"stream": func(d *database, r *domain.Replay) ([]domain.Message, error) {
			messages, _, err := d.store.ReadStream(t.Context(), r.TenantID, 0, 10, 1)
			return messages, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			s := d.newEndpoints(t, 1, 1)[0]
			_, err := d.store.AppendMessages(t.Context(), []domain.Message{
				{ID: newID(t), TenantID: s.TenantID, Payload: []byte(`1`)},
				{ID: newID(t), TenantID: s.TenantID, Payload: []byte(`"` + strings.Repeat("2", 1000) + `"`)},
			})
			require.NoError(t, err)
			conn := d.connect(t)
			pool := &d.store.deliveries
			if name == "stream" {
				pool = &d.store.streams
			}
			beforeSecond(t, pool, func(ctx context.Context) error {
				_, err := conn.Exec(ctx, `DELETE FROM messages WHERE seq = 1`)
				return err
			})
			got, err := read(d, &domain.Replay{TenantID: s.TenantID, EndpointID: s.EndpointID, From: 1, To: 2})
			require.NoError(t, err)
			require.Len(t, got, 1)
			require.EqualValues(t, 2, got[0].Seq)
		})
	}
}
