package client

import (
	"context"
	"net/http"
	"time"
)

// Endpoint is an address that a tenant's messages are delivered to.
type Endpoint struct {
	ID       string `json:"id"`
	TenantID string `json:"tenant_id"`
	// ExternalID is a name of the caller's own; nil for none.
	ExternalID  *string `json:"external_id"`
	URL         string  `json:"url"`
	Description string  `json:"description"`
	// Types are patterns of the types of messages that it gets; none for all.
	Types     []string `json:"types"`
	TimeoutMS int64    `json:"timeout_ms"`
	// Concurrency is nil for as many as the tenant has workers.
	Concurrency *int `json:"concurrency"`
	// Rate is how many deliveries may begin in a second; 0 for any number.
	Rate int `json:"rate"`
	// Ordering is none, fifo or key.
	Ordering string `json:"ordering"`
	// OnFailure is block or skip, and nil unless Ordering is fifo.
	OnFailure *string `json:"on_failure"`
	Retry     Retry   `json:"retry"`
	// Headers have *** for their values.
	Headers map[string]string `json:"headers"`
	// Secret signs what is delivered. It is there only when it was just made.
	Secret string `json:"secret,omitempty"`
	// OldSecretUntil is until when the secret before signs along; nil where none does.
	OldSecretUntil *time.Time `json:"old_secret_until"`
	// Status is active, held or disabled.
	Status string `json:"status"`
	// StatusReason says why it is disabled.
	StatusReason string `json:"status_reason"`
	// Lag is how many messages it has not got yet: LastSeq - SettledSeq + Open.
	Lag        int64 `json:"lag"`
	SettledSeq int64 `json:"settled_seq"`
	LastSeq    int64 `json:"last_seq"`
	Open       int64 `json:"open"`
	Breaker    struct {
		Open  bool       `json:"open"`
		Since *time.Time `json:"since"`
	} `json:"breaker"`
	// FailingSince is since when every attempt failed; nil for an endpoint that does
	// well.
	FailingSince *time.Time `json:"failing_since"`
	// ReadingStopped: too many deliveries wait behind others of their ordering key.
	ReadingStopped bool      `json:"reading_stopped"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`
}

// Retry says when a delivery that failed is tried again.
type Retry struct {
	// Schedule has the waits before the second, third, ... attempt, as "5m".
	Schedule []string `json:"schedule,omitempty"`
	// Final are statuses after which nothing is tried again.
	Final []int `json:"final,omitempty"`
}

// CreateEndpoint is an endpoint to be made. What is left out is as by default.
type CreateEndpoint struct {
	URL         string            `json:"url"`
	Description string            `json:"description,omitempty"`
	ExternalID  string            `json:"external_id,omitempty"`
	Types       []string          `json:"types,omitempty"`
	TimeoutMS   int               `json:"timeout_ms,omitempty"`
	Concurrency int               `json:"concurrency,omitempty"`
	Rate        int               `json:"rate,omitempty"`
	Ordering    string            `json:"ordering,omitempty"`
	OnFailure   string            `json:"on_failure,omitempty"`
	Retry       *Retry            `json:"retry,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	// Secret is one of the caller's own, whsec_ and base64; without it one is made.
	Secret string `json:"secret,omitempty"`
	// FromSeq is the message to begin with; 0 for the first that is stored from now on.
	FromSeq int64 `json:"from_seq,omitempty"`
	// IdempotencyKey makes the call safe to repeat beyond this client's own attempts;
	// without one it is given one.
	IdempotencyKey string `json:"-"`
}

// ChangeEndpoint is what is to change. A nil pointer, and an Optional that is not
// set, leave a field as it is; Default takes it back to the default.
type ChangeEndpoint struct {
	URL         *string            `json:"url,omitempty"`
	Description *string            `json:"description,omitempty"`
	ExternalID  Optional[string]   `json:"external_id,omitzero"`
	Types       Optional[[]string] `json:"types,omitzero"`
	TimeoutMS   Optional[int]      `json:"timeout_ms,omitzero"`
	Concurrency Optional[int]      `json:"concurrency,omitzero"`
	Rate        Optional[int]      `json:"rate,omitzero"`
	Ordering    *string            `json:"ordering,omitempty"`
	OnFailure   Optional[string]   `json:"on_failure,omitzero"`
	Retry       Optional[Retry]    `json:"retry,omitzero"`
	// Headers are added to those that there are; nil for one takes it away, and Default
	// takes all away.
	Headers Optional[map[string]*string] `json:"headers,omitzero"`
	// Secret is one of the caller's own. The one before signs along for 24 hours.
	Secret *string `json:"secret,omitempty"`
}

// Endpoints manages the endpoints of the client's tenant, and what is delivered to
// them. Without a tenant its methods return ErrNoTenant.
type Endpoints struct{ scope *scope }

// Create makes an endpoint. Its Secret is not shown again.
func (e *Endpoints) Create(ctx context.Context, n CreateEndpoint) (*Endpoint, error) {
	path, err := e.scope.path("endpoints")
	if err != nil {
		return nil, err
	}
	r := call{method: http.MethodPost, path: path, key: e.scope.api.keyFor(n.IdempotencyKey), body: n}
	r.again = r.repeatable()
	return fetch[Endpoint](ctx, e.scope.api, &r)
}

// PutByExternalID makes the endpoint with this external id, or changes what differs,
// and says whether it was made. Secret is there where a new one was.
func (e *Endpoints) PutByExternalID(ctx context.Context, externalID string, n CreateEndpoint) (endpoint *Endpoint, created bool, err error) {
	path, err := e.scope.path("endpoints", "by-external-id", externalID)
	if err != nil {
		return nil, false, err
	}
	endpoint = new(Endpoint)
	n.ExternalID = "" // the path has it
	got, err := e.scope.api.exchange(ctx, &call{method: http.MethodPut, path: path, body: n, again: always}, endpoint)
	if err != nil {
		return nil, false, err
	}
	return endpoint, got.status == http.StatusCreated, nil
}

// List returns all endpoints of the tenant.
func (e *Endpoints) List(ctx context.Context) ([]Endpoint, error) {
	path, err := e.scope.path("endpoints")
	if err != nil {
		return nil, err
	}
	return list[Endpoint](ctx, e.scope.api, path)
}

// Get returns an endpoint.
func (e *Endpoints) Get(ctx context.Context, id string) (*Endpoint, error) {
	return endpointCall[Endpoint](ctx, e, call{method: http.MethodGet, again: always}, id)
}

// Change changes an endpoint and returns what it is then.
func (e *Endpoints) Change(ctx context.Context, id string, change ChangeEndpoint) (*Endpoint, error) {
	return endpointCall[Endpoint](ctx, e, call{method: http.MethodPatch, body: change, again: always}, id)
}

// Delete deletes an endpoint, and what was still to be delivered to it.
func (e *Endpoints) Delete(ctx context.Context, id string) error {
	path, err := e.scope.path("endpoints", id)
	if err != nil {
		return err
	}
	return e.scope.api.do(ctx, &call{method: http.MethodDelete, path: path, again: always}, nil)
}

// endpointCall makes a call about an endpoint, whose path ends with these segments.
func endpointCall[T any](ctx context.Context, e *Endpoints, r call, segments ...string) (*T, error) {
	path, err := e.scope.path(append([]string{"endpoints"}, segments...)...)
	if err != nil {
		return nil, err
	}
	r.path = path
	return fetch[T](ctx, e.scope.api, &r)
}
