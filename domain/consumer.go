package domain

import (
	"time"

	"github.com/google/uuid"
)

// The states of the consumer of a tenant of which no replica tells anything.
// The other states are those of package consumer.
const (
	// ConsumerStopped: the tenant is to have none.
	ConsumerStopped = "stopped"
	// ConsumerStarting: the tenant is to have one, and no replica runs it yet.
	ConsumerStarting = "starting"
	// ConsumerUnknown: another replica is to run it, and what that reports
	// cannot be read at the moment.
	ConsumerUnknown = "unknown"
)

// ConsumerStatus is what can be told of a tenant's consumer at one moment.
type ConsumerStatus struct {
	TenantID uuid.UUID
	State    string
	// Paused tells that the consumer was stopped on purpose.
	Paused bool
	// Workers is the number of workers asked for, Busy how many of them have
	// messages in hand.
	Workers, Busy int
	// Depth is how many messages wait or are held, as last seen; -1 for not
	// known.
	Depth int64
	// Tag and Replica name the subscription and the process that holds it; ""
	// without a consumer.
	Tag     string
	Replica string
	// Since is when the state was entered; zero without a consumer.
	Since     time.Time
	LastError string
}
