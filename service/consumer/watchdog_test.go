package consumer

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// counted says what there is in a queue.
type counted struct {
	consumers, ready atomic.Int32
	missing          atomic.Bool
}

func (c *counted) QueueCounts(context.Context, uuid.UUID) (domain.QueueCounts, error) {
	if c.missing.Load() {
		return domain.QueueCounts{}, domain.New(domain.ErrNotFound, "queue_not_found", "There is no such queue.")
	}
	return domain.QueueCounts{Consumers: int(c.consumers.Load()), Ready: int64(c.ready.Load())}, nil
}

// A consumer that the broker has forgotten in silence subscribes again: after the
// second check that finds no consumer, and only when nothing came in between.
func TestAForgottenConsumerSubscribesAgain(t *testing.T) {
	t.Parallel()
	l := newHarness(t)
	queues := &counted{}
	m := l.managerOf(l, queues)
	require.NoError(t, m.Start(t.Context(), domain.Tenant{ID: l.tenant, Workers: 1, Status: domain.TenantActive}))
	subscriptions := func() (n int) {
		l.with(func() { n = len(l.subs) })
		return n
	}
	c := m.find(l.tenant)
	sample := func(consumers int32) {
		queues.consumers.Store(consumers)
		m.readDepths()
	}
	unchanged := func() {
		t.Helper()
		require.Empty(t, c.forgotten)
		require.Equal(t, 1, subscriptions())
	}
	sample(0)
	unchanged()
	sample(1)
	sample(0)
	unchanged()
	c.taken.Add(1) // it has got something meanwhile
	sample(0)
	unchanged()
	sample(0)
	unchanged()
	sample(0)
	l.eventually(func() bool { return len(l.subs) == 2 })
	require.Eventually(t, func() bool { return c.observe().tag != "" }, 10*time.Second, time.Millisecond)
	sample(0)
	require.Empty(t, c.forgotten, "what was seen of the last subscription does not count")
	require.Equal(t, 2, subscriptions())

	// So it does when there is no queue any more, which it has not been told.
	queues.missing.Store(true)
	sample(0)
	sample(0)
	l.eventually(func() bool { return len(l.subs) == 3 })
}

// So does one whose queue is said to have a consumer, and empties without a
// delivery. What is confirmed is not waited for by those that get it, have their
// hands full, or leave it in the queue.
func TestAConsumerThatMessagesDoNotReachSubscribesAgain(t *testing.T) {
	t.Parallel()
	l := newHarness(t)
	queues := &counted{}
	queues.consumers.Store(1)
	m := l.managerOf(l, queues)
	require.NoError(t, m.Start(t.Context(), domain.Tenant{ID: l.tenant, Workers: 1, Status: domain.TenantActive}))
	m.Expect(uuid.New()) // no such tenant
	c := m.find(l.tenant)
	for _, meanwhile := range []func(round int){
		func(int) { m.Expect(l.tenant); c.taken.Add(1) },
		func(round int) { // it is taken just before it is confirmed
			if round == 3 {
				c.taken.Add(1)
			}
			if round == 4 {
				m.Expect(l.tenant)
			}
		},
		func(round int) { // and the other way round
			if round == 3 {
				m.Expect(l.tenant)
			}
			if round == 4 {
				c.taken.Add(1)
			}
		},
		func(int) { m.Expect(l.tenant); c.held.Store(1) },
		func(int) { m.Expect(l.tenant); c.held.Store(0); queues.ready.Store(1) },
		func(int) { queues.ready.Store(0); c.taken.Add(1) },
		func(int) {},
	} {
		for round := range 12 {
			meanwhile(round)
			m.readDepths()
			require.Empty(t, c.forgotten)
		}
	}
	m.Expect(l.tenant)
	m.readDepths()
	l.with(func() { require.Len(t, l.subs, 1) })
	m.readDepths()
	l.eventually(func() bool { return len(l.subs) == 2 })

	// Nor does it take a check before the message.
	require.Eventually(t, func() bool { return c.observe().tag != "" }, 10*time.Second, time.Millisecond)
	m.Expect(l.tenant)
	m.readDepths()
	m.readDepths()
	l.eventually(func() bool { return len(l.subs) == 3 })
}
