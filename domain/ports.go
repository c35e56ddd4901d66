package domain

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// TenantQuery asks for a page of tenants, oldest first.
type TenantQuery struct {
	// After is the id of the last tenant of the page before; zero begins at
	// the start. Ids are UUIDv7, so their order is the order of creation.
	After uuid.UUID
	Limit int
	// Statuses restricts the answer; empty means every status but deleted.
	Statuses []TenantStatus
	// ExternalID restricts the answer to tenants that have it, and Metadata to those
	// that have all of it; zero values do not.
	ExternalID string
	Metadata   map[string]string
	// VisibleTo restricts the answer to what this caller may access; nil for
	// everything.
	VisibleTo *Principal
}

// TenantRepository keeps the tenants. Methods are safe for concurrent use.
// Errors are ErrUnavailable while the database is away.
type TenantRepository interface {
	// InsertTenant stores a new tenant if admit allows it by what its owner has
	// besides; the error of admit is returned as it is. A tenant without an owner,
	// and a nil admit, ask nobody. Inserting the same id again is allowed and
	// changes nothing. An external id that another tenant of the owner has is an
	// ExternalIDTaken, here and when tenants are changed.
	InsertTenant(ctx context.Context, t Tenant, admit func(OwnerUse) error) error
	// FindTenant returns the tenant in any state, tombstones included, or
	// ErrNotFound.
	FindTenant(ctx context.Context, id uuid.UUID) (Tenant, error)
	// FindTenantByExternalID returns the tenant of this owner, zero for those without
	// one, that has the external id and is not being deleted, or ErrNotFound.
	FindTenantByExternalID(ctx context.Context, owner uuid.UUID, externalID string) (Tenant, error)
	// ListTenants returns at most q.Limit tenants.
	ListTenants(ctx context.Context, q TenantQuery) ([]Tenant, error)
	// ChangeTenant locks the tenant's row, lets change work on it, and
	// stores all of its mutable fields with a new UpdatedAt. The error of
	// change is returned as it is, and then nothing is stored. Tombstones
	// and unknown ids are ErrNotFound.
	ChangeTenant(ctx context.Context, id uuid.UUID, change func(*Tenant) error) (Tenant, error)
	// GrowTenant is ChangeTenant which asks admit, where the tenant has more workers
	// afterwards and an owner, by what that has besides.
	GrowTenant(ctx context.Context, id uuid.UUID, change func(*Tenant) error, admit func(Tenant, OwnerUse) error) (Tenant, error)
	// SetAllStopped sets Stopped of every tenant that exists, at once, and
	// returns the ids of those for which that was a change.
	SetAllStopped(ctx context.Context, stopped bool) ([]uuid.UUID, error)
	// LockTenant runs fn while this process, alone in the fleet, holds the
	// tenant's advisory lock. It waits for the lock until ctx ends.
	LockTenant(ctx context.Context, id uuid.UUID, fn func(context.Context) error) error
}

// TenantResolver finds tenants by what their owners call them. It is safe for
// concurrent use.
type TenantResolver interface {
	// ResolveTenant returns which tenant has the external id, among those that the
	// caller may access: its own one if there is one. Errors are TenantNotFound, and
	// ExternalIDAmbiguous where several owners' have it. Tenants that are being deleted
	// have none.
	ResolveTenant(ctx context.Context, p Principal, externalID string) (uuid.UUID, error)
}

// PartitionRepository makes and removes the place where a tenant's messages
// are kept. Methods are idempotent and safe for concurrent use.
type PartitionRepository interface {
	// CreatePartition makes the tenant's partition and its stream row.
	CreatePartition(ctx context.Context, tenantID uuid.UUID) error
	// ErasePartition removes the stream row, the messages and the partition.
	// When other transactions keep the partition from being detached it
	// deletes the rows and returns ErrContended: call it again later.
	ErasePartition(ctx context.Context, tenantID uuid.UUID) error
}

