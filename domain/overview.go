package domain

import (
	"time"

	"github.com/google/uuid"
)

// TenantState says in a word how a tenant does.
//
// The first of these that is true is the tenant's state, so that what is worse, or says
// more, hides the rest:
//
//	provisioning, deleting  its status says so
//	fails     its consumer should run and has failed, or no replica has one; or an
//	          active endpoint's breaker is open, or an endpoint is disabled
//	inactive  its status says so
//	stopped   its consumer was stopped on purpose
//	waits     its consumer has no subscription, or waits for the store; or what is in its
//	          queue has waited for WaitsAfter, or nothing of it was stored for StallsAfter;
//	          or an endpoint that is held has not got all
//	flows     nothing of that
type TenantState string

// The states of a tenant.
const (
	StateFlows        TenantState = "flows"
	StateWaits        TenantState = "waits"
	StateFails        TenantState = "fails"
	StateStopped      TenantState = "stopped"
	StateInactive     TenantState = "inactive"
	StateProvisioning TenantState = "provisioning"
	StateDeleting     TenantState = "deleting"
)

const (
	// WaitsAfter is how long the oldest message in a queue may have waited while the
	// tenant flows.
	WaitsAfter = time.Minute
	// StallsAfter is for how long nothing may have been stored while messages wait.
	StallsAfter = 15 * time.Second
	// AppearsWithin is how long it may take, since a tenant was changed, until a replica
	// runs its consumer and the others know.
	AppearsWithin = 15 * time.Second
)

// TenantSight is what is known of a tenant and all that it has, at a moment.
type TenantSight struct {
	Tenant
	// LastSeq is how many messages were ever stored, and LastStoredAt when the last one
	// was; zero for not known.
	LastSeq      int64
	LastStoredAt time.Time
	DeadLetters  int64
	Endpoints    EndpointCounts

	// Consumer is the state of its consumer, as a live replica reported it seconds ago;
	// "" where none did. The rest of this part is only known then.
	Consumer  ConsumerState
	Replica   string
	Busy      int
	LastError string
	// Since is when that state was entered.
	Since time.Time
	// Backlog is how many messages are in the queue, or in the consumer's hands; -1 for
	// not known.
	Backlog int64
	// OldestAt is ConsumerStatus.OldestAt.
	OldestAt time.Time
}

// EndpointCounts is how many endpoints there are, and how they do.
type EndpointCounts struct {
	Total, Active, Held, Disabled int
	// BreakerOpen counts those that are active, and whose breaker is open.
	BreakerOpen int
	// Lag is how many messages they have not got, together, and HeldLag those of them
	// that wait for endpoints which are held.
	Lag, HeldLag int64
}

// Failing is how many endpoints get nothing for their own fault.
func (c *EndpointCounts) Failing() int { return c.Disabled + c.BreakerOpen }

// State returns the tenant's state at that time, which is one of the clock that the
// sight's times are of.
func (t *TenantSight) State(now time.Time) TenantState {
	switch {
	case t.Status == TenantProvisioning:
		return StateProvisioning
	case t.Gone():
		return StateDeleting
	case t.Endpoints.Failing() > 0, t.Consuming() && (t.Consumer == ConsumerFailed || t.WithoutConsumer(now)):
		return StateFails
	case t.Status == TenantInactive:
		return StateInactive
	case t.Stopped:
		return StateStopped
	case t.Consumer != ConsumerRunning, t.Oldest(now) >= WaitsAfter, t.Stalls(now), t.Endpoints.HeldLag > 0:
		return StateWaits
	}
	return StateFlows
}

// WithoutConsumer reports whether the tenant should have a consumer, and has had time
// for it, and no live replica runs one.
func (t *TenantSight) WithoutConsumer(now time.Time) bool {
	return t.Consuming() && t.Consumer == "" && now.Sub(t.UpdatedAt) >= AppearsWithin
}

// Stalls reports whether messages wait and nothing was stored for StallsAfter, as far as
// is known.
func (t *TenantSight) Stalls(now time.Time) bool {
	return t.Backlog > 0 && !t.LastStoredAt.IsZero() && now.Sub(t.LastStoredAt) >= StallsAfter && (t.OldestAt.IsZero() || t.Oldest(now) >= StallsAfter)
}

