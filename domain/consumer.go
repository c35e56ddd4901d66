package domain

import (
	"time"

	"github.com/google/uuid"
)

// ConsumerStopped is the state of the consumer of a tenant that has none. The
// other states are those of package consumer.
const ConsumerStopped = "stopped"

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
