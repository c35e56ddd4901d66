package deadletter

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// Letters are replayed at the pace of their tenant, each for its size, and the
// call ends in time when that is not enough for all.
func TestReplayAtTheTenantsPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, tenant := newWorld(), active()
		w.die(tenant.ID, 20)
		var asked [][]int
		s := NewService(Options{Letters: w, Publisher: w, Log: slog.New(slog.DiscardHandler), Pace: func(ctx context.Context, of domain.Tenant, sizes []int) error {
			require.Equal(t, tenant.ID, of.ID)
			asked = append(asked, sizes)
			select {
			case <-time.After(900 * time.Millisecond):
				return nil
			case <-ctx.Done():
				return domain.New(domain.ErrLimited, "rate_exceeded", "Too fast.")
			}
		}})
		begun := time.Now()
		result, err := s.Replay(t.Context(), tenant, domain.DeadLetterSelection{All: true})
		require.NoError(t, err)
		require.Equal(t, domain.ReplayResult{Replayed: 9, Skipped: 11}, result, "three batches in three seconds")
		require.Equal(t, 3*time.Second, time.Since(begun))
		require.Equal(t, [][]int{{1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {2, 2, 2}}, asked)
		require.Len(t, w.replayed(tenant.ID), 9)
		require.Len(t, w.bodies(), 9, "what is skipped was not published")
	})
}

// Replaying stops when the tenant's queue is full, and says how far it got.
func TestReplayIntoAFullQueue(t *testing.T) {
	t.Parallel()
	w, tenant := newWorld(), active()
	w.die(tenant.ID, 10)
	room := 4
	s := NewService(Options{Letters: w, Publisher: w, Log: slog.New(slog.DiscardHandler), Admit: func(_ context.Context, asked domain.Tenant) error {
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

	require.Len(t, w.replayed(tenant.ID), 10)
	result, err = s.Replay(t.Context(), tenant, all)
	require.NoError(t, err, "nothing is to be published")
	require.Zero(t, result)

	// What goes to endpoints has nothing to do with the queue.
	w.die(tenant.ID, 1)
	deliveries := w.dieAt(tenant.ID, uuid.New(), 5)
	result, err = s.Replay(t.Context(), tenant, all)
	require.NoError(t, err)
	require.Equal(t, domain.ReplayResult{Replayed: 5, Skipped: 1}, result)
	require.Equal(t, deliveries, w.reopened)
	require.Len(t, w.bodies(), 10)
}
