package tenant_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// Deleting a tenant whose consumer is elsewhere counts what that one held.
func TestDeleteElsewhere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		drain  time.Duration
		status domain.TenantStatus
	}{
		"at once":           {0, domain.TenantDeleted},
		"after draining":    {3 * time.Second, domain.TenantDeleted},
		"in the background": {10 * time.Second, domain.TenantDeleting},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				owner, other, _ := fleet(t)
				id := create(t, owner, admin(), domain.NewTenant{}).ID
				owner.set(func() { owner.queues[id], owner.held[id], owner.draining[id] = 30, 12, c.drain })
				deleted, err := other.Delete(t.Context(), admin(), id)
				require.NoError(t, err)
				require.Equal(t, c.status, deleted.Status)
				pass(convergence)
				require.Empty(t, owner.gone(id))
				require.EqualValues(t, 42, owner.row(id).Discarded)
				require.Empty(t, owner.violations)
			})
		})
	}
}

// Other processes get the time to hear that a tenant is being deleted before
// its queue is; without others nobody waits.
func TestDeletionGivesTimeToHear(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		owner, other, _ := fleet(t)
		for peers, wait := range map[bool]time.Duration{true: 300 * time.Millisecond, false: 0} {
			id := create(t, owner, admin(), domain.NewTenant{}).ID
			synctest.Wait()
			owner.set(func() { owner.alone = !peers })
			begun := time.Now()
			_, err := other.Delete(t.Context(), admin(), id)
			require.NoError(t, err)
			require.InDelta(t, wait, time.Since(begun), float64(20*time.Millisecond))
			require.Empty(t, other.gone(id))
		}
	})
}

// A process that hangs, and keeps its consumer, holds up a deletion for some
// seconds only.
func TestDeleteWhileTheOwnerHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		owner, other := newProcess(w), newProcess(w)
		defer other.run(t)()
		id := create(t, owner, admin(), domain.NewTenant{}).ID
		w.set(func() { w.owner = func(uuid.UUID) *process { return owner } })
		begun := time.Now()
		deleted, err := other.Delete(t.Context(), admin(), id)
		require.NoError(t, err)
		require.Equal(t, domain.TenantDeleting, deleted.Status)
		require.Equal(t, 5*time.Second, time.Since(begun))
		pass(convergence - 5*time.Second)
		require.Empty(t, other.gone(id))
		require.Equal(t, 1, other.log.count("queue of a tenant that is being deleted is still consumed, deleting it nevertheless"))
	})
}

// Everybody shows the same consumers, wherever they run.
func TestConsumersOfTheFleet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, other, moved := fleet(t)
		ids := make([]uuid.UUID, 4)
		for n := range ids {
			ids[n] = create(t, one, admin(), domain.NewTenant{}).ID
			one.set(func() { moved[ids[n]] = n >= 2 })
		}
		survey(one, other)
		synctest.Wait()
		_, err := one.StopConsumer(t.Context(), admin(), ids[3])
		require.NoError(t, err)
		synctest.Wait()
		want := []domain.ConsumerStatus{
			{TenantID: ids[0], State: "running", Workers: 3, Replica: "r1"},
			{TenantID: ids[1], State: "running", Workers: 3, Replica: "r1"},
			{TenantID: ids[2], State: "running", Workers: 3, Replica: "r2"},
			{TenantID: ids[3], State: domain.ConsumerStopped, Stopped: true, Workers: 3, Depth: -1},
		}
		show := func(p *process) []domain.ConsumerStatus {
			all, more, err := p.Consumers(t.Context(), admin(), domain.TenantQuery{Limit: 10})
			require.NoError(t, err)
			require.False(t, more)
			for _, status := range all {
				alone, err := p.Consumer(t.Context(), admin(), status.TenantID)
				require.NoError(t, err)
				require.Equal(t, status, alone)
			}
			return all
		}
		require.Equal(t, want, show(one))
		require.Equal(t, want, show(other))

		// Nobody has it yet; then the new owner has it, and the old one drains.
		one.set(func() {
			delete(other.consumers, ids[2])
			moved[ids[1]], one.draining[ids[1]] = true, 5*time.Second
		})
		nobody := domain.ConsumerStatus{TenantID: ids[2], State: domain.ConsumerStarting, Workers: 3, Depth: -1}
		require.Equal(t, nobody, show(one)[2])
		require.Equal(t, nobody, show(other)[2])
		survey(one, other)
		synctest.Wait()
		one.set(func() { require.Equal(t, domain.ConsumerDraining, one.status(ids[1]).State) })
		for _, p := range []*process{one, other} {
			require.Equal(t, domain.ConsumerStatus{TenantID: ids[1], State: "running", Workers: 3, Replica: "r2"}, show(p)[1])
			require.Equal(t, domain.ConsumerRunning, show(p)[2].State)
		}
		pass(convergence)

		// The reports cannot be read.
		one.set(func() { one.reportsAway = true })
		got := show(one)
		require.Equal(t, want[0], got[0], "one's own")
		for _, status := range got[1:] {
			require.Equal(t, domain.ConsumerUnknown, status.State)
			require.Empty(t, status.Replica)
		}
		require.True(t, got[3].Stopped)
		require.Positive(t, one.log.count("what other replicas report cannot be read"))
	})
}
