package repository

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestLastSeqs(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants, unknown := d.newTenants(t, 3), newID(t)
	for i, id := range tenants[1:] {
		_, err := d.store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{id}, 4+i))
		require.NoError(t, err)
	}
	want := map[uuid.UUID]int64{tenants[0]: 0, tenants[1]: 4, tenants[2]: 5}
	ends := func() map[uuid.UUID]int64 {
		t.Helper()
		// It waits for nobody.
		ctx, cancel := context.WithTimeout(t.Context(), patience/2)
		defer cancel()
		got, err := d.store.LastSeqs(ctx, append([]uuid.UUID{unknown}, tenants...))
		require.NoError(t, err)
		return got
	}
	require.Equal(t, want, ends())

	none, err := d.store.LastSeqs(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, none)

	// Neither for who appends, nor for who reads streams.
	holder := d.hold(t, tenants[1])
	for range defaultStreamConns {
		conn, err := d.store.streams.Acquire(t.Context())
		require.NoError(t, err)
		defer conn.Release()
	}
	require.Equal(t, want, ends())
	require.NoError(t, holder.Rollback(t.Context()))

	require.NoError(t, d.store.ErasePartition(t.Context(), tenants[2]))
	delete(want, tenants[2])
	require.Equal(t, want, ends())

	away := d.open(t, Options{URL: "postgres://127.0.0.1:1/none"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = away.LastSeqs(ctx, tenants)
	require.ErrorIs(t, err, domain.ErrUnavailable)
}
