package domain

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// TenantFacts is what the database knows of a tenant that says why its messages stand.
// Times are the database's.
type TenantFacts struct {
	At      time.Time
	LastSeq int64
	// Stopped, Inactive and Held are who did that last, as the audit log has it; Held by
	// endpoint. Nil, or missing, where it does not say.
	Stopped, Inactive *Deed
	Held              map[uuid.UUID]Deed
	Endpoints         []EndpointFacts
	// Deliverer is the replica that delivers the tenant's messages; "" for none that
	// lives.
	Deliverer string
}

// Deed is what somebody did.
type Deed struct {
	At   time.Time
	By   CauseActor
	What AuditAction
}

// EndpointFacts is how far deliveries to an endpoint are, and what is in their way.
type EndpointFacts struct {
	// Endpoint is what callers set, without secrets and headers.
	Endpoint Endpoint
	Progress EndpointProgress
	// Failed is the oldest delivery that failed and is to be tried again; its Seq is 0
	// for none.
	Failed OpenDelivery
	// FailedNext is when it is; zero when it waits for another one.
	FailedNext time.Time
	// Behind is how many open deliveries wait for another one of their key; see also
	// StoreProgress.BehindKeys.
	Behind int64
	// Delivered is how many attempts succeeded in the last DeliveredWithin, where
	// attempts are on record; 0 else. DeliveredFor is how long ago the first of them began.
	Delivered    int64
	DeliveredFor time.Duration
	// LastError is what went wrong with the newest attempt, "" for a success, and
	// LastStatus the answer.
	LastError  string
	LastStatus int
}

// DeliveredWithin is the time in which EndpointFacts.Delivered counts.
const DeliveredWithin = 15 * time.Second

// StoreProgress is how fast a tenant's messages are stored.
type StoreProgress struct {
	// LastAt is when the newest message was stored; zero for none.
	LastAt time.Time
	// Rate is how many a second were stored of late, at most StoredWithin ago.
	Rate float64
	// Counted is how many messages were seen to have been stored since the oldest one of
	// these, and CountedFor how long ago that was.
	Counted    int64
	CountedFor time.Duration
	// BehindKeys is how many messages, of the next ones that an endpoint with OrderingKey
	// has not got as far as, wait for an open delivery of their key, by endpoint.
	BehindKeys map[uuid.UUID]int64
}

// StoredWithin is how far back StoreProgress.Rate looks.
const StoredWithin = 15 * time.Second

// MessageFacts is what the database knows of one message.
type MessageFacts struct {
	// Seq is 0 for a message that is not stored.
	Seq         int64
	StoredAt    time.Time
	Type        string
	OrderingKey string
	// Letter is its newest dead letter that is of no endpoint; nil for none. Body and
	// headers are not read.
	Letter *DeadLetter
	// Ways are those to each endpoint of the tenant, also to those that it is not for.
	Ways map[uuid.UUID]MessageWay
}

// MessageWay is how far a message is on its way to an endpoint.
type MessageWay struct {
	// Open: it has a row in deliveries, with Attempts made, LastStatus and NextAt.
	Open                 bool
	Attempts, LastStatus int
	LastError            string
	NextAt               time.Time
	// Before is the oldest open delivery of the same key before it, if there is one;
	// its Seq is 0 for none. BeforeNext is when that is tried again.
	Before     OpenDelivery
	BeforeNext time.Time
	// Recorded attempts, and when one succeeded; zero for none.
	Recorded    int
	DeliveredAt time.Time
	// Letter is the id of the newest dead letter of this delivery; 0 for none.
	Letter         int64
	LetterAt       time.Time
	LetterAttempts int
	LetterError    string
	LetterReplayed bool
}

// LockHolder is a session of the database that has something locked.
type LockHolder struct {
	PID int
	// Locked is the table, or "row" for the row of the tenant's history.
	Locked string
	// User, Application, Address, State and Query are as the server shows them; ""
	// where it does not.
	User, Application, Address, State, Query string
	// Since is when its transaction began; zero where the server does not show it.
	Since time.Time
}

// ExplainRepository knows why messages stand. Methods are safe for concurrent use.
// Errors are ErrUnavailable, which are an ErrContended where others have locked what is
// to be read.
type ExplainRepository interface {
	// TenantFacts reads nothing of the tenant's partition.
	TenantFacts(ctx context.Context, tenantID uuid.UUID) (TenantFacts, error)
	StoreProgress(ctx context.Context, tenantID uuid.UUID) (StoreProgress, error)
	// MessageFacts is about a message, stored or not.
	MessageFacts(ctx context.Context, tenantID, id uuid.UUID) (MessageFacts, error)
	// LockHolders returns the sessions that keep the tenant's messages from being
	// stored, other than the service's own that take a moment.
	LockHolders(ctx context.Context, tenantID uuid.UUID) ([]LockHolder, error)
}
