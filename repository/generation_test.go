package repository

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/backoff"
)

// generationVersion is the migration that tells generations of replicas apart.
const generationVersion = 21

// earlierSchema returns a database as the version before generations left it.
func earlierSchema(t *testing.T) (*database, *Migrator) {
	t.Helper()
	d := newDatabase(t)
	return d, d.downTo(t, generationVersion)
}

const earlierHeartbeatSQL = `
INSERT INTO replicas (name, address, reaches_broker) VALUES ($1, '10.0.0.5:8080', true)
ON CONFLICT (name) DO UPDATE SET seen_at = now()`

// beatEarlier records heartbeats of a replica of an earlier version until the test
// ends or stop is called.
func (d *database) beatEarlier(t *testing.T, name string) (stop func()) {
	t.Helper()
	_, err := d.owner.Exec(t.Context(), earlierHeartbeatSQL, name)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for backoff.Sleep(ctx, 200*time.Millisecond) == nil {
			_, _ = d.owner.Exec(ctx, earlierHeartbeatSQL, name)
		}
	})
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return stop
}

// The schema is not changed under replicas that cannot read what it becomes.
func TestMigrateRefusesWhileOlderReplicasRun(t *testing.T) {
	t.Parallel()
	d, m := earlierSchema(t)
	stop := d.beatEarlier(t, "old-1")
	before, err := m.Status(t.Context())
	require.NoError(t, err)

	begun := time.Now()
	_, err = m.Up(t.Context())
	require.ErrorIs(t, err, ErrOlderReplicas)
	require.ErrorContains(t, err, "old-1 (10.0.0.5:8080)")
	require.Less(t, time.Since(begun), olderReplicaTTL, "it is seen to live")
	after, err := m.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after)

	// It is stopped in order, and takes its row away.
	stop()
	require.NoError(t, d.store.RemoveReplica(t.Context(), "old-1"))
	_, err = m.Up(t.Context())
	require.NoError(t, err)
	beat(t, d.store, replica("new"), "new")
	_, err = m.Up(t.Context())
	require.NoError(t, err, "replicas of this generation may run")
}

// One that was killed is not seen again, and counts for 10 seconds.
func TestMigrateWaitsForReplicasThatWereKilled(t *testing.T) {
	t.Parallel()
	d, m := earlierSchema(t)
	_, err := d.owner.Exec(t.Context(), earlierHeartbeatSQL, "killed")
	require.NoError(t, err)
	d.ageReplica(t, "killed", olderReplicaTTL-2*time.Second)
	_, err = d.owner.Exec(t.Context(), earlierHeartbeatSQL, "set-back")
	require.NoError(t, err)
	d.ageReplica(t, "set-back", -time.Hour)

	begun := time.Now()
	_, err = m.Up(t.Context())
	require.NoError(t, err)
	require.Greater(t, time.Since(begun), time.Second)
	require.Zero(t, d.count(t, `SELECT count(*) FROM replicas`))
}

// An older replica that starts afterwards gets no place in the fleet, so no tenant
// is left to it.
func TestOlderReplicasGetNoPlace(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	beat(t, d.store, replica("new"), "new")
	_, err := d.owner.Exec(t.Context(), earlierHeartbeatSQL, "old")
	require.ErrorContains(t, err, "replicas_generation_check")
	beat(t, d.store, replica("new"), "new")
}

func TestMigrateStopsWaitingForOlderReplicas(t *testing.T) {
	t.Parallel()
	d, m := earlierSchema(t)
	_, err := d.owner.Exec(t.Context(), earlierHeartbeatSQL, "killed")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = m.Up(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, ErrOlderReplicas)
}
