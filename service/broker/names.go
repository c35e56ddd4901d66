package broker

import (
	"math"
	"strings"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/domain"
)

// DeadExchange is the direct exchange through which dead letters reach their
// tenant's dead-letter queue.
const DeadExchange = "lanekeeper.dead"

// deliveryLimit is how often a message may come back to a queue before the
// broker dead-letters it. Every lost connection counts one, so it is far from
// RabbitMQ 4's default of 20.
const deliveryLimit = 1000

// QueueName returns the name of a tenant's main queue.
func QueueName(tenantID uuid.UUID) string { return "tenant_" + tenantID.String() + "_queue" }

// DeadLetterQueueName returns the name of a tenant's dead-letter queue.
func DeadLetterQueueName(tenantID uuid.UUID) string { return "tenant_" + tenantID.String() + "_dlq" }

// ExchangeName returns the name of a tenant's exchange, through which its own AMQP
// clients publish.
func ExchangeName(tenantID uuid.UUID) string { return "tenant_" + tenantID.String() + "_exchange" }

// isTenantExchange reports whether it is the exchange of a tenant.
func isTenantExchange(name string) bool {
	return strings.HasPrefix(name, "tenant_") && strings.HasSuffix(name, "_exchange")
}

// UserName returns the name of a tenant's user of the broker. Users are the broker's and
// not the virtual host's, and no two tenants of any service have one id.
func UserName(tenantID uuid.UUID) string { return "tenant_" + tenantID.String() }

// userOwner returns whose user it is.
func userOwner(user string) (owner uuid.UUID, ours bool) {
	rest, ok := strings.CutPrefix(user, "tenant_")
	if !ok {
		return uuid.Nil, false
	}
	id, err := domain.ParseID(rest)
	return id, err == nil && user == UserName(id)
}

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
