package domain

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Limits of an endpoint.
const (
	MaxEndpointURLLength   = 2000 // bytes
	MinEndpointTimeout     = 100 * time.Millisecond
	MaxEndpointTimeout     = 15 * time.Second
	DefaultEndpointTimeout = 5 * time.Second

	MaxEndpointDescriptionLength = 2000 // characters
	MaxEndpointExternalIDLength  = 200  // bytes
	MaxEndpointConcurrency       = 100
	MaxEndpointRate              = 100_000 // deliveries a second
	MaxEndpointHeaders           = 20
	// MinSecretSize and MaxSecretSize are what Standard Webhooks asks for, in bytes.
	MinSecretSize = 24
	MaxSecretSize = 64
	// DefaultSecretGrace is for how long a secret that was rotated signs along.
	DefaultSecretGrace = 24 * time.Hour
	MaxSecretGrace     = 7 * 24 * time.Hour
)

// EndpointStatus says whether messages are delivered to an endpoint.
//
//	active <--hold, resume--> held
//	active --gave 410, or failed for days--> disabled --resume--> active
//
// An endpoint that is not active keeps its cursor and its open deliveries, and
// goes on from there.
type EndpointStatus string

// The states of an endpoint.
const (
	EndpointActive   EndpointStatus = "active"
	EndpointHeld     EndpointStatus = "held"
	EndpointDisabled EndpointStatus = "disabled"
)

// StatusUnreadable is why an endpoint is disabled that is Unreadable.
const StatusUnreadable = "Its secret or headers cannot be decrypted with any of the keys that there are."

// Ordering is in which order an endpoint gets messages.
type Ordering string

// The orderings.
const (
	// OrderingNone: as many at a time as its concurrency allows.
	OrderingNone Ordering = "none"
	// OrderingFIFO: one at a time, by seq; one that fails holds those behind it.
	OrderingFIFO Ordering = "fifo"
	// OrderingKey: by seq within an ordering key, and keys side by side.
	OrderingKey Ordering = "key"
)

// OnFailure is what becomes of a message whose attempts are used up, where the
// ordering is OrderingFIFO.
type OnFailure string

// What can become of it.
const (
	// FailureBlocks: it is tried on, at the last interval, until it succeeds or a
	// caller skips it.
	FailureBlocks OnFailure = "block"
	// FailureSkips: it is given up.
	FailureSkips OnFailure = "skip"
)

