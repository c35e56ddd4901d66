package broker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/pkg/rabbitmq"
)

const (
	// settleTimeout is how long deleting waits for publications under way, and
	// returnTimeout for consumers that still have deliveries: whoever deletes
	// has waited for those before.
	settleTimeout = 6 * time.Second
	returnTimeout = time.Second
	settleEvery   = 5 * time.Millisecond
	// quietTime is how long a queue must stay empty into which others published
	// a moment ago. They do so for at most 5 s after they were told to stop.
	quietTime = 100 * time.Millisecond
	// lookEvery bounds the pauses between two looks at a queue that is
	// consumed.
	lookEvery = 250 * time.Millisecond
)

// traffic knows what this process is publishing to each tenant, so that
// deleting a queue can tell exactly how many messages go with it.
type traffic struct {
	mu sync.Mutex
	// publishing counts calls under way.
	publishing map[uuid.UUID]int
	// closed tenants take no more publications.
	closed map[uuid.UUID]struct{}
}

func newTraffic() *traffic {
	return &traffic{publishing: make(map[uuid.UUID]int), closed: make(map[uuid.UUID]struct{})}
}

// enter notes a publication to the tenant, unless its queue is being deleted.
func (t *traffic) enter(id uuid.UUID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, closed := t.closed[id]; closed {
		return false
	}
	t.publishing[id]++
	return true
}

func (t *traffic) leave(id uuid.UUID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.publishing[id]--; t.publishing[id] == 0 {
		delete(t.publishing, id)
	}
}

// close refuses publications from now on, and returns a function that allows
// them again.
func (t *traffic) close(id uuid.UUID) (open func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed[id] = struct{}{}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.closed, id)
	}
}

// busy tells whether something is being published to the tenant.
func (t *traffic) busy(id uuid.UUID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.publishing[id] > 0
}

// AwaitNoConsumers implements domain.Topology.
func (b *Broker) AwaitNoConsumers(ctx context.Context, tenantID uuid.UUID) error {
	for wait := settleEvery; ; wait = min(2*wait, lookEvery) {
		q, _, err := b.look(ctx, QueueName(tenantID))
		switch {
		case err != nil:
			return unavailable(err)
		case q.Consumers == 0:
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("queue has %d consumers: %w", q.Consumers, ctx.Err())
		}
	}
}

// empty purges the tenant's main queue until nothing comes into it any more:
// from this process, from consumers, or from other replicas that have not heard
// yet. It returns how many messages there were. A purge goes through the queue's
// log, so its count is exact; that of a delete is not. Worse, a broker (3.10.8)
// that deletes a queue while a publication is on its way there may confirm that
// nevertheless, or end the publisher's connection with everybody on it.
//
// A consumer goes together with its channel, and what it had not acknowledged
// is in the queue again when it is gone.
func (b *Broker) empty(ctx context.Context, tenantID uuid.UUID) (int64, error) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	again := time.NewTimer(settleEvery)
	defer again.Stop()
	first := true
	var purged int64
	for {
		busy := b.traffic.busy(tenantID)
		q, there, err := b.look(ctx, QueueName(tenantID))
		if err != nil || !there {
			return purged, err
		}
		found, err := b.purge(ctx, QueueName(tenantID))
		failed := rabbitmq.IsInternalError(err)
		if err != nil && !failed && ctx.Err() == nil {
			return purged, err
		}
		purged += found
		if err == nil && found == 0 && !busy && (q.Consumers == 0 || time.Since(begun) > returnTimeout) {
			return purged, nil
		}
		wait := settleEvery
		if found > 0 && !first || failed {
			wait = quietTime // somebody still publishes, or the queue does not answer
		}
		first = false
		again.Reset(wait)
		select {
		case <-again.C:
		case <-ctx.Done():
			if err != nil {
				b.options.Log.WarnContext(ctx, "queue cannot be emptied, deleting it as it is: the number of messages that are discarded with it may not be exact",
					slog.String("queue", QueueName(tenantID)), slog.Any("error", err))
			}
			return purged, nil // what is still to come is left to the delete
		}
	}
}

// purge removes all messages that are ready and returns how many there were.
// RabbitMQ ends the connection with 541 INTERNAL_ERROR when the queue's leader
// does not answer it within 30 s, or is just not running; the messages may be
// gone then, or not.
func (b *Broker) purge(ctx context.Context, name string) (int64, error) {
	var purged int
	err := b.change(ctx, func(ch *rabbitmq.Channel) (err error) {
		purged, err = ch.QueuePurge(ctx, name)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("purge queue %s: %w", name, err)
	}
	return int64(purged), nil
}