// Oldest returns for how long the oldest message that waits has done so, at most and
// give or take a few seconds; 0 when that is not known, or nothing waits.
func (t *TenantSight) Oldest(now time.Time) time.Duration {
	if t.OldestAt.IsZero() {
		return 0
	}
	return max(0, now.Sub(t.OldestAt))
}

// EndpointSight is an endpoint that does not get what it should: it is held, disabled,
// or its breaker is open.
type EndpointSight struct {
	TenantID, ID uuid.UUID
	// Name is what it is shown as: its external id or its description, or else where
	// messages go.
	Name   string
	Status EndpointStatus
	// Reason says why it is disabled.
	Reason string
	// BreakerOpenedAt is since when the breaker is open; zero while it is closed.
	BreakerOpenedAt time.Time
	Lag             int64
}

// FreshLetters is how many dead letters of a tenant came lately and wait, and when the
// first and the last of those did. There may be more than were looked at.
type FreshLetters struct {
	TenantID        uuid.UUID
	Count           int64
	FirstAt, LastAt time.Time
}

// Halt is who stopped a tenant's consumer last, or made the tenant inactive, and when.
type Halt struct {
	TenantID uuid.UUID
	Action   AuditAction
	At       time.Time
	Actor    Actor
	// Name is the actor's email address; "" for none.
	Name string
}

// OwnerSight is what an owner of tenants has.
type OwnerSight struct {
	ID    uuid.UUID
	Email string
	// Use has no Created.
	Use OwnerUse
}

// ReplicaState says how a replica does.
//
//	live --no heartbeat for 6 s--> suspect --for 10 s--> gone
//
// One that is gone is forgotten after an hour; one that ended as it should at once.
type ReplicaState string

// The states of a replica.
const (
	ReplicaLive    ReplicaState = "live"
	ReplicaSuspect ReplicaState = "suspect"
	ReplicaGone    ReplicaState = "gone"
	// ReplicaNoBroker: it lives, and does not reach the broker.
	ReplicaNoBroker ReplicaState = "no_broker"
)

// Times without a heartbeat after which a replica is a suspect, and counts as gone.
const (
	ReplicaSuspectAfter = 6 * time.Second
	ReplicaGoneAfter    = 10 * time.Second
)

// ReplicaSight is what is known of a replica.
type ReplicaSight struct {
	Name, Version     string
	StartedAt, SeenAt time.Time
	ReachesBroker     bool
	// Tenants is how many consumers it runs.
	Tenants int
}

// State returns how the replica does.
func (r *ReplicaSight) State(now time.Time) ReplicaState {
	switch age := now.Sub(r.SeenAt).Abs(); {
	case age >= ReplicaGoneAfter:
		return ReplicaGone
	case age >= ReplicaSuspectAfter:
		return ReplicaSuspect
	case !r.ReachesBroker:
		return ReplicaNoBroker
	}
	return ReplicaLive
}

// Move is that a tenant's consumer runs in another replica than before.
type Move struct {
	TenantID uuid.UUID
	From, To string
	At       time.Time
}

// FleetSight is what is known of all tenants and replicas at a moment.
type FleetSight struct {
	// At is the database's time.
	At time.Time
	// Tenants are all that are not deleted, in the order of their ids.
	Tenants []TenantSight
	// Endpoints are those that do not get what they should; of each tenant those with
	// the largest lag.
	Endpoints []EndpointSight
	Letters   []FreshLetters
	// Halts are those of tenants that are inactive, or whose consumer is stopped.
	Halts    []Halt
	Owners   []OwnerSight
	Replicas []ReplicaSight
	// Moves are the last ones, the latest first.
	Moves []Move
}

// StoredCounts is how many messages were ever stored for each tenant, at a time of the
// database.
type StoredCounts struct {
	At      time.Time
	LastSeq map[uuid.UUID]int64
}

// SightQuery says how much of what there may be much of a FleetSight is to have.
type SightQuery struct {
	// EndpointsPerTenant is how many endpoints of a tenant, LettersPerTenant how many of
	// its latest dead letters are looked at, and Moves how many moves there are, at most.
	EndpointsPerTenant, LettersPerTenant, Moves int
	// FreshFor is how old a fresh letter may be.
	FreshFor time.Duration
}
