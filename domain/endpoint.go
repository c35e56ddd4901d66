package domain

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Limits of an endpoint.
const (
	MaxEndpointURLLength   = 2000 // bytes
	MinEndpointTimeout     = 100 * time.Millisecond
	MaxEndpointTimeout     = 15 * time.Second
	DefaultEndpointTimeout = 5 * time.Second
)

// Endpoint is where a tenant's messages are transmitted to once they are
// stored.
type Endpoint struct {
	TenantID uuid.UUID
	URL      string
	Timeout  time.Duration
	// Secret signs transmissions (Standard Webhooks, HMAC-SHA256). It is shown
	// to callers once, when it is made, and never logged.
	Secret []byte
	// PausedReason is empty while the endpoint takes messages. A paused one
	// gets none until it is set again.
	PausedReason string
	// Version is raised with every change, so that consumers notice.
	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Paused reports whether the endpoint takes no messages for now.
func (e *Endpoint) Paused() bool { return e.PausedReason != "" }

// NewEndpoint checks what a caller says of an endpoint. TimeoutMS is nil for
// the default. Whether the address may be reached is decided at each
// transmission, after it is resolved.
func NewEndpoint(tenantID uuid.UUID, rawURL string, timeoutMS *int) (Endpoint, error) {
	var fields []FieldError
	if problem := checkEndpointURL(rawURL); problem != "" {
		fields = append(fields, FieldError{"/url", problem})
	}
	timeout := DefaultEndpointTimeout
	if timeoutMS != nil {
		timeout = time.Duration(*timeoutMS) * time.Millisecond
		if *timeoutMS < int(MinEndpointTimeout.Milliseconds()) || *timeoutMS > int(MaxEndpointTimeout.Milliseconds()) {
			fields = append(fields, FieldError{"/timeout_ms", fmt.Sprintf("must be between %d and %d", MinEndpointTimeout.Milliseconds(), MaxEndpointTimeout.Milliseconds())})
		}
	}
	if len(fields) > 0 {
		return Endpoint{}, WithFields(fields...)
	}
	return Endpoint{TenantID: tenantID, URL: rawURL, Timeout: timeout}, nil
}

// EndpointChange is what a caller says of an endpoint.
type EndpointChange struct {
	URL string
	// TimeoutMS is nil for the default.
	TimeoutMS *int
	// RotateSecret asks for another secret.
	RotateSecret bool
}

// EndpointNotFound is the answer for a tenant that has no endpoint.
func EndpointNotFound() error {
	return New(ErrNotFound, "endpoint_not_found", "The tenant has no endpoint.")
}

// TransmissionState is how far the transmission of a message got.
type TransmissionState string

// The states of a transmission.
const (
	// TransmissionPending: nothing was recorded yet. It is never recorded.
	TransmissionPending   TransmissionState = "pending"
	TransmissionRetrying  TransmissionState = "retrying"
	TransmissionSucceeded TransmissionState = "succeeded"
	TransmissionFailed    TransmissionState = "failed" // given up: a dead letter
)

// Transmission is what is recorded of a message's way to the endpoint.
type Transmission struct {
	TenantID  uuid.UUID
	MessageID uuid.UUID
	State     TransmissionState
	Attempts  int
	// LastStatus is the HTTP status of the last attempt; 0 when there was no
	// answer.
	LastStatus int
	UpdatedAt  time.Time
}

// TransmitResult is the outcome of one attempt to transmit.
type TransmitResult struct {
	// Status is the HTTP status; 0 when there was no answer.
	Status int
	// Err is nil for 2xx, else what went wrong, free of secrets and fit to be
	// shown to the tenant.
	Err error
	// Gone: the endpoint wants no more messages (410).
	Gone bool
}

// Transmitter sends one message to an endpoint. It is safe for concurrent
// use, and returns by the end of ctx or of the endpoint's timeout.
type Transmitter interface {
	Transmit(ctx context.Context, e Endpoint, m Message) TransmitResult
}

// EndpointRepository keeps endpoints and transmissions. Methods are safe for
// concurrent use.
type EndpointRepository interface {
	// PutEndpoint stores the endpoint, raises its version, clears a pause, and
	// keeps the secret that is stored already when e.Secret is nil; ErrNotFound
	// when there is none to keep. It returns the endpoint as stored.
	PutEndpoint(ctx context.Context, e Endpoint) (Endpoint, error)
	// FindEndpoint returns ErrNotFound when there is none.
	FindEndpoint(ctx context.Context, tenantID uuid.UUID) (Endpoint, error)
	// DeleteEndpoint returns ErrNotFound when there is none.
	DeleteEndpoint(ctx context.Context, tenantID uuid.UUID) error
	// PauseEndpoint pauses the endpoint unless it has another version by now.
	PauseEndpoint(ctx context.Context, tenantID uuid.UUID, version int64, reason string) error
	// RecordTransmission stores the state of a message's transmission. A
	// recorded success stays, and of messages that are not stored (any more)
	// nothing is recorded.
	RecordTransmission(ctx context.Context, t Transmission) error
	// FindTransmissions returns what is recorded of these messages, in no
	// particular order.
	FindTransmissions(ctx context.Context, tenantID uuid.UUID, messageIDs []uuid.UUID) ([]Transmission, error)
}
