package domain

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Replica is one running process of the service. A process that is started
// again is another replica.
type Replica struct {
	Name string
	// Address is the host and port that the process listens on. As no two
	// processes can, one that comes after another has taken its place.
	Address string
	// Version is that of the build.
	Version string
	// ReachesBroker says whether the process could use the broker just now.
	ReachesBroker bool
}

// ReplicaRepository keeps the replicas of the fleet. Methods are safe for
// concurrent use; the clock that counts is that of the database. Errors are
// ErrUnavailable while it is away.
type ReplicaRepository interface {
	// Heartbeat records that the replica is alive, forgets others with its
	// address, and returns the names of all that were seen within ttl, in
	// order, itself included.
	Heartbeat(ctx context.Context, r Replica, ttl time.Duration) ([]string, error)
	// LiveReplicas returns the same without recording anything.
	LiveReplicas(ctx context.Context, ttl time.Duration) ([]string, error)
	// OthersReachBroker reports whether a replica with another name was seen
	// within ttl and reached the broker then.
	OthersReachBroker(ctx context.Context, name string, ttl time.Duration) (bool, error)
	// RemoveReplica forgets the replica at once, and what it reported.
	RemoveReplica(ctx context.Context, name string) error
	// DeleteDeadReplicas forgets replicas that were not seen for age, and what
	// they reported. It returns how many there were.
	DeleteDeadReplicas(ctx context.Context, age time.Duration) (int, error)
}

// DatabaseClock has the time of the database, which is that of all replicas.
type DatabaseClock interface {
	// DatabaseTime returns the time at the moment of the answer, or
	// ErrUnavailable.
	DatabaseTime(ctx context.Context) (time.Time, error)
}

// ReportRepository keeps what replicas report of their consumers. Methods are
// safe for concurrent use.
type ReportRepository interface {
	// ReportConsumers stores the statuses of consumers that changed, and
	// removes those of ended ones, unless another replica reported them since.
	// One that is draining takes the place of no other replica's.
	ReportConsumers(ctx context.Context, replica string, changed []ConsumerStatus, ended []uuid.UUID) error
	// ConsumerReports returns what is known of the consumers of these tenants,
	// by tenant; only of replicas that were seen within ttl.
	ConsumerReports(ctx context.Context, tenantIDs []uuid.UUID, ttl time.Duration) (map[uuid.UUID]ConsumerStatus, error)
	// ConsumerDepths returns all known depths of queues, by tenant, with the
	// same restriction.
	ConsumerDepths(ctx context.Context, ttl time.Duration) (map[uuid.UUID]int64, error)
}

// ChangeKind says what a Change is about.
type ChangeKind string

// The kinds of changes.
const (
	// TenantChanged: the row of the tenant ID, or its endpoint.
	TenantChanged ChangeKind = "tenant"
	// TenantsChanged: the rows of many tenants at once.
	TenantsChanged ChangeKind = "tenants"
	// DeliveriesChanged: deliveries of the tenant ID are to be looked at, because a
	// message was resent, a replay was begun or cancelled, or a replica has released
	// its claim of them.
	DeliveriesChanged ChangeKind = "deliveries"
	// UserChanged: the row of the user ID.
	UserChanged ChangeKind = "user"
	// APIKeyChanged: the row of the API key ID.
	APIKeyChanged ChangeKind = "key"
	// ReplicasChanged: one has come or gone.
	ReplicasChanged ChangeKind = "replicas"
	// AnythingChanged: changes may have been missed.
	AnythingChanged ChangeKind = "anything"
)

// Change means that some process, perhaps this one, changed something in the
// database.
type Change struct {
	Kind ChangeKind
	ID   uuid.UUID // zero where the kind does not say otherwise
}

// ChangeWatcher reports changes.
type ChangeWatcher interface {
	// WatchChanges calls handle for every change until ctx ends, in order and
	// one at a time; handle must not block. It connects again when the
	// connection is lost, and calls handle with AnythingChanged whenever it
	// has connected. It returns when ctx has ended.
	WatchChanges(ctx context.Context, handle func(Change))
}
