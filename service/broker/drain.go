package broker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/rabbitmq"
)

const (
	// drainTimeout is how long deleting waits for publications under way, and
	// returnTimeout for consumers that still have deliveries: the caller has
	// waited for those before.
	drainTimeout  = 6 * time.Second
	returnTimeout = time.Second
	drainEvery    = 5 * time.Millisecond
	// quietTime is how long a queue must stay empty into which others published
	// a moment ago. They do so for at most 5 s after they were told to stop.
	quietTime = 100 * time.Millisecond
	// maxInspectPause bounds the pauses between two inspections of a queue that is
	// consumed.
	maxInspectPause = 250 * time.Millisecond
)

// publishGate knows what this process is publishing to each tenant, so that
// deleting a queue can count exactly how many messages go with it:
//
//	open --close--> closed, and busy until the last publication has ended
//	 ^                |
//	 +----reopen------+
//
// It is safe for concurrent use.
type publishGate struct {
	mu sync.Mutex
	// publishing counts calls under way.
	publishing map[uuid.UUID]int
	// closed tenants take no more publications.
	closed map[uuid.UUID]struct{}
}

func newPublishGate() *publishGate {
	return &publishGate{publishing: make(map[uuid.UUID]int), closed: make(map[uuid.UUID]struct{})}
}

// begin notes a publication to the tenant until end is called. It reports false,
// and notes nothing, while the gate is closed.
func (g *publishGate) begin(id uuid.UUID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, closed := g.closed[id]; closed {
		return false
	}
	g.publishing[id]++
	return true
}

func (g *publishGate) end(id uuid.UUID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.publishing[id]--; g.publishing[id] == 0 {
		delete(g.publishing, id)
	}
}

// close refuses publications from now on, and returns a function that allows
// them again.
func (g *publishGate) close(id uuid.UUID) (reopen func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed[id] = struct{}{}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.closed, id)
	}
}

// busy reports whether something is being published to the tenant.
func (g *publishGate) busy(id uuid.UUID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.publishing[id] > 0
}

// awaitIdle returns when this process publishes nothing to the tenant any more.
// The gate has to be closed.
func (g *publishGate) awaitIdle(ctx context.Context, id uuid.UUID) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	tick := time.NewTicker(drainEvery)
	defer tick.Stop()
	for g.busy(id) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for publications: %w", ctx.Err())
		}
	}
	return nil
}

// AwaitNoConsumers implements domain.Topology.
func (q *Queues) AwaitNoConsumers(ctx context.Context, tenantID uuid.UUID) error {
	for pauses := backoff.New(drainEvery, maxInspectPause); ; {
		found, _, err := q.client.Inspect(ctx, QueueName(tenantID))
		switch {
		case err != nil:
			return unavailable(err)
		case found.Consumers == 0:
			return nil
		}
		if err := pauses.Wait(ctx); err != nil {
			return fmt.Errorf("queue has %d consumers: %w", found.Consumers, err)
		}
	}
}

// DeleteQueues deletes the tenant's exchange and queues and returns how many messages were
// dropped with its main queue, those included that this process was still
// publishing and that consumers were giving back. It waits some seconds for
// both. Queues that do not exist are no error.
func (q *Queues) DeleteQueues(ctx context.Context, tenantID uuid.UUID) (int64, error) {
	q.states.forget(tenantID)
	reopen := q.gate.close(tenantID)
	defer reopen()
	// Without it the tenant's own clients publish nothing any more. It may be there also
	// where tenants have none now.
	if err := q.client.DeleteExchange(ctx, ExchangeName(tenantID)); err != nil {
		return 0, unavailable(err)
	}
	discarded, err := q.drain(ctx, tenantID)
	if err != nil && !rabbitmq.IsNotFound(err) { // somebody else deleted it meanwhile
		return discarded, unavailable(err)
	}
	for _, name := range []string{QueueName(tenantID), DeadLetterQueueName(tenantID)} {
		n, err := q.client.Delete(ctx, name)
		if err != nil {
			return discarded, unavailable(err)
		}
		if name == QueueName(tenantID) {
			discarded += n
		}
	}
	return discarded, nil
}

// drain purges the tenant's main queue until nothing is added to it any more:
// by this process, by consumers, or by other replicas that have not heard yet.
// It returns how many messages there were. A purge goes through the queue's log,
// so its count is exact; that of a delete is not. Worse, a broker (3.10.8) that
// deletes a queue while a publication is on its way there may confirm that
// nevertheless, or end the publisher's connection with everybody on it.
//
// A consumer is gone when its channel is, and what it had not acknowledged is in
// the queue again by then.
func (q *Queues) drain(ctx context.Context, tenantID uuid.UUID) (int64, error) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	again := time.NewTimer(drainEvery)
	defer again.Stop()
	name, first := QueueName(tenantID), true
	var purged int64
	for {
		busy := q.gate.busy(tenantID)
		found, exists, err := q.client.Inspect(ctx, name)
		if err != nil || !exists {
			return purged, err //nolint:wrapcheck // says what failed
		}
		n, err := q.client.Purge(ctx, name)
		failed := rabbitmq.IsInternalError(err)
		if err != nil && !failed && ctx.Err() == nil {
			return purged, err //nolint:wrapcheck // says what failed
		}
		purged += n
		if err == nil && n == 0 && !busy && (found.Consumers == 0 || time.Since(begun) > returnTimeout) {
			return purged, nil
		}
		wait := drainEvery
		if n > 0 && !first || failed {
			wait = quietTime // somebody still publishes, or the queue does not answer
		}
		first = false
		again.Reset(wait)
		select {
		case <-again.C:
		case <-ctx.Done():
			if err != nil {
				q.log.WarnContext(ctx, "queue cannot be emptied, deleting it as it is: the number of messages that are discarded with it may not be exact",
					slog.String("queue", name), slog.Any("error", err))
			}
			return purged, nil // what is still to come is left to the delete
		}
	}
}
