package deadletter

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// Replaying stops when the tenant's queue is full, and says how far it got.
func TestReplayIntoAFullQueue(t *testing.T) {
	t.Parallel()
	w, tenant := newWorld(), active()
	w.die(tenant.ID, 10)
	room := 4
	s := NewService(Options{Letters: w, Publisher: w, Log: slog.New(slog.DiscardHandler), Admit: func(asked domain.Tenant) error {
		require.Equal(t, tenant.ID, asked.ID)
		if len(w.bodies()) >= room {
			return domain.New(domain.ErrLimited, "backlog_full", "Full.")
		}
		return asked.AcceptsMessages()
	}})
	all := domain.DeadLetterSelection{All: true}
	result, err := s.Replay(t.Context(), tenant, all)
	require.NoError(t, err)
	require.Equal(t, domain.ReplayResult{Replayed: 6, Skipped: 4}, result, "whole batches")
	_, err = s.Replay(t.Context(), tenant, all)
	require.ErrorIs(t, err, domain.ErrLimited)
	room = 10
	result, err = s.Replay(t.Context(), tenant, all)
	require.NoError(t, err)
	require.Equal(t, domain.ReplayResult{Replayed: 4}, result)

	tenant.Status = domain.TenantInactive
	_, err = s.Replay(t.Context(), tenant, all)
	require.ErrorIs(t, err, domain.ErrLimited, "it is asked first")
	require.Len(t, w.replayed(tenant.ID), 10)
}
