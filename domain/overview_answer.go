package domain

import (
	"time"

	"github.com/google/uuid"
)

// TenantOverview is how a tenant does.
type TenantOverview struct {
	TenantSight
	// Seen is when that was so, and State the state at that time.
	Seen  time.Time
	State TenantState
	// Rate is how many messages were stored in a second of late, in the whole fleet; nil
	// for not known.
	Rate *float64
}

// TenantCounts is how many tenants there are in each state.
type TenantCounts struct {
	Total, Flowing, Waiting, Failing, Stopped, Inactive, Provisioning, Deleting int
}

// Add counts a tenant.
func (c *TenantCounts) Add(s TenantState) {
	c.Total++
	switch s {
	case StateFlows:
		c.Flowing++
	case StateWaits:
		c.Waiting++
	case StateFails:
		c.Failing++
	case StateStopped:
		c.Stopped++
	case StateInactive:
		c.Inactive++
	case StateProvisioning:
		c.Provisioning++
	case StateDeleting:
		c.Deleting++
	}
}

// Overview is how all tenants that a caller may access do, together.
type Overview struct {
	// At is when it was so, which is some time ago while the database is away; Age is
	// how long.
	At  time.Time
	Age time.Duration
	// Status is that of the service, as /readyz says it.
	Status   string
	OpenMode bool

	Tenants TenantCounts
	// Backlog is how many messages wait in all queues together, as far as that is
	// known, and Oldest the longest that one of them has; 0 when that is not known.
	Backlog int64
	Oldest  time.Duration
	// Stored is how many messages were ever stored.
	Stored      int64
	DeadLetters int64
	Endpoints   EndpointCounts
	// Attention is what somebody should look at, most messages first.
	Attention []Attention
	// Service is for admins; nil for others.
	Service *ServiceOverview
}

// ServiceOverview is how the service itself does.
type ServiceOverview struct {
	Version string
	// Servers are the states of the servers that it needs, by name.
	Servers map[string]string
	// Replicas is how many live.
	Replicas int
	// Rates are those of this replica, oldest first.
	Rates []Rate
}

// Rate is how much was done in RateInterval, in a second and in one replica. What was not
// measured is nil: before the replica began, and how long things took of which there were
// none.
type Rate struct {
	// At is the end of the interval.
	At time.Time
	// Accepted, Stored and Delivered are messages.
	Accepted, Stored, Delivered *float64
	// PublishMedian and PublishP99 are how long the broker took to confirm, and
	// EndToEndP99 is from publication to the committed row; estimates from histograms.
	PublishMedian, PublishP99, EndToEndP99 *time.Duration
}

// How far back rates go, and how far they are apart.
const (
	RateInterval = 5 * time.Second
	RateWindow   = 15 * time.Minute
)

// AttentionKind says what should be looked at.
type AttentionKind string

// The kinds of what should be looked at.
const (
	// AttentionStopped: messages wait, and the consumer was stopped on purpose.
	AttentionStopped AttentionKind = "consumer_stopped"
	// AttentionInactive: messages wait, and the tenant is inactive.
	AttentionInactive AttentionKind = "tenant_inactive"
	// AttentionNoConsumer: no replica runs the consumer.
	AttentionNoConsumer AttentionKind = "no_consumer"
	// AttentionFailed: the queue is missing.
	AttentionFailed AttentionKind = "consumer_failed"
	// AttentionNoSubscription: the consumer has had no subscription for a while.
	AttentionNoSubscription AttentionKind = "no_subscription"
	// AttentionStore: the consumer waits for the database.
	AttentionStore AttentionKind = "waiting_for_store"
	// AttentionBacklog: the oldest message has waited for WaitsAfter.
	AttentionBacklog AttentionKind = "backlog_old"
	// AttentionNearLimit: publishing is refused soon, because so much waits.
	AttentionNearLimit AttentionKind = "backlog_near_limit"
	// AttentionBreaker: an endpoint's breaker is open.
	AttentionBreaker AttentionKind = "breaker_open"
	// AttentionDisabled: an endpoint is disabled.
	AttentionDisabled AttentionKind = "endpoint_disabled"
	// AttentionHeld: an endpoint is held, and messages wait for it.
	AttentionHeld AttentionKind = "endpoint_held"
	// AttentionLetters: there are dead letters of late.
	AttentionLetters AttentionKind = "dead_letters"
	// AttentionQuota: an owner has nearly as much as it may have.
	AttentionQuota AttentionKind = "quota"
)

// MaxAttention is how many things to look at there are at most.
const MaxAttention = 50

// Attention is something that somebody should look at.
type Attention struct {
	Kind AttentionKind
	// TenantID and TenantName are the tenant; zero for none.
	TenantID   uuid.UUID
	TenantName string
	// EndpointID is the endpoint; zero for none.
	EndpointID uuid.UUID
	// Sentence says what is so, with the numbers in it.
	Sentence string
	// Messages is how many messages it is about.
	Messages int64
	// Since is since when it is so; zero for not known.
	Since time.Time
	// Action is what helps; nil when there is nothing that the caller may do.
	Action *Action
}

// Action is a call of the API.
type Action struct {
	// Label says what it does, for a button.
	Label string
	// Method, Path, which begins after the prefix of the API, and Body, nil for none,
	// are the call.
	Method, Path string
	Body         map[string]any
}

// TenantSort is by what a list of tenants is sorted.
type TenantSort string

// What a list of tenants may be sorted by. Names go up, and everything else down: what is
// worst, largest or latest first. Tenants that are equal are in the order of their ids.
const (
	SortCreated     TenantSort = "created"
	SortName        TenantSort = "name"
	SortState       TenantSort = "state"
	SortBacklog     TenantSort = "backlog"
	SortOldest      TenantSort = "oldest"
	SortRate        TenantSort = "rate"
	SortStored      TenantSort = "stored"
	SortLag         TenantSort = "lag"
	SortDeadLetters TenantSort = "dead_letters"
)

// OverviewQuery asks for a page of tenants.
type OverviewQuery struct {
	// Text restricts it to tenants with this text in their name or external id, in
	// letters of whatever case, or at the beginning of their id; "" for all.
	Text string
	// State and Replica restrict it to tenants with that state, and to those whose
	// consumer that replica runs; "" for all.
	State   TenantState
	Replica string
	Sort    TenantSort
	// Cursor is where the page before ended; "" begins at the start.
	Cursor string
	Limit  int
}

// OverviewPage is a page of tenants.
type OverviewPage struct {
	// At is when it was so.
	At      time.Time
	Tenants []TenantOverview
	// Total is how many there are on all pages, and Next the cursor of the next page; ""
	// at the end.
	Total int
	Next  string
}

// FleetOverview is how the replicas do.
type FleetOverview struct {
	At       time.Time
	Replicas []ReplicaSight
	Moves    []TenantMove
}

// TenantMove is a move with the tenant's name; "" for one that is gone.
type TenantMove struct {
	Move
	TenantName string
}

// ReplicaNotFound is the answer for a replica that is none.
func ReplicaNotFound() error {
	return New(ErrNotFound, "replica_not_found", "There is no such replica.")
}
