package domain

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// DeliveryClaim is the right of a replica to deliver a tenant's messages. A higher
// epoch takes the place of a lower one.
type DeliveryClaim struct {
	TenantID uuid.UUID
	Epoch    int64
}

// DeliveryTarget is an endpoint as those who deliver to it need it.
type DeliveryTarget struct {
	Endpoint
	// Workers is the tenant's number of workers, and OwnerID who created the
	// tenant; zero for nobody.
	Workers int
	OwnerID uuid.UUID
}

// Slots returns how many deliveries may be under way at a time.
func (t *DeliveryTarget) Slots() int {
	switch {
	case t.Ordering == OrderingFIFO:
		return 1
	case t.Concurrency > 0:
		return t.Concurrency
	}
	return max(1, t.Workers)
}

// OpenDelivery is the delivery of a message that its endpoint's cursor has
// passed, and that is neither done nor given up: a row of deliveries.
type OpenDelivery struct {
	Seq       int64
	MessageID uuid.UUID
	// OrderingKey is that of the message where the endpoint's ordering is
	// OrderingKey; else "".
	OrderingKey string
	// Attempts were made; Round counts the replays of its dead letter.
	Attempts int
	Round    int
	// ReplayID is the replay of which it is a part; zero for none.
	ReplayID uuid.UUID
	// Waits: it is not due by itself, but when the one before it of its key is
	// done. Else it is due in NextIn, or was when that is negative.
	Waits      bool
	NextIn     time.Duration
	LastStatus int
	LastError  string
	// Known, when it is settled: the row was there before, and is changed only if
	// it still is.
	Known bool
	// Message is what is to be delivered, when it is read; nil when the message is
	// not kept any longer.
	Message *Message
}

// GivenUp is a delivery that becomes a dead letter, and has no row afterwards.
type GivenUp struct {
	Letter DeadLetter
	Seq    int64
	// Round counts the replays of the message's dead letter.
	Round int
}

// Settlement is what became of deliveries to one endpoint. It takes effect as a
// whole, in one transaction with that of other endpoints.
type Settlement struct {
	TenantID   uuid.UUID
	EndpointID uuid.UUID
	// Epoch and Version are those under which the deliveries were begun.
	Epoch   int64
	Version int64
	// Settled is where the cursor is moved to; it never goes back.
	Settled int64
	// Attempts were made, and are recorded whatever else becomes of the settlement.
	Attempts []Attempt
	// Open are rows to be written, Done the seqs whose rows are deleted, and Given
	// Up what becomes dead letters; their rows are deleted too.
	Open    []OpenDelivery
	Done    []int64
	GivenUp []GivenUp
	// Keys are those of which the first row, if there is one, is due now.
	Keys []string
	// Health is remembered when it has changed; nil when it has not.
	Health *EndpointHealth
	// Disable disables the endpoint for this reason; "" leaves it as it is.
	Disable string
	// Replay is how far the endpoint's replay is; nil for no change.
	Replay *ReplayProgress
}

// Size returns how many results the settlement has.
func (s *Settlement) Size() int {
	return len(s.Attempts) + len(s.Open) + len(s.Done) + len(s.GivenUp)
}

// SettleOutcome is what became of a settlement.
type SettleOutcome uint8

// The outcomes of a settlement.
const (
	// SettleDone: it took effect.
	SettleDone SettleOutcome = iota + 1
	// SettleStale: the endpoint has another version by now, so that other messages
	// may be meant for it. Only the attempts were recorded.
	SettleStale
	// SettleLost: another replica has the claim. Only the attempts were recorded.
	SettleLost
	// SettleGone: the endpoint or its tenant is gone.
	SettleGone
)

// DeliveryStart is where deliveries to an endpoint go on.
type DeliveryStart struct {
	Settled int64
	Version int64
	Health  EndpointHealth
	// Rows counts the open deliveries, and Keys those of each ordering key up to Settled.
	Rows int
	Keys map[string]int
	// Beyond are the seqs after Settled that have rows.
	Beyond []int64
	// Due says that a row is due, in NextIn.
	Due    bool
	NextIn time.Duration
	// Replay is the one that is under way; nil for none.
	Replay *Replay
}

// DueQuery asks for open deliveries of an endpoint.
type DueQuery struct {
	TenantID   uuid.UUID
	EndpointID uuid.UUID
	// Except are the seqs of those that are known already.
	Except []int64
	// Any asks for the oldest by seq, due or not, and not for those that wait for
	// others of their key.
	Any      bool
	Limit    int
	MaxBytes int
}