// Endpoint is a durable reader of a tenant's history: an address that messages are
// delivered to.
type Endpoint struct {
	ID       uuid.UUID
	TenantID uuid.UUID
	// ExternalID is what the tenant's owner calls it, unique in the tenant; ""
	// for nothing.
	ExternalID  string
	URL         string
	Description string
	// Types are the patterns of the types that it gets; none for all messages.
	Types []TypePattern
	// Timeout is for an attempt as a whole.
	Timeout time.Duration
	// Concurrency is how many deliveries may be under way at a time; 0 for as many
	// as the tenant has workers.
	Concurrency int
	// Rate is how many deliveries may begin in a second; 0 for any number.
	Rate      int
	Ordering  Ordering
	OnFailure OnFailure
	Retry     RetryPolicy
	// Headers go along with each delivery. They may be secrets: callers see their
	// names only, and they are never logged.
	Headers map[string]string
	// Secret signs deliveries (Standard Webhooks, HMAC-SHA256), and until
	// OldSecretUntil so does OldSecret, which is nil when there is none. Callers
	// see a secret once, when it is made; it is never logged.
	Secret         []byte
	OldSecret      []byte
	OldSecretUntil time.Time
	Status         EndpointStatus
	// StatusReason says why it is disabled.
	StatusReason string
	// Unreadable: its secrets and headers cannot be decrypted with any of the keys
	// that there are, and are not here. Whoever stores it leaves them as they are.
	Unreadable bool
	// Version is raised with every change, so that whoever delivers notices.
	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Secrets returns what signs a delivery at that time, the newest first.
func (e *Endpoint) Secrets(now time.Time) [][]byte {
	if len(e.OldSecret) > 0 && now.Before(e.OldSecretUntil) {
		return [][]byte{e.Secret, e.OldSecret}
	}
	return [][]byte{e.Secret}
}

// Wants reports whether a message of this type is for the endpoint.
func (e *Endpoint) Wants(messageType string) bool {
	if len(e.Types) == 0 {
		return true
	}
	for _, p := range e.Types {
		if p.Matches(messageType) {
			return true
		}
	}
	return false
}

// StartsAfresh reports whether what is remembered of the endpoint's failures, its
// breaker included, does not count any longer because of a change since before: it
// is somewhere else, or a caller has it go on after it was disabled.
func (e *Endpoint) StartsAfresh(before *Endpoint) bool {
	return e.URL != before.URL || before.Status == EndpointDisabled && e.Status == EndpointActive
}

// EndpointNotFound is the answer for an endpoint that the tenant does not have.
func EndpointNotFound() error {
	return New(ErrNotFound, "endpoint_not_found", "There is no such endpoint.")
}

// EndpointProgress is how far the deliveries to an endpoint are.
type EndpointProgress struct {
	// Settled is the endpoint's cursor: every message up to it is delivered, not
	// meant for it, given up, or one of the Open deliveries.
	Settled int64
	// Last is the highest seq of the history.
	Last int64
	// Open counts the deliveries that the cursor has passed and that are neither
	// done nor given up.
	Open   int64
	Health EndpointHealth
}

// Lag returns how many messages the endpoint has not got yet.
func (p *EndpointProgress) Lag() int64 { return p.Last - p.Settled + p.Open }

// EndpointReport is an endpoint and how far deliveries to it are.
type EndpointReport struct {
	Endpoint Endpoint
	Progress EndpointProgress
}

// EndpointTest is the outcome of a test.
type EndpointTest struct {
	// Status is the HTTP status; 0 when there was no answer.
	Status int
	// Error is "" for success, else what went wrong, free of secrets and fit to be
	// shown to the tenant.
	Error string
	// Answer is the beginning of the answer's body, as it came.
	Answer   []byte
	Duration time.Duration
}

// EndpointHealth is what is remembered of an endpoint's failures. Times are the
// database's.
type EndpointHealth struct {
	// BreakerOpenedAt is since when the breaker is open; zero while it is closed.
	BreakerOpenedAt time.Time
	// FailingSince is since when every attempt failed, once there were several;
	// zero for an endpoint that does well.
	FailingSince time.Time
	// ReadingStopped: so many deliveries wait behind others of their key that no
	// more messages are read.
	ReadingStopped bool
}

// NewCursor says where the cursor of a new endpoint begins.
type NewCursor struct {
	// FromSeq is the first message that is delivered, if it is kept; 0 for the
	// first one that is stored from now on.
	FromSeq int64
	// MaxEndpoints is how many endpoints the tenant may have with it; 0 for any
	// number.
	MaxEndpoints int
}

// EndpointRepository keeps endpoints. Secrets and headers are encrypted at rest
// where a key is configured. Methods are safe for concurrent use; they announce
// changes to all replicas.
type EndpointRepository interface {
	// InsertEndpoint stores a new endpoint with its cursor, which is never ahead of
	// the history. Inserting the same id again changes nothing. Errors are an
	// ErrLimited (code quota_exceeded) when the tenant has MaxEndpoints, an
	// ErrConflict (code external_id_taken), and ErrNotFound for a tenant that is
	// gone.
	InsertEndpoint(ctx context.Context, e Endpoint, at NewCursor) (Endpoint, error)
	// FindEndpoint and FindEndpointByExternalID return ErrNotFound where there is
	// none.
	FindEndpoint(ctx context.Context, tenantID, id uuid.UUID) (Endpoint, error)
	FindEndpointByExternalID(ctx context.Context, tenantID uuid.UUID, externalID string) (Endpoint, error)
	// ListEndpoints returns all endpoints of a tenant, oldest first.
	ListEndpoints(ctx context.Context, tenantID uuid.UUID) ([]Endpoint, error)
	// EndpointProgress returns how far deliveries to these endpoints are, by
	// endpoint.
	EndpointProgress(ctx context.Context, tenantID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]EndpointProgress, error)
	// ChangeEndpoint locks the endpoint's cursor and its row, in this order, lets
	// change work on it, stores it and raises its version, on the cursor too. What is
	// remembered of failures is forgotten where it StartsAfresh. The error of change is
	// returned as it is, and then nothing is stored. ErrConflict (code
	// external_id_taken) as InsertEndpoint.
	ChangeEndpoint(ctx context.Context, tenantID, id uuid.UUID, change func(*Endpoint) error) (Endpoint, error)
	// DeleteEndpoint deletes the endpoint, its cursor first, with its open
	// deliveries and its replays, and returns how many messages it had not got:
	// its lag.
	DeleteEndpoint(ctx context.Context, tenantID, id uuid.UUID) (open int64, err error)
	// SkipBlocking gives up the delivery that blocks an endpoint whose ordering is
	// OrderingFIFO: it becomes a dead letter. ErrConflict (code nothing_to_skip)
	// when none does.
	SkipBlocking(ctx context.Context, tenantID, id uuid.UUID) (DeadLetter, error)
	// Resend has one stored message delivered to the endpoint, again or for the
	// first time. A delivery of it that is open already becomes due. ErrNotFound
	// for a message that is not stored.
	Resend(ctx context.Context, tenantID, id, messageID uuid.UUID) error
}
