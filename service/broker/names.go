package broker

import (
	"math"
	"strings"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/domain"
)

// DeadExchange is the direct exchange through which dead letters reach their
// tenant's dead-letter queue.
const DeadExchange = "lanekeeper.dead"

// The exchanges and the queue through which messages return from the retry tiers,
// or end when their tenant is gone.
const (
	// ReturnExchange is direct; every tenant's queue is bound to it by its own
	// name.
	ReturnExchange = "lanekeeper.return"
	// UnroutedExchange is a fanout for what ReturnExchange cannot route.
	UnroutedExchange = "lanekeeper.unrouted"
	// OrphanQueue keeps the newest of those messages.
	OrphanQueue = "lanekeeper.orphans"
)

// maxOrphans bounds OrphanQueue, in messages.
const maxOrphans = 10_000

// tier is one of the shared retry tiers: a fanout exchange and a queue in
// which messages wait.
type tier struct {
	name string // of the exchange and of the queue
	wait time.Duration
}

// retryTiers returns the tiers in the order of the attempts.
func retryTiers() []tier {
	waits := domain.RetryWaits()
	tiers := make([]tier, len(waits))
	for i, wait := range waits {
		name := strings.TrimSuffix(wait.String(), "m0s") // 2m0s is called 2m
		if name != wait.String() {
			name += "m"
		}
		tiers[i] = tier{name: "lanekeeper.retry." + name, wait: wait}
	}
	return tiers
}

// deliveryLimit is how often a message may come back to a queue before the
// broker dead-letters it. Every lost connection counts one, so it is far from
// RabbitMQ 4's default of 20.
const deliveryLimit = 1000

// QueueName returns the name of a tenant's main queue.
func QueueName(tenantID uuid.UUID) string { return "tenant_" + tenantID.String() + "_queue" }

// DeadLetterQueueName returns the name of a tenant's dead-letter queue.
func DeadLetterQueueName(tenantID uuid.UUID) string { return "tenant_" + tenantID.String() + "_dlq" }

// QueueType is a kind of RabbitMQ queue.
type QueueType string

// The queue types that are supported.
const (
	Quorum  QueueType = "quorum"
	Classic QueueType = "classic"
)

// queueArguments returns the arguments of a tenant's main queue. There is no
// length limit: the backlog limit is the API's. See RabbitMQ's documentation
// on quorum queues and on single active consumers.
func queueArguments(kind QueueType, tenantID uuid.UUID) amqp.Table {
	arguments := amqp.Table{
		"x-queue-type":              string(kind),
		"x-single-active-consumer":  true,
		"x-dead-letter-exchange":    DeadExchange,
		"x-dead-letter-routing-key": DeadLetterQueueName(tenantID),
	}
	if kind == Quorum {
		arguments["x-delivery-limit"] = int64(deliveryLimit)
		arguments["x-dead-letter-strategy"] = "at-least-once"
		arguments["x-overflow"] = "reject-publish"
	}
	return arguments
}

// deadLetterQueueArguments returns the arguments of a tenant's dead-letter
// queue. Letters that cannot be recorded go back to it as often as it takes:
// RabbitMQ 4's default limit would drop them.
func deadLetterQueueArguments(kind QueueType) amqp.Table {
	arguments := amqp.Table{"x-queue-type": string(kind)}
	if kind == Quorum {
		arguments["x-delivery-limit"] = int64(math.MaxInt32)
	}
	return arguments
}

// tierArguments returns the arguments of a tier's queue. A message keeps its
// routing key, which is its tenant's queue, so it returns there.
func tierArguments(kind QueueType, wait time.Duration) amqp.Table {
	arguments := amqp.Table{
		"x-queue-type":           string(kind),
		"x-message-ttl":          wait.Milliseconds(),
		"x-dead-letter-exchange": ReturnExchange,
	}
	if kind == Quorum {
		arguments["x-dead-letter-strategy"] = "at-least-once"
		arguments["x-overflow"] = "reject-publish"
	}
	return arguments
}

func orphanArguments(kind QueueType) amqp.Table {
	return amqp.Table{"x-queue-type": string(kind), "x-max-length": int64(maxOrphans), "x-overflow": "drop-head"}
}
