package broker

import (
	"context"
	"log/slog"
	"sync"

	"lanekeeper/pkg/rabbitmq/topology"
)

// What earlier versions declared for messages that an endpoint had not taken: for
// each wait a fanout exchange and a queue of the same name, whose messages expire
// and go through returnExchange back to their tenant's queue, or, when that is
// gone, through unroutedExchange to orphanQueue.
const (
	returnExchange   = "lanekeeper.return"
	unroutedExchange = "lanekeeper.unrouted"
	orphanQueue      = "lanekeeper.orphans"
)

// retryTierNames returns the names of the tiers' exchanges and queues.
func retryTierNames() []string {
	return []string{"lanekeeper.retry.1s", "lanekeeper.retry.5s", "lanekeeper.retry.30s", "lanekeeper.retry.2m", "lanekeeper.retry.10m"}
}

// emptyChecks is how often in a row a tier has to be found empty. A quorum queue
// does not show messages that have expired and are not confirmed by the queue they
// go to. Those that queue has not confirmed within three minutes are sent again.
const emptyChecks = 6

// retryTiers takes away the retry tiers of earlier versions once they are empty.
// It is safe for concurrent use.
type retryTiers struct {
	client *topology.Client
	log    *slog.Logger

	mu    sync.Mutex
	empty map[string]int // guarded by mu: how often in a row a tier was found empty
}

func newRetryTiers(client *topology.Client, log *slog.Logger) *retryTiers {
	return &retryTiers{client: client, log: log, empty: make(map[string]int)}
}

// takeAway is Broker.EmptyRetryTiers. A quorum queue cannot be deleted
// on the condition that it is empty, so a tier is looked at first: nobody publishes
// to it any more.
func (t *retryTiers) takeAway(ctx context.Context) (tiers int, messages int64, err error) {
	for _, name := range retryTierNames() {
		found, exists, err := t.client.Inspect(ctx, name)
		switch {
		case err != nil:
			return 0, 0, unavailable(err)
		case !exists:
			continue
		case !t.foundEmpty(name, found.Messages == 0):
			tiers, messages = tiers+1, messages+int64(found.Messages)
			continue
		}
		dropped, err := t.client.Delete(ctx, name)
		if err != nil {
			return 0, 0, unavailable(err)
		}
		t.log.InfoContext(ctx, "empty retry tier of an earlier version deleted", slog.String("queue", name), slog.Int64("messages", dropped))
	}
	if tiers > 0 {
		return tiers, messages, nil
	}
	return 0, 0, t.deleteShared(ctx)
}

// foundEmpty notes whether a tier is empty now, and reports whether that has been
// so for long enough.
func (t *retryTiers) foundEmpty(name string, empty bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !empty {
		t.empty[name] = 0
		return false
	}
	t.empty[name]++
	return t.empty[name] >= emptyChecks
}

// deleteShared deletes what the tiers shared. Orphans stay where they are: whoever
// wants to look at them may.
func (t *retryTiers) deleteShared(ctx context.Context) error {
	for _, name := range append(retryTierNames(), returnExchange, unroutedExchange) {
		if err := t.client.DeleteExchange(ctx, name); err != nil {
			return unavailable(err)
		}
	}
	orphans, exists, err := t.client.Inspect(ctx, orphanQueue)
	switch {
	case err != nil:
		return unavailable(err)
	case !exists:
		return nil
	case orphans.Messages > 0:
		t.log.InfoContext(ctx, "messages of deleted tenants are left from an earlier version, in a queue that nothing uses any more",
			slog.String("queue", orphanQueue), slog.Int("messages", orphans.Messages))
		return nil
	}
	if _, err := t.client.Delete(ctx, orphanQueue); err != nil {
		return unavailable(err)
	}
	return nil
}
