package broker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// settleTimeout is how long deleting waits for publications under way and
	// for deliveries on their way back to the queue.
	settleTimeout = 6 * time.Second
	settleEvery   = 5 * time.Millisecond
)

// traffic knows what this process has under way for each tenant, so that
// deleting a queue can tell exactly how many messages go with it.
type traffic struct {
	mu sync.Mutex
	// publishing counts calls under way.
	publishing map[uuid.UUID]int
	// closed tenants take no more publications.
	closed map[uuid.UUID]struct{}
	// returning is how many deliveries were not acknowledged when the last
	// subscription was closed; they go back to the queue.
	returning map[uuid.UUID]int64
}

func newTraffic() *traffic {
	return &traffic{
		publishing: make(map[uuid.UUID]int), closed: make(map[uuid.UUID]struct{}), returning: make(map[uuid.UUID]int64),
	}
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

// returned notes what a subscription left unacknowledged.
func (t *traffic) returned(id uuid.UUID, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n == 0 {
		delete(t.returning, id)
		return
	}
	t.returning[id] = n
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

func (t *traffic) state(id uuid.UUID) (publishing int, returning int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.publishing[id], t.returning[id]
}

// empty purges the tenant's main queue until nothing of this process can come
// into it any more, and returns how many messages there were. A purge goes
// through the queue's log, so its count is exact; that of a delete is not.
func (b *Broker) empty(ctx context.Context, tenantID uuid.UUID) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	var purged int64
	for {
		publishing, returning := b.traffic.state(tenantID)
		err := b.topology(ctx, func(ch *amqp.Channel) error {
			n, err := ch.QueuePurge(QueueName(tenantID), false)
			purged += int64(n)
			return err
		})
		if err != nil {
			return purged, fmt.Errorf("purge queue: %w", err)
		}
		if publishing == 0 && purged >= returning {
			b.traffic.returned(tenantID, 0)
			return purged, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return purged, nil // what is still to come is left to the delete
		}
	}
}