// MessageRepository keeps the messages. Methods are safe for concurrent use.
type MessageRepository interface {
	// AppendMessages stores messages of any number of tenants in one
	// transaction, in the order given, and returns a result for each. No id
	// may occur twice for a tenant in one call. An error means that none was
	// stored (or, when the connection broke during commit, that it is not
	// known: appending again is safe); its kind is ErrUnavailable,
	// ErrContended, ErrPartitionMissing or ErrRejected. An ErrUnavailable of a
	// store that answers is an ErrStoreRefuses, an ErrRejected that is not the
	// row's fault an ErrStoreFault.
	AppendMessages(ctx context.Context, messages []Message) ([]AppendResult, error)
	// History returns a page. It may hold fewer than q.Limit messages with
	// More set, and none, so that one page stays below q.MaxBytes; no payload
	// beyond that is read. A cursor after which
	// messages are missing, because the tenant does not keep them any longer,
	// is an ErrGone; ascending without a cursor, or after 0, begins at the
	// oldest message that is kept.
	History(ctx context.Context, q HistoryQuery) (HistoryPage, error)
	// FindMessage returns one message, or ErrNotFound, and how many bytes it
	// takes. When those are more than maxBytes its payload is nil, and was not
	// read.
	FindMessage(ctx context.Context, tenantID, id uuid.UUID, maxBytes int) (m Message, size int, err error)
}

// MessageWriter stores what consumers receive. Methods are safe for concurrent
// use.
type MessageWriter interface {
	// Store stores messages of one tenant, in order, and returns when each of
	// them has a result or ctx ends. In the latter case they may still be
	// stored. It waits for as long as the store is away. Neither slice may be
	// changed afterwards.
	Store(ctx context.Context, messages []Message) ([]StoreResult, error)
	// UnavailableSince returns since when the store has not been reachable, and
	// false while it is.
	UnavailableSince() (time.Time, bool)
	// Trouble returns what keeps the tenant's messages from being stored: the store is
	// unavailable, or the tenant is parked.
	Trouble(tenantID uuid.UUID) StoreTrouble
}

// RetentionRepository deletes messages that tenants do not keep any longer.
// Methods are safe for concurrent use.
type RetentionRepository interface {
	// Alone runs fn unless another call in the fleet is under way with
	// the same purpose, and reports whether it ran.
	Alone(ctx context.Context, purpose string, fn func(context.Context) error) (ran bool, err error)
	// ListRetentions returns the tenants that do not keep messages for ever.
	ListRetentions(ctx context.Context) ([]Retention, error)
	// ExpireMessages moves the beginning of the tenant's history past what is
	// older than r says, and the cursors of endpoints with it, and then deletes at
	// most limit of the messages before it, with what earlier versions recorded of
	// their transmission. An error may come with what was done before.
	ExpireMessages(ctx context.Context, r Retention, limit int) (Expiry, error)
}

// IdempotencyRepository remembers keys for IdempotencyLifetime. Methods are
// safe for concurrent use.
type IdempotencyRepository interface {
	// ClaimKeys claims keys in one statement and returns a grant for each, in
	// order. No key may occur twice for a scope in one call.
	ClaimKeys(ctx context.Context, claims []IdempotencyClaim) ([]IdempotencyGrant, error)
	// ConfirmKeys records that the claims that were granted these ids were
	// carried out. A claim that has taken the place of an expired one of them
	// is left alone.
	ConfirmKeys(ctx context.Context, scope uuid.UUID, keys []ConfirmedKey) error
	// ReleaseKey forgets the claim that was granted this id and was not carried
	// out, so that the key can be claimed anew.
	ReleaseKey(ctx context.Context, scope uuid.UUID, key ConfirmedKey) error
	// DeleteExpiredKeys deletes at most limit expired keys and returns how
	// many there were.
	DeleteExpiredKeys(ctx context.Context, limit int) (int, error)
}

