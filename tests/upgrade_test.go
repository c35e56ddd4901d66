package tests

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/repository"
	"lanekeeper/tests/apptest"
)

// The service ends at its start, with the names of the older replicas that run,
// and leaves the database to them.
func TestTheStartRefusesBesideOlderReplicas(t *testing.T) {
	t.Parallel()
	databaseURL := devtest.Postgres(t)
	m, err := repository.NewMigrator(databaseURL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	_, err = m.Up(t.Context())
	require.NoError(t, err)
	for name := ""; name != "00021_replica_generation.sql"; {
		down, err := m.Down(t.Context())
		require.NoError(t, err)
		name = down[0].Name
	}
	conn, err := pgx.Connect(t.Context(), databaseURL)
	require.NoError(t, err)
	beat := func(ctx context.Context) error {
		_, err := conn.Exec(ctx, `
			INSERT INTO replicas (name, address) VALUES ('old-1', '10.0.0.5:8080')
			ON CONFLICT (name) DO UPDATE SET seen_at = now()`)
		return err
	}
	require.NoError(t, beat(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for backoff.Sleep(ctx, time.Second) == nil && beat(ctx) == nil {
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		_ = conn.Close(context.WithoutCancel(t.Context()))
	})

	log, ready, ended, _ := launch(t, databaseURL)
	select {
	case err := <-ended:
		require.ErrorIs(t, err, repository.ErrOlderReplicas)
		require.ErrorContains(t, err, "old-1 (10.0.0.5:8080)")
	case <-ready:
		require.FailNow(t, "it started", log.String())
	case <-time.After(apptest.Long):
		require.FailNow(t, "it goes on", log.String())
	}
	status, err := m.Status(t.Context())
	require.NoError(t, err)
	require.Zero(t, status[len(status)-1].AppliedAt)
}
