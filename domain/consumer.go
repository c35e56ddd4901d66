package domain

import (
	"time"

	"github.com/google/uuid"
)

// ConsumerState is the state of a tenant's consumer.
//
//	starting --subscribed--> running --session lost--> reconnecting --subscribed--> running
//	starting, reconnecting --queue missing--> failed --subscribed--> running
//	running --store away too long--> waiting_for_store --store back--> reconnecting
//	any --stop--> draining --> stopped
type ConsumerState string

// The states of a consumer.
const (
	// ConsumerStarting: it has not subscribed yet, or no replica runs it yet.
	ConsumerStarting ConsumerState = "starting"
	// ConsumerRunning: it is subscribed.
	ConsumerRunning ConsumerState = "running"
	// ConsumerReconnecting: it lost its subscription, or got none, and tries
	// again.
	ConsumerReconnecting ConsumerState = "reconnecting"
	// ConsumerFailed: its queue does not exist. It tries again.
	ConsumerFailed ConsumerState = "failed"
	// ConsumerWaitingForStore: the store is away, so it takes nothing.
	ConsumerWaitingForStore ConsumerState = "waiting_for_store"
	// ConsumerDraining: it takes no more and finishes what it began.
	ConsumerDraining ConsumerState = "draining"
	// ConsumerStopped: it has ended, or the tenant is to have none.
	ConsumerStopped ConsumerState = "stopped"
	// ConsumerUnknown: another replica is to run it, and its report cannot be
	// read at the moment.
	ConsumerUnknown ConsumerState = "unknown"
)

// ConsumerStatus is a snapshot of a tenant's consumer.
type ConsumerStatus struct {
	TenantID uuid.UUID
	State    ConsumerState
	// Stopped reports that the tenant's consumer was stopped on purpose. Only the
	// tenant's row says so.
	Stopped bool
	// Workers is the number of workers asked for, Busy how many of them have
	// messages in hand.
	Workers, Busy int
	// Depth is how many messages wait in the queue or are held, as last counted;
	// -1 for not known.
	Depth int64
	// Tag and Replica name the subscription and the process that holds it; ""
	// without a consumer.
	Tag     string
	Replica string
	// Since is when the state was entered; zero without a consumer.
	Since     time.Time
	LastError string
	// Refused reports that the broker is there and does not allow the
	// subscription. It is known in the consumer's own process only.
	Refused bool
}
