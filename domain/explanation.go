package domain

import (
	"time"

	"github.com/google/uuid"
)

// CauseKind says why messages are not stored or not delivered, or what became of one.
type CauseKind string

// Why a tenant's messages are not stored, or not taken.
const (
	CauseProvisioning      CauseKind = "tenant_provisioning"
	CauseInactive          CauseKind = "tenant_inactive"
	CauseStopped           CauseKind = "consumer_stopped"
	CauseDatabaseAway      CauseKind = "database_away"
	CauseStoreRefuses      CauseKind = "store_refuses"
	CausePartitionLocked   CauseKind = "partition_locked"
	CausePartitionMissing  CauseKind = "partition_missing"
	CauseBrokerAway        CauseKind = "broker_away"
	CauseQueueSilent       CauseKind = "queue_silent"
	CauseQueueMissing      CauseKind = "queue_missing"
	CauseConsumerStarting  CauseKind = "consumer_starting"
	CauseConsumerMoving    CauseKind = "consumer_moving"
	CauseConsumerRefused   CauseKind = "consumer_refused"
	CauseConsumerLost      CauseKind = "consumer_reconnecting"
	CauseConsumerForgotten CauseKind = "consumer_forgotten"
	CauseConsumerUnknown   CauseKind = "consumer_unknown"
	CauseUnreadable        CauseKind = "unreadable_message"
	CauseStalled           CauseKind = "stalled"
	CauseBrokerBlocked     CauseKind = "broker_blocked"
	CauseBacklogFull       CauseKind = "backlog_full"
	CauseQuotaExceeded     CauseKind = "quota_exceeded"
	CauseRateExceeded      CauseKind = "rate_exceeded"
	CauseQueuePolicy       CauseKind = "queue_policy"
	CauseBacklog           CauseKind = "backlog"
)

// Why messages are not delivered to an endpoint.
const (
	CauseEndpointHeld       CauseKind = "endpoint_held"
	CauseEndpointDisabled   CauseKind = "endpoint_disabled"
	CauseBreakerOpen        CauseKind = "breaker_open"
	CauseOrderBlocked       CauseKind = "order_blocked"
	CauseKeyBlocked         CauseKind = "key_blocked"
	CauseNobodyDelivers     CauseKind = "nobody_delivers"
	CauseEndpointRate       CauseKind = "endpoint_rate"
	CauseEndpointRetrying   CauseKind = "endpoint_retrying"
	CauseEndpointBehind     CauseKind = "endpoint_behind"
	CauseEndpointsUnchecked CauseKind = "endpoints_unknown"
)

// What became of one message, besides.
const (
	CauseNotStored  CauseKind = "not_stored"
	CauseNotFound   CauseKind = "not_found"
	CauseDeadLetter CauseKind = "dead_letter"
	CauseDelivered  CauseKind = "delivered"
	CausePassed     CauseKind = "passed"
	CauseNotMeant   CauseKind = "not_meant"
	CauseGivenUp    CauseKind = "given_up"
	CauseDue        CauseKind = "delivery_due"
)

// CauseKinds returns all kinds of causes, in the order in which they are documented.
func CauseKinds() []CauseKind {
	return []CauseKind{
		CauseProvisioning, CauseInactive, CauseStopped, CauseDatabaseAway, CauseStoreRefuses, CausePartitionLocked, CausePartitionMissing,
		CauseBrokerAway, CauseQueueSilent, CauseQueueMissing, CauseConsumerStarting, CauseConsumerMoving, CauseConsumerRefused,
		CauseConsumerLost, CauseConsumerForgotten, CauseConsumerUnknown, CauseUnreadable, CauseStalled,
		CauseBrokerBlocked, CauseBacklogFull, CauseQuotaExceeded, CauseRateExceeded, CauseQueuePolicy, CauseBacklog,
		CauseEndpointHeld, CauseEndpointDisabled, CauseBreakerOpen, CauseOrderBlocked, CauseKeyBlocked, CauseNobodyDelivers,
		CauseEndpointRate, CauseEndpointRetrying, CauseEndpointBehind, CauseEndpointsUnchecked,
		CauseNotStored, CauseNotFound, CauseDeadLetter, CauseDelivered, CausePassed, CauseNotMeant, CauseGivenUp, CauseDue,
	}
}

// MessageState is where a message is.
type MessageState string

// Where a message can be.
const (
	// MessageStored: it is in the history.
	MessageStored MessageState = "stored"
	// MessageWaiting: it is not stored, and may be one of those that wait for it.
	MessageWaiting MessageState = "waiting"
	// MessageDead: it could not be stored, and is a dead letter.
	MessageDead MessageState = "dead_letter"
	// MessageUnknown: it is not stored and nothing waits, or that cannot be found out.
	MessageUnknown MessageState = "unknown"
)

// Cause is one reason why messages stand, or a fact of the way of one.
type Cause struct {
	Kind CauseKind
	// Stops: nothing goes on until it ends. Else it is slow, or to be known.
	Stops bool
	// Sentence says it to a person, and Help what would help; Help is "" for nothing.
	Sentence, Help string
	// Since is when it began; zero where that is not known.
	Since time.Time
	// By is who did it; nil for nobody, or nobody the caller may know of.
	By *CauseActor
	CauseData
}

// CauseActor is who did something, as far as it is known.
type CauseActor struct {
	Actor

	// Name is the address of a user, or the name of a key; "" for none.
	Name string
}

// CauseData are the numbers of a cause. Those that are zero do not apply.
type CauseData struct {
	EndpointID, MessageID uuid.UUID
	// Seq is that of the message which the cause is about.
	Seq int64
	// Waiting is how many messages wait for it.
	Waiting int64
	// Rate is how many go on in a second, where that is known; else negative.
	Rate float64
	// Expected is when the last of Waiting is through, from now; 0 where that is not
	// known.
	Expected time.Duration
	// Attempts were made, of at most MaxAttempts; LastStatus is the HTTP status of the
	// last.
	Attempts, MaxAttempts, LastStatus int
	// NextAt is when the next one is due.
	NextAt time.Time
	// OrderingKey is what messages wait behind one another for.
	OrderingKey string
	// LetterID is the dead letter.
	LetterID int64
	// Reason is a word, such as that of a dead letter, and Error what was said.
	Reason, Error string
	// Replica is the one that has the consumer, and State the consumer's.
	Replica string
	State   ConsumerState
	// Sessions are those of the database that have something locked; for admins only.
	Sessions []LockHolder
	// Policy, Setting and Value are what shortens a queue.
	Policy, Setting, Value string
}

// Explanation says why a tenant's messages, or one of them, are not stored or not
// delivered.
type Explanation struct {
	At time.Time
	// Flows: nothing stops.
	Flows          bool
	Sentence, Help string
	// Causes begin with the one that matters most.
	Causes []Cause
	// Backlog is how many messages are not stored; -1 where that is not known.
	Backlog int64
	// Rate is how many are stored in a second; negative where that is not known.
	Rate float64
	// Expected is when the backlog, or the message, is stored, from now; 0 where that
	// is not known, and where nothing waits.
	Expected time.Duration

	// Message is there for one message only.
	Message *ExplainedMessage
}

// ExplainedMessage is where a message is.
type ExplainedMessage struct {
	ID    uuid.UUID
	State MessageState
	// Seq and StoredAt are of a stored one.
	Seq      int64
	StoredAt time.Time
	// Position is at most how many messages wait for being stored up to this one, where
	// it waits; 0 else.
	Position int64
}
