package domain

import (
	"context"

	"github.com/google/uuid"
)

// QueueState is what was found of a queue.
type QueueState string

// The states a queue may be found in.
const (
	QueueReady   QueueState = "ready"
	QueueMissing QueueState = "missing"
	// QueueDiffers: it exists with other arguments; it is used as it is.
	QueueDiffers QueueState = "other arguments"
	// QueueStuck: it exists and cannot be consumed.
	QueueStuck QueueState = "stuck"
)

// QueueCounts is what a queue holds at a moment: how many messages are ready, and
// how many consumers it has. A broker that cannot ask the queue's leader may say
// 0 for both.
type QueueCounts struct {
	Ready     int64
	Consumers int
}

// QueueReport is what was found of a tenant's queues.
type QueueReport struct {
	Main       QueueState
	DeadLetter QueueState
}

// QueueInspector looks at queues without changing them. Methods are safe for
// concurrent use; errors are ErrUnavailable.
type QueueInspector interface {
	InspectQueues(ctx context.Context, tenantID uuid.UUID) (QueueReport, error)
	// ReplaceQueue deletes the tenant's main queue with all that is in it, and
	// declares it again. One that is being consumed it leaves as it is.
	ReplaceQueue(ctx context.Context, tenantID uuid.UUID) error
}

// PartitionInspector finds out which tenants have a partition.
type PartitionInspector interface {
	// ListPartitions returns the tenants for which there is a table, attached
	// (true) or not.
	ListPartitions(ctx context.Context) (map[uuid.UUID]bool, error)
}

// ShortenedQueue is a queue whose messages go away by a policy of the broker
// before they are stored or looked at.
type ShortenedQueue struct {
	// TenantID is zero for a queue that all tenants share.
	TenantID uuid.UUID
	Queue    string
	// Setting and Value are what does it, such as message-ttl, and Policy names
	// the policies that apply.
	Setting, Value string
	Policy         string
}

// BrokerDeaths is how many of a tenant's dead letters that are recorded, and not
// replayed, the broker itself put there for a reason.
type BrokerDeaths struct {
	TenantID uuid.UUID
	Reason   string
	Count    int64
}
