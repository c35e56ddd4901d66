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
	// OldestAt: what waits came at this time or later, give or take a few seconds; zero
	// when that is not known, or nothing waits.
	OldestAt time.Time
	// Tag and Replica name the subscription and the process that holds it; ""
	// without a consumer.
	Tag     string
	Replica string
	// Since is when the state was entered; zero without a consumer.
	Since     time.Time
	LastError string
	// Held is how many messages were taken from the queue and are not acknowledged; -1
	// for not known.
	Held int64
	// Trouble is what keeps it from consuming, where that is known.
	Trouble ConsumerTrouble
	// Store is what keeps its messages from being stored.
	Store StoreTrouble
	// Unheard is how long ago its replica was last heard of; zero where that is this
	// process.
	Unheard time.Duration
}

// Refused reports that the broker is there and does not allow the subscription.
func (s *ConsumerStatus) Refused() bool { return s.Trouble == TroubleRefused }

// ConsumerTrouble is what keeps a consumer from consuming.
type ConsumerTrouble string

// What can keep a consumer from consuming. The zero value is nothing in particular.
const (
	// TroubleRefused: the broker is there and does not allow the subscription.
	TroubleRefused ConsumerTrouble = "refused"
	// TroubleUnreadable: every connection ends at once on which the queue's first
	// messages are delivered, so one of them is probably what ends it.
	TroubleUnreadable ConsumerTrouble = "unreadable"
)

// StoreTrouble is what keeps messages of one tenant from being stored.
type StoreTrouble struct {
	// Kind is "" for nothing.
	Kind StoreTroubleKind
	// Since is when it began; zero for nothing.
	Since time.Time
}

// StoreTroubleKind says what keeps messages from being stored.
type StoreTroubleKind string

// What can keep messages from being stored.
const (
	// StoreAway: the store cannot be reached.
	StoreAway StoreTroubleKind = "away"
	// StoreRefuses: it answers, and takes nothing.
	StoreRefuses StoreTroubleKind = "refuses"
	// StoreLocked: others have locked what the tenant's messages need.
	StoreLocked StoreTroubleKind = "locked"
	// StorePartitionMissing: the tenant has no partition.
	StorePartitionMissing StoreTroubleKind = "partition_missing"
)