// UserRepository keeps the users. Methods are safe for concurrent use.
type UserRepository interface {
	// InsertUser returns an ErrConflict with code "email_taken" when another
	// user has the address.
	InsertUser(ctx context.Context, u User) error
	// FindUser and FindUserByEmail return ErrNotFound where there is none.
	FindUser(ctx context.Context, id uuid.UUID) (User, error)
	FindUserByEmail(ctx context.Context, email string) (User, error)
	// ListUsers returns at most limit users with an id greater than after.
	ListUsers(ctx context.Context, after uuid.UUID, limit int) ([]User, error)
	// ChangeUser locks the row, lets change work on it and stores it. Its
	// errors are those of change, ErrNotFound and "email_taken".
	ChangeUser(ctx context.Context, id uuid.UUID, change func(*User) error) (User, error)
	DeleteUser(ctx context.Context, id uuid.UUID) error
	// OutdatedPasswordForms returns in which forms passwords are hashed besides the
	// one that is made now, at most limit of them: the beginnings of such hashes, up
	// to what is different for each password.
	OutdatedPasswordForms(ctx context.Context, limit int) ([]string, error)
}

// SecretRepository keeps secrets that the service makes for itself.
type SecretRepository interface {
	// EnsureSecret returns the secret kept under name; the first call in the
	// life of the database stores fresh as that.
	EnsureSecret(ctx context.Context, name string, fresh []byte) ([]byte, error)
}

// Publisher puts messages on tenants' queues. Methods are safe for concurrent
// use.
type Publisher interface {
	// Publish publishes the batch to the tenant's queue in order and returns one
	// error for each message: nil once the broker confirmed it in an existing
	// queue, else an ErrUnavailable, which is an ErrQueueMissing when there is
	// none. It returns by the end of ctx at the latest; a message whose confirm
	// was not seen by then is an ErrUnavailable too, although it may have
	// arrived. One whose headers the broker has no room for is an ErrTooLarge.
	Publish(ctx context.Context, tenantID uuid.UUID, batch []Outgoing) []error
	// DeadLetter publishes a letter to its tenant's dead-letter queue; nil once
	// confirmed. The error is an ErrQueueMissing when there is no such queue.
	DeadLetter(ctx context.Context, letter DeadLetter) error
}

// Topology makes and removes the queues of tenants. Methods are idempotent
// and safe for concurrent use; errors are ErrUnavailable.
type Topology interface {
	// DeclareQueues returns when the queues are there and the main queue can
	// be consumed. A queue that a killed broker left behind unusable and
	// empty is deleted and declared again, so only one process at a time may
	// call it for a tenant.
	DeclareQueues(ctx context.Context, tenantID uuid.UUID) error
	// CheckQueues returns nil when both queues are there, and binds them again
	// if that was taken away; ErrNotFound when one is missing.
	CheckQueues(ctx context.Context, tenantID uuid.UUID) error
	// DeleteQueues deletes the tenant's queues and returns how many messages
	// were dropped with its main queue.
	DeleteQueues(ctx context.Context, tenantID uuid.UUID) (discarded int64, err error)
	// AwaitNoConsumers returns nil once no replica consumes the
	// tenant's main queue, or there is none: then everything that was not
	// acknowledged is in the queue again. When ctx ends before, the error is
	// that of ctx.
	AwaitNoConsumers(ctx context.Context, tenantID uuid.UUID) error
	// QueueDepth returns how many messages are ready in the tenant's main
	// queue.
	QueueDepth(ctx context.Context, tenantID uuid.UUID) (int64, error)
}

// LegacyRetries is what earlier versions left at the broker: queues, the retry
// tiers, in which messages waited for their next delivery to an endpoint, and came
// back to their tenant's queue. It is safe for concurrent use.
type LegacyRetries interface {
	// EmptyRetryTiers deletes the tiers that have been found empty several times,
	// and with the last one what all of them shared. It returns how many tiers
	// are left, which it is to be called again for, about a minute later, and how
	// many messages wait in them. Errors are ErrUnavailable; what was deleted
	// already is no error.
	EmptyRetryTiers(ctx context.Context) (tiers int, messages int64, err error)
}

