package tenant_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// restart returns another process in the same world.
func restart(p *process) *process { return newProcess(p.world) }

func TestStartRestoresEveryConsumer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first := newProcess(newWorld())
		for n := range 1200 {
			workers, status := 1+n%100, "active"
			if n%10 == 0 {
				status = "inactive"
			}
			create(t, first, admin(), domain.NewTenant{Workers: &workers, Status: status})
		}
		second := restart(first)
		defer second.run(t)()
		synctest.Wait()
		require.Len(t, second.Running(), 1080)
		for id := range second.rows {
			require.Empty(t, second.there(id))
		}
		require.Equal(t, 1080, second.starts)

		var before int
		second.set(func() { before = second.steps })
		pass(5 * time.Minute)
		synctest.Wait()
		second.set(func() {
			require.Equal(t, 1080, second.starts, "later rounds leave alone what is right")
			require.LessOrEqual(t, second.steps-before, 300/8*3, "and cost the listing only")
			require.Positive(t, second.checks)
			require.LessOrEqual(t, second.checks, 2*1080, "and a look at the queues every now and then")
		})
	})
}

// Thousands of consumers are there within half a minute, also where each of them
// takes as long to start as on a broker that others keep busy.
func TestStartOnABusyBroker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const tenants = 3000
		first := newProcess(newWorld())
		for range tenants {
			create(t, first, admin(), domain.NewTenant{})
		}
		first.set(func() { first.starting = 400 * time.Millisecond })
		second := restart(first)
		defer second.run(t)()
		pass(30 * time.Second)
		synctest.Wait()
		running := len(second.Running())
		require.Equal(t, tenants, running)
	})
}

// The queue of a tenant whose consumer is stopped is missed by nobody but the
// rounds.
func TestRoundsRepairQueuesOfStoppedTenants(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProcess(newWorld())
		defer p.run(t)()
		id := create(t, p, admin(), domain.NewTenant{}).ID
		_, err := p.StopConsumer(t.Context(), admin(), id)
		require.NoError(t, err)
		p.set(func() { delete(p.queues, id) })
		pass(2 * time.Minute)
		synctest.Wait()
		p.set(func() { require.Contains(t, p.queues, id) })
	})
}

// Rounds undo what goes wrong behind the service's back, and follow changes
// made elsewhere.
func TestRoundsRepair(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProcess(newWorld())
		defer p.run(t)()
		ids := make([]uuid.UUID, 5)
		for i := range ids {
			ids[i] = create(t, p, admin(), domain.NewTenant{}).ID
		}
		unknown := uuid.New()
		p.set(func() {
			delete(p.consumers, ids[0])
			p.consumers[ids[1]] = domain.Assignment{Workers: 99}
			changed := p.rows[ids[2]]
			changed.Status = domain.TenantInactive
			p.rows[ids[2]] = changed
			p.consumers[unknown] = domain.Assignment{Workers: 3}
			// Without its queue the consumer cannot be started.
			delete(p.consumers, ids[3])
			delete(p.queues, ids[3])
			stopped := p.rows[ids[4]]
			stopped.Stopped = true
			p.rows[ids[4]] = stopped
		})
		pass(convergence)
		for _, id := range ids {
			require.Empty(t, p.there(id))
		}
		require.NotContains(t, p.Running(), unknown)
		require.Empty(t, p.violations)
	})
}

func TestEnqueueMakesWhatIsMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProcess(newWorld())
		defer p.run(t)()
		id := create(t, p, admin(), domain.NewTenant{}).ID
		synctest.Wait()
		p.set(func() {
			delete(p.queues, id)
			delete(p.partitions, id)
		})
		p.reconciler.Enqueue(id)
		p.reconciler.Enqueue(uuid.New()) // no such tenant
		synctest.Wait()
		require.Empty(t, p.there(id))
	})
}

// What a kick found is tried again until it succeeds, although rounds would
// not find it.
func TestEnqueuedIsNotForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProcess(newWorld())
		defer p.run(t)()
		id := create(t, p, admin(), domain.NewTenant{}).ID
		p.set(func() {
			delete(p.queues, id)
			p.brokerAway = true
		})
		for range 100 {
			p.reconciler.Enqueue(id)
			pass(time.Second)
		}
		p.set(func() { require.Less(t, p.steps, 200, "kicks do not shorten the pauses") })
		pass(time.Minute)
		p.set(func() { p.brokerAway = false })
		pass(convergence)
		require.Empty(t, p.there(id))
		require.Equal(t, 1, p.log.count("tenant is not as it should be yet"))
		require.Equal(t, 1, p.log.count("tenant is as it should be"))
	})
}

// A queue that a publisher misses is made a moment later, and left to its
// consumer where there is one; publishing on adds nothing.
func TestEnqueueUnlessConsumed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProcess(newWorld())
		defer p.run(t)()
		consumed, stopped := create(t, p, admin(), domain.NewTenant{}).ID, create(t, p, admin(), domain.NewTenant{}).ID
		_, err := p.StopConsumer(t.Context(), admin(), stopped)
		require.NoError(t, err)
		pass(convergence)
		p.set(func() {
			delete(p.queues, consumed)
			delete(p.queues, stopped)
		})
		there := func(id uuid.UUID) (there bool) {
			p.set(func() { _, there = p.queues[id] })
			return there
		}
		for range 10_000 {
			p.reconciler.EnqueueUnlessConsumed(consumed)
			p.reconciler.EnqueueUnlessConsumed(stopped)
			synctest.Wait()
		}
		pass(2*time.Second - time.Millisecond)
		require.False(t, there(stopped), "its consumer may not know yet")
		pass(time.Millisecond)
		synctest.Wait()
		require.True(t, there(stopped))
		require.False(t, there(consumed), "its consumer asks for it")
		p.reconciler.EnqueueUnlessConsumed(consumed)
		p.reconciler.Enqueue(consumed)
		synctest.Wait()
		require.True(t, there(consumed), "at once")
		require.Empty(t, p.violations)
	})
}

func TestEnqueueNeverBlocks(t *testing.T) {
	t.Parallel()
	p := newProcess(newWorld())
	for range 100_000 {
		p.reconciler.Enqueue(uuid.New())
	}
	defer p.run(t)()
}

func TestAwait(t *testing.T) {
	t.Parallel()
	p := newProcess(newWorld())
	id := create(t, p, admin(), domain.NewTenant{}).ID

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.reconciler.Await(ctx, id)
	require.ErrorIs(t, err, context.Canceled, "it does not run yet")

	stop := p.run(t)
	reached, err := p.reconciler.Await(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, id, reached.ID)
	_, err = p.reconciler.Await(t.Context(), uuid.New())
	require.ErrorIs(t, err, domain.ErrNotFound)
	stop()
	_, err = p.reconciler.Await(t.Context(), id)
	require.ErrorIs(t, err, domain.ErrUnavailable, "it has ended")
}

// A database that is away at start is waited for.
func TestStartWithoutDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first := newProcess(newWorld())
		id := create(t, first, admin(), domain.NewTenant{}).ID
		second := restart(first)
		second.databaseAway = true
		defer second.run(t)()
		pass(time.Hour)
		require.Empty(t, second.Running())
		require.Equal(t, 1, second.log.count("tenants cannot be listed"))
		second.set(func() { second.databaseAway = false })
		pass(convergence)
		require.Empty(t, second.there(id))
		require.Equal(t, 1, second.log.count("tenants can be listed again"))
	})
}
