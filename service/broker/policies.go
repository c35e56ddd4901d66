package broker

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/rabbitmq/management"
)

// PolicyReader tells which policies apply to queues.
type PolicyReader interface {
	Queues(ctx context.Context, handle func(management.Queue)) error
}

// ShortenedQueues returns what policies do to the queues of tenants, and to
// those that all share, by which accepted messages go away without a word. See
// RabbitMQ's documentation on parameters and policies: a queue's own argument
// wins, but for numbers, of which the lower one does.
func ShortenedQueues(ctx context.Context, o Options, r PolicyReader) ([]domain.ShortenedQueue, error) {
	var found []domain.ShortenedQueue
	err := r.Queues(ctx, func(q management.Queue) {
		owner, kind, ours := ownerOf(q.Name)
		if !ours {
			return
		}
		for _, setting := range slices.Sorted(maps.Keys(q.Effective)) {
			if value := q.Effective[setting]; shortens(o, kind, setting, value) {
				found = append(found, domain.ShortenedQueue{
					TenantID: owner, Queue: q.Name, Setting: setting, Value: fmt.Sprint(value), Policy: policyNames(q),
				})
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read policies: %w", err)
	}
	return found, nil
}

func policyNames(q management.Queue) string {
	var names []string
	for _, name := range []string{q.Policy, q.OperatorPolicy} {
		if name != "" {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// queueKind is what a queue is for.
type queueKind int

const (
	mainQueue queueKind = iota + 1
	letterQueue
	tierQueue
)

// ownerOf returns whose queue it is; the zero id for one that all share.
func ownerOf(queue string) (owner uuid.UUID, kind queueKind, ours bool) {
	for _, t := range retryTiers() {
		if queue == t.name {
			return uuid.Nil, tierQueue, true
		}
	}
	rest, ok := strings.CutPrefix(queue, "tenant_")
	if !ok || len(rest) < uuidLength {
		return uuid.Nil, 0, false
	}
	id, err := domain.ParseID(rest[:uuidLength])
	switch {
	case err != nil:
		return uuid.Nil, 0, false
	case queue == QueueName(id):
		return id, mainQueue, true
	case queue == DeadLetterQueueName(id):
		return id, letterQueue, true
	}
	return uuid.Nil, 0, false
}

const uuidLength = 36

// shortens reports whether messages go away by the setting that would stay.
func shortens(o Options, kind queueKind, setting string, value any) bool {
	switch setting {
	case "message-ttl", "expires", "max-length", "max-length-bytes":
		return true
	case "overflow":
		// A quorum queue has said so itself, except for one of dead letters; to
		// refuse what is new loses nothing that was accepted.
		return value != "reject-publish" && !(kind != letterQueue && o.QueueType == Quorum)
	case "delivery-limit":
		return lowersDeliveryLimit(o, kind, value)
	case "dead-letter-exchange", "dead-letter-routing-key":
		// Only queues of dead letters do not say themselves where their messages
		// go: what leaves them is not collected.
		return kind == letterQueue
	}
	return false
}

func lowersDeliveryLimit(o Options, kind queueKind, value any) bool {
	limit, isNumber := value.(float64)
	switch {
	case kind == mainQueue && o.QueueType == Quorum:
		return isNumber && limit >= 0 && limit < deliveryLimit
	case kind == letterQueue && o.DeadLetterQueueType == Quorum:
		return isNumber && limit >= 0 && limit < math.MaxInt32
	}
	return false
}