// ReturnedMessages takes care of messages that come from their queue once more, and
// that an earlier version of the service had stored: it knew that their delivery to
// the tenant's endpoint was under way while they were in a queue, or in a retry tier
// from which they come back. Methods are safe for concurrent use.
type ReturnedMessages interface {
	// Returned opens a delivery, due now, for each of these messages that was stored
	// before the upgrade and neither delivered nor given up then, if the endpoint is
	// still there; each once, however often it comes back. It counts the attempts
	// that were made. It returns all that were stored before the upgrade while the
	// tenant had an endpoint. Of a tenant that had none it returns nothing, and asks
	// nobody. Errors are ErrUnavailable; calling it again is safe.
	Returned(ctx context.Context, tenantID uuid.UUID, ids []uuid.UUID) (earlier []uuid.UUID, err error)
}

// Subscriber subscribes consumers to tenants' queues.
type Subscriber interface {
	// Subscribe opens a channel of its own for the tenant with the given
	// prefetch. Errors are ErrUnavailable, or ErrNotFound when the queue does
	// not exist.
	Subscribe(ctx context.Context, tenantID uuid.UUID, tag string, prefetch int) (Subscription, error)
}

// Subscription is a running subscription to one queue. Its channel lives and
// dies with it: nothing of it survives a lost connection.
type Subscription interface {
	// Each calls deliver with each delivery, in order, and returns when the
	// subscription has ended for whatever reason. Call it once, soon: nobody else
	// reads what the broker sends. Deliver must not wait for anything but memory, or
	// for what ends with Close; it is called with what came before Close, too.
	Each(deliver func(Delivery))
	// Done is closed when the subscription has ended, a moment before Each returns.
	Done() <-chan struct{}
	// Err returns why it ended, or nil after Close. Call it after Done.
	Err() error
	// Ack acknowledges one delivery, or all up to it.
	Ack(tag uint64, multiple bool) error
	// Close ends the subscription; what was not acknowledged goes back to the
	// queue. It may be called more than once, and returns within seconds.
	Close() error
}

// Deliveries calls sub.Each on a goroutine, which ends with the subscription, and
// returns a channel with what is delivered. It is closed once the subscription has ended,
// and has room for prefetch deliveries, as many as are not acknowledged at a time: what
// does not fit is dropped, and delivered again after Close.
func Deliveries(sub Subscription, prefetch int) <-chan Delivery {
	out := make(chan Delivery, prefetch)
	go func() {
		defer close(out)
		sub.Each(func(d Delivery) {
			select {
			case out <- d:
			default:
			}
		})
	}()
	return out
}

// Assignment is what a running consumer is to do.
type Assignment struct {
	Workers int
}

// Assignment returns what the tenant's consumer is to do.
func (t *Tenant) Assignment() Assignment { return Assignment{Workers: t.Workers} }

// ConsumerManager runs the tenants' consumers in this process. Methods are
// safe for concurrent use.
type ConsumerManager interface {
	// Start makes sure that the tenant has a consumer with t.Workers workers,
	// and waits until it is subscribed or ctx ends. The consumer goes on
	// trying after an error.
	Start(ctx context.Context, t Tenant) error
	// Stop ends the tenant's consumer: it finishes and acknowledges what it
	// began and closes its channel. No consumer is no error.
	Stop(ctx context.Context, id uuid.UUID) error
	// Resize changes the number of workers of a running consumer. No consumer
	// is no error.
	Resize(ctx context.Context, id uuid.UUID, workers int) error
}

// OverviewRepository looks at all tenants at once. Methods are safe for concurrent use.
// Errors are ErrUnavailable while the database is away.
type OverviewRepository interface {
	// ReadFleet returns what is known of all tenants and replicas. What it says of
	// a tenant goes together; what it says of different things may be moments apart.
	ReadFleet(ctx context.Context, q SightQuery) (FleetSight, error)
	// CountStored returns how many messages were stored for each tenant.
	CountStored(ctx context.Context) (StoredCounts, error)
}