// DueDeliveries is the answer to a DueQuery.
type DueDeliveries struct {
	Deliveries []OpenDelivery
	// Due says that another one is due, in NextIn.
	Due    bool
	NextIn time.Duration
	// Rows counts all open deliveries of the endpoint, up to MaxCountedDeliveries.
	Rows int
}

// MaxCountedDeliveries is up to where open deliveries are counted with each
// DueQuery.
const MaxCountedDeliveries = 10_000

// DeliveryRepository keeps how far deliveries are, and who may deliver. Methods are
// safe for concurrent use; the clock that counts is that of the database. Errors
// are ErrUnavailable while it is away.
type DeliveryRepository interface {
	// BeatDeliverer records that a replica delivers, and returns the names of all
	// that were seen within ttl and are not leaving, in order. A replica that is
	// leaving keeps its claims until it releases them.
	BeatDeliverer(ctx context.Context, name string, leaving bool, ttl time.Duration) ([]string, error)
	// RemoveDeliverer forgets a replica that has released its claims.
	RemoveDeliverer(ctx context.Context, name string) error
	// DeliveryTenants returns the tenants with endpoints that are neither deleting nor
	// deleted, and how many endpoints each of them has with each status. One that is
	// Unreadable counts with the status that is stored.
	DeliveryTenants(ctx context.Context) (map[uuid.UUID]map[EndpointStatus]int, error)
	// DeliveryTargets returns the endpoints of these tenants, active or not. One that
	// is Unreadable is disabled with the reason StatusUnreadable, but not for good:
	// nothing is stored, and it goes on when the key is there again.
	DeliveryTargets(ctx context.Context, tenantIDs []uuid.UUID) ([]DeliveryTarget, error)
	// ClaimDeliveries claims tenants that nobody has, that the replica has already,
	// or whose claimant was not seen for ttl, and returns those that it got. It
	// waits for settlements that are under way, so that nothing of an earlier
	// claimant's takes effect afterwards.
	ClaimDeliveries(ctx context.Context, name string, tenantIDs []uuid.UUID, ttl time.Duration) ([]DeliveryClaim, error)
	// DeliveryClaims returns the claims that the replica has, in the order of tenants.
	DeliveryClaims(ctx context.Context, name string) ([]DeliveryClaim, error)
	// ReleaseDeliveries gives claims up, those that are still the replica's.
	ReleaseDeliveries(ctx context.Context, name string, claims []DeliveryClaim) error
	// StartDelivery returns where to go on with an endpoint; ErrNotFound when it is
	// gone. Rows that wait for another one of their key, which is not there or is
	// not to be waited for any more because the ordering has changed, become due.
	StartDelivery(ctx context.Context, tenantID, endpointID uuid.UUID) (DeliveryStart, error)
	// ReadDeliveries returns, oldest first, at most limit messages after the
	// cursor, fewer when they would exceed maxBytes, as Message.Size counts, but
	// none only when there are none. Those that are not kept any longer are left out.
	ReadDeliveries(ctx context.Context, tenantID uuid.UUID, cursor int64, limit, maxBytes int) ([]Message, error)
	// DueDeliveries returns rows that are due, by the time at which they are.
	DueDeliveries(ctx context.Context, q DueQuery) (DueDeliveries, error)
	// Settle carries out the settlements of a replica, each as a whole, and returns
	// an outcome for each. An endpoint occurs once. An error means that none took
	// effect, or that this is not known: repeating it is safe, but attempts may be
	// recorded twice. An ErrRejected means that one of them cannot be stored as it
	// is, or that the letters are too large together; an ErrContended that others
	// hold what one of them needs. Where the attempts of a day have no place to go
	// to, those of the call are lost.
	Settle(ctx context.Context, name string, settlements []Settlement) ([]SettleOutcome, error)
	// RunningReplay returns the replay of an endpoint that is under way; nil for none.
	RunningReplay(ctx context.Context, tenantID, endpointID uuid.UUID) (*Replay, error)
	// ReadReplay returns the next members of a replay after its cursor, as
	// ReadDeliveries does, and where the cursor is after them: at r.To when there are
	// no more. There may be no members before that. Messages that have an open
	// delivery are no members; the types of the endpoint are left out of account.
	ReadReplay(ctx context.Context, r *Replay, cursor int64, limit, maxBytes int) (members []Message, next int64, err error)
}
